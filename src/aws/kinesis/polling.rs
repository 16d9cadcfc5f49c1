//! Shared throughput: `GetShardIterator` and `GetRecords`.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::poll_schedule::PollSchedule;
use super::record::records;
use super::retries::ReadRetries;
use super::starting_position::arguments;
use super::time::ResponseDate;
use crate::domain::{
    FailureKind, Fetched, RecordBatch, RecordSource, Retrieval, RetrievalError, ShardId, StartingPosition,
};
use crate::resilience::Backoff;
use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// An iterator expires after five minutes; one older than this is not used.
const MAX_ITERATOR_AGE: Duration = Duration::from_secs(270);
const BACKOFF: Backoff = Backoff::millis(100, 5_000);
/// The log has a warning after this many throttled calls in a row, and then at each doubling. A power of two.
const WARN_AFTER: u32 = 8;

#[derive(Debug)]
pub struct Polling {
    connection: Connection,
    stream: StreamRef,
}

impl Polling {
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef) -> Self {
        Self { connection: connection.clone(), stream }
    }
}

#[async_trait]
impl Retrieval for Polling {
    /// Sends nothing before the first `next`.
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        Ok(Box::new(PollingSource {
            client: self.connection.kinesis_reader(),
            connection: self.connection.clone(),
            stream: self.stream.clone(),
            shard: shard.clone(),
            resume: position.clone(),
            iterator: None,
            schedule: PollSchedule::new(Instant::now()),
            retries: ReadRetries::new(BACKOFF),
            throttles: 0,
            ended: None,
        }))
    }
}

/// One shard. The state changes only after a response, so that a dropped `next` loses nothing.
#[derive(Debug)]
struct PollingSource {
    connection: Connection,
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
    shard: ShardId,
    /// Where the next iterator begins.
    resume: StartingPosition,
    iterator: Option<(String, Instant)>,
    schedule: PollSchedule,
    retries: ReadRetries,
    /// Throttled calls in a row.
    throttles: u32,
    /// The children of the shard that ended; to be returned after the last records.
    ended: Option<Vec<ShardId>>,
}

#[async_trait]
impl RecordSource for PollingSource {
    async fn next(&mut self, _max_bytes: usize) -> Result<Fetched, RetrievalError> {
        loop {
            if let Some(children) = self.ended.take() {
                return Ok(Fetched::ShardEnded { children });
            }
            sleep_until(self.schedule.next_at()).await;
            let Some(iterator) = self.fresh_iterator() else {
                self.renew_iterator().await?;
                continue;
            };
            let started = Instant::now();
            self.schedule.read_started(started);
            match self.read(iterator).await {
                Ok(output) => {
                    if let Some(batch) = self.accept(output, started)? {
                        return Ok(Fetched::Batch(batch));
                    }
                }
                Err(error) => self.read_failed(error)?,
            }
        }
    }
}

impl PollingSource {
    fn fresh_iterator(&self) -> Option<String> {
        let (iterator, issued) = self.iterator.as_ref()?;
        (issued.elapsed() < MAX_ITERATOR_AGE).then(|| iterator.clone())
    }

    async fn read(&self, iterator: String) -> Result<GetRecordsOutput, CallError> {
        let _permit = self.connection.permit().await;
        let call = self.client.get_records().shard_iterator(iterator);
        let call = call.set_stream_arn(self.stream.arn().map(str::to_owned));
        call.send().await.map_err(|error| classify("Kinesis: GetRecords", error))
    }

    async fn renew_iterator(&mut self) -> Result<(), RetrievalError> {
        match self.get_iterator().await {
            Ok((iterator, date)) => {
                if self.resume == StartingPosition::Latest {
                    // A second iterator at LATEST would skip the records since the first.
                    self.resume = StartingPosition::AtTimestamp(date.or_local(&self.client));
                }
                self.iterator = Some((iterator, Instant::now()));
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    async fn get_iterator(&self) -> Result<(String, ResponseDate), CallError> {
        let _permit = self.connection.permit().await;
        let call = self.client.get_shard_iterator().shard_id(self.shard.as_str());
        let call = match &self.stream {
            StreamRef::Name(name) => call.stream_name(name),
            StreamRef::Arn { arn, .. } => call.stream_arn(arn),
        };
        let (kind, number, timestamp) = arguments(&self.resume);
        let call = call.shard_iterator_type(kind).set_starting_sequence_number(number).set_timestamp(timestamp);
        let date = ResponseDate::default();
        let output = call.customize().interceptor(date.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: GetShardIterator", error))?;
        Ok((output.shard_iterator.unwrap_or_default(), date))
    }

    /// `None` if the response has nothing but the end of the shard.
    fn accept(&mut self, output: GetRecordsOutput, started: Instant) -> Result<Option<RecordBatch>, RetrievalError> {
        let size = |record: &aws_sdk_kinesis::types::Record| {
            record.data.as_ref().len() + record.partition_key().unwrap_or_default().len()
        };
        let bytes = output.records().iter().map(size).sum();
        let behind = output.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        let more = behind.is_some_and(|millis| millis > 0) || !output.records.is_empty();
        let (records, last) = records(output.records, &self.shard, &self.stream)?;
        self.retries.reset();
        self.throttles = 0;
        self.schedule.read_completed(started, bytes, more);
        if let Some(last) = last {
            self.resume = StartingPosition::After(last);
        }
        let next = output.next_shard_iterator.filter(|iterator| !iterator.is_empty());
        self.iterator = next.map(|iterator| (iterator, Instant::now()));
        // Without children the caller must confirm the end.
        if self.iterator.is_none() {
            let children = output.child_shards.unwrap_or_default();
            self.ended = Some(children.iter().map(|child| ShardId::new(child.shard_id())).collect());
            if records.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(RecordBatch { records, behind: behind.map(Duration::from_millis), gap: None }))
    }

    fn read_failed(&mut self, mut error: CallError) -> Result<(), RetrievalError> {
        // A read has no argument but the iterator: a new one after the last record may help.
        if error.is("ExpiredIteratorException") || error.is("InvalidArgumentException") {
            self.iterator = None;
            error.kind = FailureKind::Transient;
            error.code = None;
            // Kinesis refuses a sequence number of a stream that was deleted and created again. A time or the horizon is valid
            // in any stream, so the caller must check which stream this is before a new iterator is made.
            if !matches!(self.resume, StartingPosition::At(_) | StartingPosition::After(_)) {
                return Err(error.into_read_error(&self.shard, self.stream.name()));
            }
        }
        self.failed(error)
    }

    /// Schedules the next attempt, or returns the error.
    fn failed(&mut self, error: CallError) -> Result<(), RetrievalError> {
        let now = Instant::now();
        if error.kind == FailureKind::Throttled {
            self.throttles = self.throttles.saturating_add(1);
            if self.throttles >= WARN_AFTER && self.throttles.is_power_of_two() {
                let (throttles, reason) = (self.throttles, &error.text);
                let remedy = "read the stream with fewer consumers, add shards, or use `mode: extended`";
                tracing::warn!(shard = %self.shard, throttles, reason, remedy, "reads of a shard were throttled");
            } else {
                tracing::debug!(shard = %self.shard, reason = %error.text, "read of a shard was throttled");
            }
            self.schedule.throttled(now, fastrand::f64());
            return Ok(());
        }
        let Some(wait) = self.retries.next_wait(error.kind) else {
            return Err(error.into_read_error(&self.shard, self.stream.name()));
        };
        tracing::debug!(shard = %self.shard, ?wait, reason = %error.text, "read of a shard failed; it is retried");
        self.schedule.delay(now, wait);
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/polling.rs"]
mod tests;

//! Shared throughput: `GetShardIterator` and `GetRecords`.

use super::super::failure::{Failed, classify};
use super::super::{Connection, StreamRef};
use super::pace::Pace;
use super::record::{date_time, records};
use super::service_date::ServiceDate;
use crate::domain::{
    FailureKind, Fetched, RecordBatch, RecordSource, Retrieval, RetrievalError, ShardId, StartingPosition,
};
use crate::resilience::{Backoff, Waits};
use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::ShardIteratorType;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// An iterator lives five minutes; one older than this is not used any more.
const ITERATOR_LIFE: Duration = Duration::from_secs(270);
/// Failures in a row after which the caller is told.
const TRIES: u32 = 8;
const BACKOFF: Backoff = Backoff::millis(100, 5_000);
/// Throttled calls in a row after which the log has a warning, and then at each doubling. A power of two.
const WARN_AFTER: u32 = 8;

/// Opens shards of one stream for polling.
#[derive(Debug)]
pub struct Polling {
    connection: Connection,
    stream: StreamRef,
}

impl Polling {
    /// For one stream.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef) -> Self {
        Self { connection: connection.clone(), stream }
    }
}

#[async_trait]
impl Retrieval for Polling {
    /// Lazy: nothing is asked before the first `next`.
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
            pace: Pace::new(Instant::now()),
            waits: BACKOFF.waits(fastrand::u64(..)),
            throttles: 0,
            ended: None,
        }))
    }
}

/// One shard. All state is kept here and changed only once an answer is in hand, so a dropped `next` loses nothing.
#[derive(Debug)]
struct PollingSource {
    connection: Connection,
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
    shard: ShardId,
    /// Where a fresh iterator begins.
    resume: StartingPosition,
    iterator: Option<(String, Instant)>,
    pace: Pace,
    waits: Waits,
    /// Throttled calls in a row.
    throttles: u32,
    /// The end was signalled with these children, and the caller does not know it yet.
    ended: Option<Vec<ShardId>>,
}

#[async_trait]
impl RecordSource for PollingSource {
    async fn next(&mut self) -> Result<Fetched, RetrievalError> {
        loop {
            if let Some(children) = self.ended.take() {
                return Ok(Fetched::ShardEnded { children });
            }
            sleep_until(self.pace.next_at()).await;
            let Some(iterator) = self.fresh_iterator() else {
                self.renew_iterator().await?;
                continue;
            };
            let started = Instant::now();
            self.pace.started(started);
            match self.read(iterator).await {
                Ok(output) => {
                    if let Some(batch) = self.accept(output, started)? {
                        return Ok(Fetched::Batch(batch));
                    }
                }
                Err(failed) => self.heal_read(failed)?,
            }
        }
    }
}

impl PollingSource {
    fn fresh_iterator(&self) -> Option<String> {
        let (iterator, issued) = self.iterator.as_ref()?;
        (issued.elapsed() < ITERATOR_LIFE).then(|| iterator.clone())
    }

    async fn read(&self, iterator: String) -> Result<GetRecordsOutput, Failed> {
        let _permit = self.connection.permit().await;
        let call = self.client.get_records().shard_iterator(iterator);
        let call = call.set_stream_arn(self.stream.arn().map(str::to_owned));
        call.send().await.map_err(|error| classify("Kinesis: GetRecords", error))
    }

    async fn renew_iterator(&mut self) -> Result<(), RetrievalError> {
        match self.ask_iterator().await {
            Ok((iterator, date)) => {
                if self.resume == StartingPosition::Latest {
                    // A second iterator at LATEST would skip what came since the first.
                    self.resume = StartingPosition::AtTimestamp(date.or_local(&self.client));
                }
                self.iterator = Some((iterator, Instant::now()));
                Ok(())
            }
            Err(failed) => self.heal(failed),
        }
    }

    async fn ask_iterator(&self) -> Result<(String, ServiceDate), Failed> {
        let _permit = self.connection.permit().await;
        let call = self.client.get_shard_iterator().shard_id(self.shard.as_str());
        let call = match &self.stream {
            StreamRef::Name(name) => call.stream_name(name),
            StreamRef::Arn { arn, .. } => call.stream_arn(arn),
        };
        let call = match &self.resume {
            StartingPosition::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            StartingPosition::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
            StartingPosition::AtTimestamp(moment) => {
                call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(date_time(*moment))
            }
            StartingPosition::At(number) => {
                call.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number.as_str())
            }
            StartingPosition::After(number) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number.as_str()),
        };
        let date = ServiceDate::default();
        let output = call.customize().interceptor(date.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: GetShardIterator", error))?;
        Ok((output.shard_iterator.unwrap_or_default(), date))
    }

    /// Takes an answer in; `None` when it held nothing but the end of the shard.
    fn accept(&mut self, output: GetRecordsOutput, started: Instant) -> Result<Option<RecordBatch>, RetrievalError> {
        let size = |record: &aws_sdk_kinesis::types::Record| {
            record.data.as_ref().len() + record.partition_key().unwrap_or_default().len()
        };
        let bytes = output.records().iter().map(size).sum();
        let behind = output.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        let more = behind.is_some_and(|millis| millis > 0) || !output.records.is_empty();
        let (records, last) = records(output.records).map_err(|source| {
            let doing = format!("reading {} of stream {}: a record has no valid number", self.shard, self.stream);
            RetrievalError::Unavailable { doing, kind: FailureKind::Permanent, source }
        })?;
        self.waits.reset();
        self.throttles = 0;
        self.pace.answered(started, bytes, more);
        if let Some(last) = last {
            self.resume = StartingPosition::After(last);
        }
        let next = output.next_shard_iterator.filter(|iterator| !iterator.is_empty());
        self.iterator = next.map(|iterator| (iterator, Instant::now()));
        // With children it is the end; without them an end that the caller must confirm.
        if self.iterator.is_none() {
            let children = output.child_shards.unwrap_or_default();
            self.ended = Some(children.iter().map(|child| ShardId::new(child.shard_id())).collect());
            if records.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(RecordBatch { records, behind: behind.map(Duration::from_millis) }))
    }

    /// What may help a failed read: waiting, or a new iterator after the last record.
    fn heal_read(&mut self, mut failed: Failed) -> Result<(), RetrievalError> {
        // A read names no position: what is wrong can only be the iterator.
        if failed.is("ExpiredIteratorException") || failed.is("InvalidArgumentException") {
            self.iterator = None;
            failed.kind = FailureKind::Transient;
            failed.code = None;
            // Kinesis refuses a sequence number of a stream that was deleted and created again. A time or a horizon is taken
            // in any stream, so the caller must check which stream this is before a new iterator is made.
            if !matches!(self.resume, StartingPosition::At(_) | StartingPosition::After(_)) {
                return Err(failed.opening(&self.shard, self.stream.name()));
            }
        }
        self.heal(failed)
    }

    fn heal(&mut self, failed: Failed) -> Result<(), RetrievalError> {
        let now = Instant::now();
        if failed.kind == FailureKind::Throttled {
            self.throttles = self.throttles.saturating_add(1);
            if self.throttles >= WARN_AFTER && self.throttles.is_power_of_two() {
                let (throttles, reason) = (self.throttles, &failed.text);
                let remedy = "read the stream with fewer consumers, add shards, or use `mode: extended`";
                tracing::warn!(shard = %self.shard, throttles, reason, remedy, "reads of a shard were throttled");
            } else {
                tracing::debug!(shard = %self.shard, reason = %failed.text, "slowed down");
            }
            self.pace.throttled(now, fastrand::f64());
            return Ok(());
        }
        if !failed.kind.may_retry() || self.waits.taken() >= TRIES {
            return Err(failed.opening(&self.shard, self.stream.name()));
        }
        tracing::debug!(shard = %self.shard, reason = %failed.text, "repeated a read");
        self.pace.hold(now, self.waits.next_wait());
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/polling.rs"]
mod tests;

//! Shared throughput: `GetShardIterator` and `GetRecords`.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::get_records::GetRecords;
use super::page::Page;
use super::per_shard::{PerShard, ShardState};
use super::poll_schedule::{DEFAULT_INTERVAL, Found, PollSchedule};
use super::read_monitor::ReadMonitor;
use super::read_position::ReadPosition;
use super::record::{WireRecord, records};
use super::record_size::RecordSize;
use super::retries::{LastingErrors, ReadRetries};
use super::starting_position::arguments;
use super::time::ResponseDate;
use crate::domain::{
    FailureKind, Fetched, ReadLimit, Record, RecordBatch, RecordSource, Retrieval, RetrievalError, ShardId,
    StartingPosition,
};
use crate::resilience::Backoff;
use crate::telemetry::ReadMetrics;
use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// An iterator expires after five minutes; one older than this is not used.
const MAX_ITERATOR_AGE: Duration = Duration::from_secs(270);
const BACKOFF: Backoff = Backoff::millis(100, 5_000);
/// A shard counts as throttled after this many throttled calls in a row.
const LASTING_THROTTLES: u32 = 8;

/// How many shards get an iterator at the same time. When many shards are opened together, each call would open a
/// connection, which then stays open for the idle timeout.
const MAX_OPENINGS: usize = 32;

/// Polls shards. All of them share one client.
#[derive(Debug)]
pub struct Polling {
    stream: Arc<PolledStream>,
    interval: Duration,
    shards: PerShard<PollState>,
}

/// What all shards share.
struct PolledStream {
    connection: Connection,
    client: Client,
    stream: StreamRef,
    get_records: GetRecords,
    monitor: ReadMonitor,
    openings: Semaphore,
    /// Of all shards, for those that were not read yet.
    record_size: Mutex<RecordSize>,
}

/// What is known of a shard, also after its source was closed.
#[derive(Debug)]
struct PollState {
    schedule: PollSchedule,
    record_size: RecordSize,
    lasting: LastingErrors,
}

impl PollState {
    fn failed(&mut self, kind: FailureKind, now: Instant) {
        if let Some(wait) = self.lasting.next_wait(kind, fastrand::f64()) {
            self.schedule.delay(now, wait);
        }
    }
}

impl PolledStream {
    fn record_size(&self) -> MutexGuard<'_, RecordSize> {
        self.record_size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Polling {
    /// Polls an idle shard every second.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef, metrics: ReadMetrics) -> Self {
        let client = connection.kinesis_reader();
        let stream = PolledStream {
            get_records: GetRecords::new(connection, client.clone(), stream.clone()),
            client,
            connection: connection.clone(),
            stream,
            monitor: ReadMonitor::new(metrics),
            openings: Semaphore::new(MAX_OPENINGS),
            record_size: Mutex::default(),
        };
        Self { stream: Arc::new(stream), interval: DEFAULT_INTERVAL, shards: PerShard::default() }
    }

    /// How often an idle shard is polled (`pollInterval`): 200 ms to 60 s.
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    fn source(&self, shard: &ShardId, position: &StartingPosition) -> PollingSource {
        let new = || PollState {
            schedule: PollSchedule::new(self.interval, Instant::now()),
            record_size: *self.stream.record_size(),
            lasting: LastingErrors::default(),
        };
        PollingSource {
            stream: Arc::clone(&self.stream),
            state: self.shards.open(shard, new),
            shard: shard.clone(),
            position: ReadPosition::new(position.clone()),
            iterator: None,
            retries: ReadRetries::new(BACKOFF),
            throttles: 0,
            ended: None,
        }
    }
}

#[async_trait]
impl Retrieval for Polling {
    /// Sends nothing before the first `next`. The pace of the shard goes on where an earlier source of it left off.
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        Ok(Box::new(self.source(shard, position)))
    }
}

/// One shard. The state changes only after a response, so that a dropped `next` loses nothing.
#[derive(Debug)]
struct PollingSource {
    stream: Arc<PolledStream>,
    state: ShardState<PollState>,
    shard: ShardId,
    position: ReadPosition,
    iterator: Option<(String, Instant)>,
    retries: ReadRetries,
    /// Throttled calls in a row.
    throttles: u32,
    /// The children of the shard that ended; to be returned after the last records.
    ended: Option<Vec<ShardId>>,
}

#[async_trait]
impl RecordSource for PollingSource {
    /// Requests as many records as fit into the limit by the average size of earlier ones, 1 to 10,000.
    async fn next(&mut self, limit: ReadLimit) -> Result<Fetched, RetrievalError> {
        loop {
            if let Some(children) = self.ended.take() {
                return Ok(Fetched::ShardEnded { children });
            }
            let next_at = self.state.lock().schedule.next_at();
            sleep_until(next_at).await;
            let Some(iterator) = self.fresh_iterator() else {
                self.renew_iterator().await?;
                continue;
            };
            let started = Instant::now();
            let limit = {
                let mut state = self.state.lock();
                state.schedule.read_started(started);
                state.record_size.limit(limit.bytes).min(limit.records())
            };
            match self.stream.get_records.call(&iterator, limit).await {
                Ok(page) => {
                    self.stream.monitor.metrics.read(started.elapsed());
                    if let Some(batch) = self.accept(page, started)? {
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

    async fn renew_iterator(&mut self) -> Result<(), RetrievalError> {
        let position = self.position.resume();
        match self.get_iterator(&position).await {
            Ok((iterator, date)) => {
                self.position.pin_latest(date.or_local(&self.stream.client));
                self.iterator = Some((iterator, Instant::now()));
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    async fn get_iterator(&self, position: &StartingPosition) -> Result<(String, ResponseDate), CallError> {
        // The semaphore is never closed.
        let _opening = self.stream.openings.acquire().await.ok();
        let _permit = self.stream.connection.permit().await;
        let call = self.stream.client.get_shard_iterator().shard_id(self.shard.as_str());
        let call = match &self.stream.stream {
            StreamRef::Name(name) => call.stream_name(name),
            StreamRef::Arn { arn, .. } => call.stream_arn(arn),
        };
        let (kind, number, timestamp) = arguments(position);
        let call = call.shard_iterator_type(kind).set_starting_sequence_number(number).set_timestamp(timestamp);
        let date = ResponseDate::default();
        let output = call.customize().interceptor(date.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: GetShardIterator", error))?;
        Ok((output.shard_iterator.unwrap_or_default(), date))
    }

    /// `None` if the response has nothing but the end of the shard.
    fn accept(&mut self, page: Page, started: Instant) -> Result<Option<RecordBatch>, RetrievalError> {
        let Page { records: wire, next_iterator, behind, children } = page;
        let (count, bytes) = (wire.len(), wire.iter().map(WireRecord::size).sum());
        let mut records = records(wire, &self.shard, &self.stream.stream, &self.stream.monitor)?;
        self.retries.reset();
        self.throttles = 0;
        let found = match behind {
            Some(Duration::ZERO) if count == 0 => Found::Nothing,
            Some(Duration::ZERO) => Found::Records,
            None if count == 0 => Found::Nothing,
            Some(_) | None => Found::Behind,
        };
        {
            let mut state = self.state.lock();
            state.schedule.read_completed(started, bytes, found, fastrand::f64());
            state.lasting.reset();
            let memory = records.iter().map(Record::size).sum();
            state.record_size.observe(count, memory);
            self.stream.record_size().observe(count, memory);
        }
        let gap = self.position.accept(&mut records, behind, Instant::now());
        self.iterator = next_iterator.map(|iterator| (iterator, Instant::now()));
        // Without children the caller must confirm the end.
        if self.iterator.is_none() {
            self.ended = Some(children);
            if records.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(RecordBatch { records, behind, gap }))
    }

    fn read_failed(&mut self, mut error: CallError) -> Result<(), RetrievalError> {
        // A read has no argument that can be wrong but the iterator: a new one at the last record may help.
        if error.is("ExpiredIteratorException") || error.is("InvalidArgumentException") {
            self.iterator = None;
            error.kind = FailureKind::Transient;
            error.code = None;
            // Kinesis refuses a sequence number of a stream that was deleted and created again. A time or the horizon is
            // valid in any stream, so the caller must check which stream this is before a new iterator is made.
            let has_number = self.position.last().is_some()
                || matches!(self.position.start(), StartingPosition::At(_) | StartingPosition::After(_));
            if !has_number {
                return Err(error.into_read_error(&self.shard, self.stream.stream.name()));
            }
        }
        self.failed(error)
    }

    /// Schedules the next attempt, or returns the error. After an error that lasts, such as a missing permission, the next
    /// source of the shard waits too.
    fn failed(&mut self, error: CallError) -> Result<(), RetrievalError> {
        let now = Instant::now();
        if error.kind == FailureKind::Throttled {
            self.throttles = self.throttles.saturating_add(1);
            self.stream.monitor.throttled(&self.shard, self.throttles >= LASTING_THROTTLES, &error.text);
            self.state.lock().schedule.throttled(now, fastrand::f64());
            return Ok(());
        }
        self.state.lock().failed(error.kind, now);
        let Some(wait) = self.retries.next_wait(error.kind) else {
            return Err(error.into_read_error(&self.shard, self.stream.stream.name()));
        };
        tracing::debug!(shard = %self.shard, ?wait, reason = %error.text, "read of a shard failed; it is retried");
        self.state.lock().schedule.delay(now, wait);
        Ok(())
    }
}

impl fmt::Debug for PolledStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolledStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests/polling.rs"]
mod tests;

//! The reading ports of a [`MemoryStream`], with faults from a seed.

use super::memory_stream::{MemoryStream, ShardState, Stream};
use super::stream_faults::StreamFaults;
use crate::domain::{
    Fetched, ReadLimit, Record, RecordBatch, RecordDistribution, RecordGap, RecordSource, Retrieval, RetrievalError,
    SequenceNumber, ShardDirectory, ShardId, ShardListing, StartingPosition, StreamDirectory, StreamIdentity,
    Timestamp,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const MAX_RECORDS_PER_READ: usize = 10;
/// Pause after a read without records, and at least between two reads of one source: 5 reads a second.
const PAUSE: Duration = Duration::from_millis(200);

impl MemoryStream {
    /// The ports to read the stream.
    #[must_use]
    pub fn ports(&self, faults: &StreamFaults) -> (Arc<dyn StreamDirectory>, Arc<dyn Retrieval>) {
        let ports = Arc::new(Ports { stream: self.clone(), faults: faults.clone() });
        (Arc::<Ports>::clone(&ports), ports)
    }

    /// Reads a shard from a position at once, without a limit and without faults.
    ///
    /// # Errors
    /// When the stream has no such shard or position.
    pub fn read_at(&self, shard: &ShardId, position: &StartingPosition) -> Result<Fetched, RetrievalError> {
        self.with(|stream| {
            read_from(stream, shard, position)?.read(shard_state(stream, shard)?, MAX_RECORDS_PER_READ, false)
        })
    }
}

#[derive(Debug)]
struct Ports {
    stream: MemoryStream,
    faults: StreamFaults,
}

#[async_trait]
impl ShardDirectory for Ports {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        self.faults.disturb("listing shards").await?;
        self.exists()?;
        Ok(self.stream.listing())
    }
}

#[async_trait]
impl StreamDirectory for Ports {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        self.faults.disturb("describing the stream").await?;
        self.exists()?;
        Ok(self.stream.identity())
    }

    fn retention(&self) -> Option<Duration> {
        self.stream.with(|stream| stream.retention)
    }

    fn distribution(&self) -> RecordDistribution {
        self.stream.with(|stream| stream.distribution)
    }
}

impl Ports {
    fn exists(&self) -> Result<(), RetrievalError> {
        let missing = || RetrievalError::NotFound { what: "the stream".to_owned(), source: "it was deleted".into() };
        self.stream.with(|stream| stream.exists.then_some(()).ok_or_else(missing))
    }
}

#[async_trait]
impl Retrieval for Ports {
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        self.faults.disturb("opening a shard").await?;
        if self.faults.is_unknown(shard) {
            let (what, source) = (format!("shard {shard}"), "injected fault".into());
            return Err(RetrievalError::NotFound { what, source });
        }
        let from = self.stream.with(|stream| read_from(stream, shard, position))?;
        let opened_in = self.stream.identity();
        let (stream, faults, shard) = (self.stream.clone(), self.faults.clone(), shard.clone());
        let now = Instant::now();
        Ok(Box::new(Source { stream, opened_in, faults, shard, from, last_read: now, next_read: now, record_size: 0 }))
    }
}

/// Where the next read starts.
#[derive(Debug)]
pub(super) enum ReadFrom {
    Oldest,
    Timestamp(Timestamp),
    At(SequenceNumber),
    After(SequenceNumber),
}

#[derive(Debug)]
struct Source {
    stream: MemoryStream,
    /// A shard iterator is not valid for another stream of the same name.
    opened_in: StreamIdentity,
    faults: StreamFaults,
    shard: ShardId,
    from: ReadFrom,
    last_read: Instant,
    next_read: Instant,
    /// Of an average record of the last answer.
    record_size: usize,
}

#[async_trait]
impl RecordSource for Source {
    async fn next(&mut self, limit: ReadLimit) -> Result<Fetched, RetrievalError> {
        sleep_until(self.next_read).await;
        self.faults.disturb_read("reading a shard").await?;
        if self.stream.identity() != self.opened_in {
            let what = format!("shard {}", self.shard);
            return Err(RetrievalError::NotFound { what, source: "its stream was deleted".into() });
        }
        let has_expired = self.last_read.elapsed() > self.faults.iterator_lifetime();
        let fitting = limit.bytes.checked_div(self.record_size).unwrap_or(MAX_RECORDS_PER_READ);
        let limit = fitting.min(limit.records()).clamp(1, MAX_RECORDS_PER_READ);
        let fetched =
            self.stream.with(|stream| self.from.read(shard_state(stream, &self.shard)?, limit, has_expired))?;
        let fetched = self.faults.strip_end_fields(&self.shard, fetched);
        self.last_read = Instant::now();
        self.next_read = self.last_read + PAUSE;
        if let Fetched::Batch(batch) = &fetched {
            match batch.records.last() {
                Some(last) => {
                    self.from = ReadFrom::After(last.position.sequence.clone());
                    self.record_size = batch.records.iter().map(Record::size).sum::<usize>() / batch.records.len();
                }
                None => sleep(PAUSE).await,
            }
        }
        Ok(fetched)
    }
}

impl ReadFrom {
    /// `has_expired`: the source continues with a new iterator, at the last record that it returned.
    pub(super) fn read(&self, state: &ShardState, limit: usize, has_expired: bool) -> Result<Fetched, RetrievalError> {
        let is_before = |record: &Record| match self {
            Self::Oldest => false,
            Self::Timestamp(moment) => record.arrival.is_none_or(|arrival| arrival < *moment),
            Self::At(number) => record.position.sequence < *number,
            Self::After(number) => record.position.sequence <= *number,
        };
        let ahead = &state.records[state.records.partition_point(is_before)..];
        let mut end = limit.min(ahead.len());
        // The records of an aggregate are returned together.
        while end > 0 && end < ahead.len() && ahead[end].position.sequence == ahead[end - 1].position.sequence {
            end += 1;
        }
        if end == 0 && !state.shard.is_open {
            return Ok(Fetched::ShardEnded { children: state.children.clone() });
        }
        let records = ahead[..end].to_vec();
        let gap = match (self, records.first()) {
            (Self::After(after), Some(first)) if has_expired && state.is_trimmed(after) => {
                Some(RecordGap { after: after.clone(), found: first.position.sequence.clone() })
            }
            _ => None,
        };
        let behind = if end == ahead.len() { Duration::ZERO } else { Duration::from_secs(1) };
        Ok(Fetched::Batch(RecordBatch { records, behind: Some(behind), gap }))
    }
}

impl ShardState {
    fn is_trimmed(&self, number: &SequenceNumber) -> bool {
        number.as_str().parse::<u128>().is_ok_and(|number| number <= self.trimmed)
    }
}

pub(super) fn shard_state<'a>(stream: &'a Stream, shard: &ShardId) -> Result<&'a ShardState, RetrievalError> {
    stream
        .shard(shard)
        .ok_or_else(|| RetrievalError::NotFound { what: format!("shard {shard}"), source: "it aged out".into() })
}

pub(super) fn read_from(
    stream: &Stream,
    shard: &ShardId,
    position: &StartingPosition,
) -> Result<ReadFrom, RetrievalError> {
    let state = shard_state(stream, shard)?;
    Ok(match position {
        StartingPosition::TrimHorizon => ReadFrom::Oldest,
        StartingPosition::Latest => {
            let newest = state.records.last().map(|record| record.position.sequence.clone());
            newest.map_or(ReadFrom::Oldest, ReadFrom::After)
        }
        StartingPosition::AtTimestamp(moment) => ReadFrom::Timestamp(*moment),
        StartingPosition::At(number) => ReadFrom::At(check_number(stream, state, number)?),
        StartingPosition::After(number) => ReadFrom::After(check_number(stream, state, number)?),
    })
}

/// Kinesis rejects a sequence number that cannot be of the shard.
fn check_number(
    stream: &Stream,
    state: &ShardState,
    number: &SequenceNumber,
) -> Result<SequenceNumber, RetrievalError> {
    let digits: u128 = number.as_str().parse().unwrap_or(u128::MAX);
    let last = state.last.unwrap_or(stream.next_number);
    if (state.first..=last).contains(&digits) {
        return Ok(number.clone());
    }
    let (shard, source) = (state.shard.id.clone(), "no such sequence number".into());
    Err(RetrievalError::InvalidPosition { shard, source })
}

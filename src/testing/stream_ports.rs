//! The reading ports of a [`MemoryStream`], with faults from a seed.

use super::memory_stream::{MemoryStream, ShardState, Stream};
use crate::domain::{
    FailureKind, Fetched, RecordBatch, RecordPosition, RecordSource, Retrieval, RetrievalError, SequenceNumber,
    ShardDirectory, ShardId, ShardListing, StartingPosition, StreamDirectory, StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MAX_RECORDS_PER_READ: usize = 10;
/// Pause after a read without records.
const IDLE_PAUSE: Duration = Duration::from_millis(200);

/// Makes reads fail at random. Clones share the state.
#[derive(Debug, Clone)]
pub struct StreamFaults {
    one_in: Arc<AtomicU32>,
    random: Arc<Mutex<fastrand::Rng>>,
    /// Shards whose last response signalled an end falsely.
    false_ends: Arc<Mutex<BTreeSet<ShardId>>>,
    drops_end_fields: Arc<AtomicBool>,
    /// Shards that are listed but cannot be opened.
    unknown: Arc<Mutex<BTreeSet<ShardId>>>,
}

impl StreamFaults {
    /// One call in `one_in` is throttled or fails, and one response in `one_in` lacks the fields that signal the end of a
    /// shard. With 0 there are no faults.
    #[must_use]
    pub fn new(one_in: u32, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let one_in = Arc::new(AtomicU32::new(one_in));
        Self { one_in, random, false_ends: Arc::default(), drops_end_fields: Arc::default(), unknown: Arc::default() }
    }

    #[must_use]
    pub fn none() -> Self {
        Self::new(0, 0)
    }

    /// Every response without records looks like the end of its shard, and no end has child shards.
    #[must_use]
    pub fn without_end_fields() -> Self {
        Self { drops_end_fields: Arc::new(AtomicBool::new(true)), ..Self::none() }
    }

    /// From now on a shard is listed, but opening it fails as if it did not exist; or it can be opened again.
    pub fn set_unknown(&self, shard: &ShardId, is_unknown: bool) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if is_unknown {
            unknown.insert(shard.clone());
        } else {
            unknown.remove(shard);
        }
    }

    fn is_unknown(&self, shard: &ShardId) -> bool {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).contains(shard)
    }

    /// From now on there are no faults.
    pub fn disable(&self) {
        self.drops_end_fields.store(false, Ordering::Relaxed);
        self.one_in.store(0, Ordering::Relaxed);
    }

    fn draw(&self, below: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..below)
    }

    fn is_fault(&self) -> bool {
        let one_in = self.one_in.load(Ordering::Relaxed);
        one_in > 0 && self.draw(u64::from(one_in)) == 0
    }

    /// Removes the fields that signal the end of a shard: a response before the end then looks like an end, and an end has
    /// no child shards. Never twice in a row for one shard, because no reader could find out once the shard is closed.
    fn strip_end_fields(&self, shard: &ShardId, fetched: Fetched) -> Fetched {
        let has_records = matches!(&fetched, Fetched::Batch(batch) if !batch.records.is_empty());
        if self.drops_end_fields.load(Ordering::Relaxed) && !has_records {
            return Fetched::ShardEnded { children: Vec::new() };
        }
        let mut false_ends = self.false_ends.lock().unwrap_or_else(PoisonError::into_inner);
        let was_false = false_ends.remove(shard);
        if !self.is_fault() {
            return fetched;
        }
        match fetched {
            Fetched::Batch(batch) if was_false => Fetched::Batch(batch),
            Fetched::Batch(_) => {
                false_ends.insert(shard.clone());
                Fetched::ShardEnded { children: Vec::new() }
            }
            Fetched::ShardEnded { .. } => Fetched::ShardEnded { children: Vec::new() },
        }
    }

    async fn fail_sometimes(&self, doing: &str) -> Result<(), RetrievalError> {
        if self.is_fault() {
            // A throttled call, which a source repeats after a pause.
            tokio::time::sleep(Duration::from_millis(self.draw(2_000))).await;
        }
        if self.is_fault() {
            let (doing, source) = (doing.to_owned(), "injected fault".into());
            return Err(RetrievalError::Unavailable { doing, kind: FailureKind::Transient, source });
        }
        Ok(())
    }
}

impl MemoryStream {
    /// The ports to read the stream.
    #[must_use]
    pub fn ports(&self, faults: &StreamFaults) -> (Arc<dyn StreamDirectory>, Arc<dyn Retrieval>) {
        let ports = Arc::new(Ports { stream: self.clone(), faults: faults.clone() });
        (Arc::<Ports>::clone(&ports), ports)
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
        self.faults.fail_sometimes("listing shards").await?;
        self.exists()?;
        Ok(self.stream.listing())
    }
}

#[async_trait]
impl StreamDirectory for Ports {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        self.faults.fail_sometimes("describing the stream").await?;
        self.exists()?;
        Ok(self.stream.identity())
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
        self.faults.fail_sometimes("opening a shard").await?;
        if self.faults.is_unknown(shard) {
            let (what, source) = (format!("shard {shard}"), "injected fault".into());
            return Err(RetrievalError::NotFound { what, source });
        }
        let from = self.stream.with(|stream| read_from(stream, shard, position))?;
        let opened_in = self.stream.identity();
        let (stream, faults, shard) = (self.stream.clone(), self.faults.clone(), shard.clone());
        Ok(Box::new(Source { stream, opened_in, faults, shard, from }))
    }
}

/// Where the next read starts.
#[derive(Debug)]
enum ReadFrom {
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
}

#[async_trait]
impl RecordSource for Source {
    async fn next(&mut self, _max_bytes: usize) -> Result<Fetched, RetrievalError> {
        self.faults.fail_sometimes("reading a shard").await?;
        if self.stream.identity() != self.opened_in {
            let what = format!("shard {}", self.shard);
            return Err(RetrievalError::NotFound { what, source: "its stream was deleted".into() });
        }
        let fetched = self.stream.with(|stream| self.from.read(shard_state(stream, &self.shard)?))?;
        let fetched = self.faults.strip_end_fields(&self.shard, fetched);
        if let Fetched::Batch(batch) = &fetched {
            match batch.records.last() {
                Some(last) => self.from = ReadFrom::After(last.position.sequence.clone()),
                None => tokio::time::sleep(IDLE_PAUSE).await,
            }
        }
        Ok(fetched)
    }
}

impl ReadFrom {
    fn read(&self, state: &ShardState) -> Result<Fetched, RetrievalError> {
        let ahead = state.records.iter().filter(|record| match self {
            Self::Oldest => true,
            Self::Timestamp(moment) => record.arrival.is_some_and(|arrival| arrival >= *moment),
            Self::At(number) => record.position.sequence >= *number,
            Self::After(number) => record.position.sequence > *number,
        });
        let records: Vec<_> = ahead.take(MAX_RECORDS_PER_READ).cloned().collect();
        if records.is_empty() && !state.shard.is_open {
            return Ok(Fetched::ShardEnded { children: state.children.clone() });
        }
        Ok(Fetched::Batch(RecordBatch { records, behind: Some(Duration::ZERO), gap: None }))
    }
}

fn shard_state<'a>(stream: &'a Stream, shard: &ShardId) -> Result<&'a ShardState, RetrievalError> {
    stream
        .shard(shard)
        .ok_or_else(|| RetrievalError::NotFound { what: format!("shard {shard}"), source: "it aged out".into() })
}

fn read_from(stream: &Stream, shard: &ShardId, position: &StartingPosition) -> Result<ReadFrom, RetrievalError> {
    let state = shard_state(stream, shard)?;
    Ok(match position {
        StartingPosition::TrimHorizon => ReadFrom::Oldest,
        StartingPosition::Latest => {
            let newest: Option<RecordPosition> = state.records.last().map(|record| record.position.clone());
            newest.map_or(ReadFrom::Oldest, |newest| ReadFrom::After(newest.sequence))
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

//! The reading ports of a [`MemoryStream`], with faults from a seed.

use super::memory_stream::{Held, MemoryStream, Stream};
use crate::domain::{
    FailureKind, Fetched, RecordBatch, RecordPosition, RecordSource, Retrieval, RetrievalError, SequenceNumber,
    ShardDirectory, ShardId, ShardListing, StartingPosition, StreamDirectory, StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most records of one read.
const READ_LIMIT: usize = 10;
/// A reader that found nothing looks again after this.
const IDLE: Duration = Duration::from_millis(200);

/// How often reading fails. Clones are the same faults.
#[derive(Debug, Clone)]
pub struct StreamFaults {
    one_in: Arc<AtomicU32>,
    random: Arc<Mutex<fastrand::Rng>>,
    /// Shards whose last answer was an end that was none.
    false_ends: Arc<Mutex<BTreeSet<ShardId>>>,
    drops_end_fields: Arc<AtomicBool>,
}

impl StreamFaults {
    /// One call in `one_in` is throttled or fails, and one answer in `one_in` lacks what tells the end of a shard; 0 for
    /// none.
    #[must_use]
    pub fn new(one_in: u32, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let one_in = Arc::new(AtomicU32::new(one_in));
        Self { one_in, random, false_ends: Arc::default(), drops_end_fields: Arc::default() }
    }

    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0, 0)
    }

    /// Every answer without records looks like the end of its shard, and no end names children.
    #[must_use]
    pub fn without_end_fields() -> Self {
        Self { drops_end_fields: Arc::new(AtomicBool::new(true)), ..Self::none() }
    }

    /// From now on everything works.
    pub fn heal(&self) {
        self.drops_end_fields.store(false, Ordering::Relaxed);
        self.one_in.store(0, Ordering::Relaxed);
    }

    fn draw(&self, below: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..below)
    }

    fn strikes(&self) -> bool {
        let one_in = self.one_in.load(Ordering::Relaxed);
        one_in > 0 && self.draw(u64::from(one_in)) == 0
    }

    /// Takes the fields away from an answer that AWS tells the end of a shard by: an answer that goes on looks like an
    /// end then, and an end names no children. Never twice in a row for one shard: no reader could tell the difference
    /// once the shard is closed.
    fn strip_sometimes(&self, shard: &ShardId, fetched: Fetched) -> Fetched {
        let has_records = matches!(&fetched, Fetched::Batch(batch) if !batch.records.is_empty());
        if self.drops_end_fields.load(Ordering::Relaxed) && !has_records {
            return Fetched::ShardEnded { children: Vec::new() };
        }
        let mut false_ends = self.false_ends.lock().unwrap_or_else(PoisonError::into_inner);
        let was_false = false_ends.remove(shard);
        if !self.strikes() {
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
        if self.strikes() {
            // A throttle, which a source heals by waiting.
            tokio::time::sleep(Duration::from_millis(self.draw(2_000))).await;
        }
        if self.strikes() {
            let (doing, source) = (doing.to_owned(), "fault on purpose".into());
            return Err(RetrievalError::Unavailable { doing, kind: FailureKind::Transient, source });
        }
        Ok(())
    }
}

impl MemoryStream {
    /// Ports to read the stream: its directory and its retrieval.
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
        let from = self.stream.with(|stream| place(stream, shard, position))?;
        let opened_in = self.stream.identity();
        let (stream, faults, shard) = (self.stream.clone(), self.faults.clone(), shard.clone());
        Ok(Box::new(Source { stream, opened_in, faults, shard, from }))
    }
}

/// From where on a source reads.
#[derive(Debug)]
enum From {
    Oldest,
    Moment(Timestamp),
    At(SequenceNumber),
    Beyond(SequenceNumber),
}

#[derive(Debug)]
struct Source {
    stream: MemoryStream,
    /// An iterator does not survive its stream, even if there is one of the same name.
    opened_in: StreamIdentity,
    faults: StreamFaults,
    shard: ShardId,
    from: From,
}

#[async_trait]
impl RecordSource for Source {
    async fn next(&mut self) -> Result<Fetched, RetrievalError> {
        self.faults.fail_sometimes("reading a shard").await?;
        if self.stream.identity() != self.opened_in {
            let what = format!("shard {}", self.shard);
            return Err(RetrievalError::NotFound { what, source: "its stream was deleted".into() });
        }
        let fetched = self.stream.with(|stream| self.from.read(held(stream, &self.shard)?))?;
        let fetched = self.faults.strip_sometimes(&self.shard, fetched);
        if let Fetched::Batch(batch) = &fetched {
            match batch.records.last() {
                Some(last) => self.from = From::Beyond(last.position.sequence.clone()),
                None => tokio::time::sleep(IDLE).await,
            }
        }
        Ok(fetched)
    }
}

impl From {
    fn read(&self, held: &Held) -> Result<Fetched, RetrievalError> {
        let ahead = held.records.iter().filter(|record| match self {
            Self::Oldest => true,
            Self::Moment(moment) => record.arrival.is_some_and(|arrival| arrival >= *moment),
            Self::At(number) => record.position.sequence >= *number,
            Self::Beyond(number) => record.position.sequence > *number,
        });
        let records: Vec<_> = ahead.take(READ_LIMIT).cloned().collect();
        if records.is_empty() && !held.shard.is_open {
            return Ok(Fetched::ShardEnded { children: held.children.clone() });
        }
        Ok(Fetched::Batch(RecordBatch { records, behind: Some(Duration::ZERO) }))
    }
}

fn held<'a>(stream: &'a Stream, shard: &ShardId) -> Result<&'a Held, RetrievalError> {
    stream
        .held(shard)
        .ok_or_else(|| RetrievalError::NotFound { what: format!("shard {shard}"), source: "it aged out".into() })
}

fn place(stream: &Stream, shard: &ShardId, position: &StartingPosition) -> Result<From, RetrievalError> {
    let held = held(stream, shard)?;
    Ok(match position {
        StartingPosition::TrimHorizon => From::Oldest,
        StartingPosition::Latest => {
            let newest: Option<RecordPosition> = held.records.last().map(|record| record.position.clone());
            newest.map_or(From::Oldest, |newest| From::Beyond(newest.sequence))
        }
        StartingPosition::AtTimestamp(moment) => From::Moment(*moment),
        StartingPosition::At(number) => From::At(known(stream, held, number)?),
        StartingPosition::After(number) => From::Beyond(known(stream, held, number)?),
    })
}

/// The service refuses a number that the shard cannot have given out.
fn known(stream: &Stream, held: &Held, number: &SequenceNumber) -> Result<SequenceNumber, RetrievalError> {
    let digits: u128 = number.as_str().parse().unwrap_or(u128::MAX);
    let last = held.last.unwrap_or(stream.next_number);
    if (held.first..=last).contains(&digits) {
        return Ok(number.clone());
    }
    let (shard, source) = (held.shard.id.clone(), "no such sequence number".into());
    Err(RetrievalError::InvalidPosition { shard, source })
}

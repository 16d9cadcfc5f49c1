//! Faults of reading a stream, from a seed.

use crate::domain::{FailureKind, Fetched, RetrievalError, ShardId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a call hangs while the network is partitioned.
const HANG: Duration = Duration::from_secs(4);

/// What happens to all calls for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFault {
    /// Reads wait, as a source does, and other calls fail.
    Throttled,
    /// As with 5xx.
    ServerError,
    /// As without permission for the stream or its KMS key.
    Denied,
    /// Calls hang, then fail.
    Partition,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    one_in: u32,
    drops_end_fields: bool,
    /// Shards whose last response signalled an end falsely.
    false_ends: BTreeSet<ShardId>,
    active: Option<(ReadFault, Instant)>,
    /// Shards that are listed but cannot be opened.
    unknown: BTreeSet<ShardId>,
    iterator_lifetime: Duration,
}

/// Makes reads fail at random or for a while. Clones share the state.
#[derive(Debug, Clone)]
pub struct StreamFaults {
    state: Arc<Mutex<State>>,
}

impl StreamFaults {
    /// One call in `one_in` is throttled or fails, and one response in `one_in` lacks the fields that signal the end of a
    /// shard. With 0 there are no faults.
    #[must_use]
    pub fn new(one_in: u32, seed: u64) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            one_in,
            drops_end_fields: false,
            false_ends: BTreeSet::new(),
            active: None,
            unknown: BTreeSet::new(),
            iterator_lifetime: Duration::from_secs(300),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    #[must_use]
    pub fn none() -> Self {
        Self::new(0, 0)
    }

    /// Every response without records looks like the end of its shard, and no end has child shards.
    #[must_use]
    pub fn without_end_fields() -> Self {
        let faults = Self::none();
        faults.with(|state| state.drops_end_fields = true);
        faults
    }

    /// Sets how long a shard iterator is valid, 5 minutes by default.
    #[must_use]
    pub fn with_iterator_lifetime(self, lifetime: Duration) -> Self {
        self.with(|state| state.iterator_lifetime = lifetime);
        self
    }

    /// Lets all calls fail for a while.
    pub fn fail_for(&self, fault: ReadFault, duration: Duration) {
        self.with(|state| state.active = Some((fault, Instant::now() + duration)));
    }

    /// From now on a shard is listed, but opening it fails as if it did not exist; or it can be opened again.
    pub fn set_unknown(&self, shard: &ShardId, is_unknown: bool) {
        self.with(|state| if is_unknown { state.unknown.insert(shard.clone()) } else { state.unknown.remove(shard) });
    }

    pub(super) fn is_unknown(&self, shard: &ShardId) -> bool {
        self.with(|state| state.unknown.contains(shard))
    }

    /// From now on there are no faults.
    pub fn disable(&self) {
        self.with(|state| (state.drops_end_fields, state.one_in, state.active) = (false, 0, None));
    }

    pub(super) fn iterator_lifetime(&self) -> Duration {
        self.with(|state| state.iterator_lifetime)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether calls may fail at random.
    pub(super) fn is_faulty(&self) -> bool {
        self.with(|state| state.one_in > 0)
    }

    fn is_fault(&self) -> bool {
        self.with(State::is_fault)
    }

    pub(super) fn active(&self) -> Option<ReadFault> {
        self.with(|state| state.active.filter(|(_, until)| Instant::now() < *until).map(|(fault, _)| fault))
    }

    /// Removes the fields that signal the end of a shard: a response before the end then looks like an end, and an end has
    /// no child shards. Never twice in a row for one shard, because no reader could find out once the shard is closed.
    pub(super) fn strip_end_fields(&self, shard: &ShardId, fetched: Fetched) -> Fetched {
        let has_records = matches!(&fetched, Fetched::Batch(batch) if !batch.records.is_empty());
        self.with(|state| {
            if state.drops_end_fields && !has_records {
                return Fetched::ShardEnded { children: Vec::new() };
            }
            let was_false = state.false_ends.remove(shard);
            if !state.is_fault() {
                return fetched;
            }
            match fetched {
                Fetched::Batch(batch) if was_false => Fetched::Batch(batch),
                Fetched::Batch(_) => {
                    state.false_ends.insert(shard.clone());
                    Fetched::ShardEnded { children: Vec::new() }
                }
                Fetched::ShardEnded { .. } => Fetched::ShardEnded { children: Vec::new() },
            }
        })
    }

    /// For a read of records: a throttled one waits.
    pub(super) async fn disturb_read(&self, doing: &str) -> Result<(), RetrievalError> {
        if self.is_fault() {
            // A throttled call, which a source repeats after a pause.
            self.pause().await;
        }
        while self.active() == Some(ReadFault::Throttled) {
            self.pause().await;
        }
        self.disturb(doing).await
    }

    pub(super) async fn disturb(&self, doing: &str) -> Result<(), RetrievalError> {
        match self.active() {
            Some(ReadFault::Throttled) => return Err(failed(doing, FailureKind::Throttled)),
            Some(ReadFault::ServerError) => return Err(failed(doing, FailureKind::Transient)),
            Some(ReadFault::Denied) => return Err(failed(doing, FailureKind::Denied)),
            Some(ReadFault::Partition) => {
                sleep(HANG).await;
                return Err(failed(doing, FailureKind::TimedOut));
            }
            None => {}
        }
        if self.is_fault() { Err(failed(doing, FailureKind::Transient)) } else { Ok(()) }
    }

    async fn pause(&self) {
        let millis = self.with(|state| state.random.u64(100..2_000));
        sleep(Duration::from_millis(millis)).await;
    }
}

impl State {
    fn is_fault(&mut self) -> bool {
        self.one_in > 0 && self.random.u32(0..self.one_in) == 0
    }
}

fn failed(doing: &str, kind: FailureKind) -> RetrievalError {
    RetrievalError::Unavailable { doing: doing.to_owned(), kind, source: "injected fault".into() }
}

//! Observes a run and keeps the first violated invariant. `deliveries`, `rows` and `reads` say what they check.

use super::clock::WorkerClock;
use super::deliveries::Call;
use super::ledger::{Fate, Ledger, NewRecord};
use super::plan::Plan;
use super::story::{Entry, Story, Violation, What};
use bindd::domain::{Checkpoint, LeaseCounter, RecordPosition, ShardId, WorkerId};
use bindd::testing::{MemoryLeaseStore, MemoryStream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// What one owner does between a take and the end of its lease.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) worker: WorkerId,
    /// Progress as the take found it.
    pub(crate) start: Option<RecordPosition>,
    /// The engine knows that it is done with these.
    pub(crate) done: BTreeSet<RecordPosition>,
    /// Read and not done, with their sizes.
    pub(crate) held: BTreeMap<RecordPosition, usize>,
    pub(crate) held_bytes: usize,
}

impl Session {
    pub(crate) fn done(&mut self, position: &RecordPosition) {
        self.release(position);
        self.done.insert(position.clone());
    }

    /// The engine may not hold this record any more.
    pub(crate) fn release(&mut self, position: &RecordPosition) {
        if let Some(size) = self.held.remove(position) {
            self.held_bytes -= size;
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) plan: Arc<Plan>,
    pub(crate) story: Story,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: BTreeMap<(ShardId, LeaseCounter), Session>,
    /// The last session of a worker.
    pub(crate) current: BTreeMap<(WorkerId, ShardId), LeaseCounter>,
    /// When the counter of a row changed.
    pub(crate) moved: BTreeMap<ShardId, Instant>,
    /// When a worker changed the counter of a row.
    pub(crate) moved_by: BTreeMap<(WorkerId, ShardId), Instant>,
    /// When a KCL took a lease that had an owner.
    pub(crate) kcl_took: BTreeMap<ShardId, Instant>,
    /// The highest epoch under which a delivery began.
    pub(crate) epochs: BTreeMap<ShardId, LeaseCounter>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) call_count: u64,
    /// Of workers that were frozen: when they went on; `None` is not yet.
    pub(crate) frozen: BTreeMap<WorkerId, Option<Instant>>,
    /// Shards whose lease was taken from a live owner without a handoff, as the KCL does it.
    pub(crate) hard_taken: BTreeSet<ShardId>,
    /// Of all workers so far.
    pub(crate) clocks: Vec<WorkerClock>,
    violation: Option<Violation>,
}

/// Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Checker {
    state: Arc<Mutex<State>>,
    pub(crate) stream: MemoryStream,
    pub(crate) leases: MemoryLeaseStore,
}

impl Checker {
    pub(crate) fn new(plan: Arc<Plan>, keeps_all: bool) -> Self {
        let stream = MemoryStream::new(plan.shards);
        let state = State {
            story: Story::new(&plan, keeps_all),
            plan,
            ledger: Ledger::default(),
            sessions: BTreeMap::new(),
            current: BTreeMap::new(),
            moved: BTreeMap::new(),
            moved_by: BTreeMap::new(),
            kcl_took: BTreeMap::new(),
            epochs: BTreeMap::new(),
            calls: BTreeMap::new(),
            call_count: 0,
            frozen: BTreeMap::new(),
            hard_taken: BTreeSet::new(),
            clocks: Vec::new(),
            violation: None,
        };
        Self { state: Arc::new(Mutex::new(state)), stream, leases: MemoryLeaseStore::new() }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Puts one Kinesis record with these user records.
    pub(crate) fn put(&self, records: Vec<(NewRecord, bytes::Bytes)>) {
        let data = records.iter().map(|(record, data)| (record.key.clone(), data.clone())).collect();
        let puts = self.stream.put_aggregate(data);
        self.with(|state| {
            for (put, (record, _)) in puts.iter().zip(records) {
                state.story.tell(None, Some(&put.shard), Some(&record.key), What::Put(put.position.clone()));
                state.ledger.put(put, record);
            }
        });
    }

    pub(crate) fn note(&self, worker: Option<&WorkerId>, shard: Option<&ShardId>, note: String) {
        self.with(|state| state.story.tell(worker, shard, None, What::Note(note)));
    }

    pub(crate) fn report(&self, text: String) {
        self.with(|state| state.report(text, None, Vec::new()));
    }

    /// The first violation with its story.
    pub(crate) fn result(&self) -> Result<(), String> {
        self.with(|state| state.violation.as_ref().map_or(Ok(()), |violation| Err(state.story.of(violation))))
    }

    /// A failure of the run itself with the last events of all shards.
    pub(crate) fn failure(&self, text: String, shard: Option<ShardId>) -> String {
        self.with(|state| state.story.of(&Violation { text, shard, keys: Vec::new() }))
    }

    pub(crate) fn story(&self) -> Vec<Entry> {
        self.with(|state| state.story.entries())
    }

    /// Checks after all workers have stopped: no lease has an owner, and a restart would repeat no delivery.
    pub(crate) fn final_violation(&self) -> Option<String> {
        for lease in self.leases.leases() {
            let passed = self.with(|state| state.ledger.passed(&lease.shard).last().cloned());
            let is_passed = |last: &RecordPosition| !Checkpoint::After(last.clone()).is_beyond(&lease.checkpoint);
            let text = if lease.owner.is_some() && !lease.checkpoint.is_ended() {
                format!("a lease is still owned: {lease:?}")
            } else if !passed.as_ref().is_none_or(is_passed) {
                format!("filtered up to {passed:?} but stored {lease:?}")
            } else {
                let last = self.with(|state| state.ledger.last_accepted(&lease.shard).cloned());
                let is_ahead = |last: &RecordPosition| Checkpoint::After(last.clone()).is_beyond(&lease.checkpoint);
                if !last.as_ref().is_some_and(is_ahead) {
                    continue;
                }
                format!("accepted up to {last:?} but stored {lease:?}")
            };
            return Some(self.failure(text, Some(lease.shard)));
        }
        None
    }
}

impl State {
    pub(crate) fn report(&mut self, text: String, shard: Option<&ShardId>, keys: Vec<String>) {
        let shard = shard.cloned();
        if self.violation.is_none() {
            self.story.tell(None, shard.as_ref(), None, What::Note(format!("VIOLATION: {text}")));
            self.violation = Some(Violation { text, shard, keys });
        }
    }

    /// A KCL took a lease from an owner that may live.
    pub(crate) fn hard_taken_by_kcl(&mut self, shard: &ShardId) {
        self.hard_taken.insert(shard.clone());
        self.kcl_took.insert(shard.clone(), Instant::now());
    }

    /// Whether a worker cannot know yet that it has lost a lease, because a KCL took it after the last write of the worker:
    /// the worker goes on until its next write, or its fence.
    pub(crate) fn is_robbed(&self, worker: &WorkerId, shard: &ShardId) -> bool {
        let moved = self.moved_by.get(&(worker.clone(), shard.clone()));
        let taken = self.kcl_took.get(shard);
        moved.zip(taken).is_some_and(|(moved, taken)| taken >= moved && moved.elapsed() < self.plan.shortest_lease())
    }

    /// An operator removed all rows; counters begin again.
    pub(crate) fn rows_removed(&mut self) {
        self.sessions.clear();
        self.current.clear();
        self.moved.clear();
        self.moved_by.clear();
        self.epochs.clear();
    }

    /// Whether the settings allow that a record is given up by now.
    pub(crate) fn may_give_up(&self, shard: &ShardId, position: &RecordPosition) -> bool {
        let Some(entry) = self.ledger.entry(shard, position) else { return false };
        let has_failed_often = self.plan.delivery.max_attempts.is_some_and(|max| entry.failures >= max);
        let max_ahead = self.clocks.iter().map(WorkerClock::max_ahead).max().unwrap_or(0);
        has_failed_often
            || (entry.is_poison && entry.failures > 0 && self.plan.has_permanent_status())
            || self.is_too_old(entry, max_ahead)
    }

    /// Whether a record is older than the settings allow, by a clock that is so many milliseconds ahead.
    pub(crate) fn is_too_old(&self, entry: &super::ledger::Entry, ahead: i64) -> bool {
        let age = i64::try_from(entry.put_at.elapsed().as_millis()).unwrap_or(i64::MAX) + ahead;
        // A time of arrival is rounded down to a millisecond.
        let max = self.plan.delivery.max_record_age.and_then(|max| i64::try_from(max.as_millis()).ok());
        max.is_some_and(|max| age + 1 > max)
    }

    /// The first record of a shard up to a position (or at all) that must still be delivered. One that may be dropped counts
    /// as dropped from now on.
    pub(crate) fn missing(&mut self, shard: &ShardId, up_to: Option<&RecordPosition>) -> Option<RecordPosition> {
        loop {
            let first = self.ledger.first_pending(shard)?.clone();
            if up_to.is_some_and(|limit| first > *limit) {
                return None;
            }
            if !self.plan.drops() || !self.may_give_up(shard, &first) {
                return Some(first);
            }
            self.ledger.settle(shard, &first, Fate::Dropped);
        }
    }

    /// The first record of each shard that must still be delivered.
    pub(crate) fn outstanding(&self) -> BTreeMap<ShardId, RecordPosition> {
        let mut first = BTreeMap::new();
        for (shard, position) in self.ledger.pending() {
            let may_be_dropped = || self.plan.drops() && self.may_give_up(shard, position);
            if !first.contains_key(shard) && !may_be_dropped() {
                first.insert(shard.clone(), position.clone());
            }
        }
        first
    }

    /// The last session of a worker with a shard.
    pub(crate) fn session(&mut self, worker: &WorkerId, shard: &ShardId) -> Option<&mut Session> {
        let epoch = *self.current.get(&(worker.clone(), shard.clone()))?;
        self.sessions.get_mut(&(shard.clone(), epoch))
    }
}

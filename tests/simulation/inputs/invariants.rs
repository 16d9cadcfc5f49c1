//! Observes a run and records the first violated invariant.

use bindd::domain::{Checkpoint, RecordPosition, ShardId, WorkerId};
use bindd::testing::{MemoryLeaseStore, MemoryStream, Put};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
struct State {
    /// By partition key, in the order of the puts.
    by_key: BTreeMap<String, Vec<Put>>,
    by_shard: BTreeMap<ShardId, Vec<RecordPosition>>,
    keys: BTreeMap<(ShardId, RecordPosition), String>,
    /// Records that must be delivered: put after the consumer had started.
    required: BTreeSet<(ShardId, RecordPosition)>,
    accepted: BTreeMap<(ShardId, RecordPosition), u32>,
    checkpoints: BTreeMap<ShardId, Checkpoint>,
    violation: Option<String>,
}

/// Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Checker {
    state: Arc<Mutex<State>>,
    pub(crate) stream: MemoryStream,
    pub(crate) leases: MemoryLeaseStore,
}

impl Checker {
    pub(crate) fn new(stream: MemoryStream, leases: MemoryLeaseStore) -> Self {
        Self { state: Arc::default(), stream, leases }
    }

    pub(crate) fn put(&self, key: &str, required: bool) {
        let Some(put) = self.stream.put(key, key.to_owned()) else { return };
        let mut state = self.state.lock().unwrap();
        let id = (put.shard.clone(), put.position.clone());
        state.by_key.entry(key.to_owned()).or_default().push(put.clone());
        state.by_shard.entry(put.shard).or_default().push(put.position);
        state.keys.insert(id.clone(), key.to_owned());
        if required {
            state.required.insert(id);
        }
    }

    pub(crate) fn delivery_started(&self, worker: &WorkerId, shard: &ShardId, position: &RecordPosition) {
        let Some(lease) = self.leases.lease(shard) else {
            return self.report(format!("{worker} delivers {shard} which has no lease"));
        };
        if lease.owner.as_ref() != Some(worker) && lease.handoff_from.as_ref() != Some(worker) {
            self.report(format!("{worker} started to deliver {shard} {position}, the lease is {lease:?}"));
        }
        let unread = lease.parents.iter().find_map(|parent| self.unaccepted(parent, None));
        if let Some(unread) = unread {
            self.report(format!("{shard} is delivered before its parent's record {unread}"));
        }
    }

    pub(crate) fn accepted(&self, shard: &ShardId, position: &RecordPosition) {
        let mut state = self.state.lock().unwrap();
        let id = (shard.clone(), position.clone());
        let Some(key) = state.keys.get(&id).cloned() else {
            drop(state);
            return self.report(format!("{shard} {position} was never put"));
        };
        *state.accepted.entry(id.clone()).or_insert(0) += 1;
        let before = state.by_key[&key].iter().map(|put| (put.shard.clone(), put.position.clone()));
        let late = before
            .take_while(|put| *put != id)
            .find(|put| state.required.contains(put) && !state.accepted.contains_key(put));
        drop(state);
        if let Some(late) = late {
            self.report(format!("{key}: {shard} {position} was accepted before {late:?}"));
        }
    }

    pub(crate) fn checkpointed(&self, shard: &ShardId, checkpoint: &Checkpoint) {
        let ahead = match checkpoint {
            Checkpoint::NotStarted(_) => None,
            Checkpoint::After(position) => self.unaccepted(shard, Some(position)),
            Checkpoint::Ended => self.unaccepted(shard, None),
        };
        if let Some(ahead) = ahead {
            self.report(format!("{shard} was checkpointed at {checkpoint:?} before {ahead} was accepted"));
        }
        let before = self.state.lock().unwrap().checkpoints.insert(shard.clone(), checkpoint.clone());
        if before.is_some_and(|before| !checkpoint.is_beyond(&before)) {
            self.report(format!("{shard}: checkpoint went back to {checkpoint:?}"));
        }
    }

    /// The first required record up to a position (or at all) that was not accepted.
    fn unaccepted(&self, shard: &ShardId, up_to: Option<&RecordPosition>) -> Option<RecordPosition> {
        let state = self.state.lock().unwrap();
        let positions = state.by_shard.get(shard)?;
        let missing =
            positions.iter().filter(|position| up_to.is_none_or(|limit| *position <= limit)).find(|position| {
                let id = (shard.clone(), (*position).clone());
                state.required.contains(&id) && !state.accepted.contains_key(&id)
            });
        missing.cloned()
    }

    pub(crate) fn report(&self, violation: String) {
        self.state.lock().unwrap().violation.get_or_insert(violation);
    }

    pub(crate) fn result(&self) -> Result<(), String> {
        self.state.lock().unwrap().violation.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn outstanding(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.required.iter().filter(|id| !state.accepted.contains_key(id)).count()
    }

    pub(crate) fn duplicates(&self) -> usize {
        self.state.lock().unwrap().accepted.values().filter(|times| **times > 1).count()
    }

    pub(crate) fn required(&self) -> usize {
        self.state.lock().unwrap().required.len()
    }

    /// Checks after all workers have stopped: no lease has an owner, and a restart would repeat no delivery.
    pub(crate) fn final_violation(&self) -> Option<String> {
        for lease in self.leases.leases() {
            if lease.owner.is_some() && !lease.checkpoint.is_ended() {
                return Some(format!("a lease is still owned: {lease:?}"));
            }
            let state = self.state.lock().unwrap();
            let accepted =
                |position: &&RecordPosition| state.accepted.contains_key(&(lease.shard.clone(), (*position).clone()));
            let last = state.by_shard.get(&lease.shard).and_then(|positions| positions.iter().rev().find(accepted));
            if last.is_some_and(|last| Checkpoint::After(last.clone()).is_beyond(&lease.checkpoint)) {
                return Some(format!("accepted up to {last:?} but stored {lease:?}"));
            }
        }
        None
    }
}

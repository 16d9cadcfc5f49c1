//! Watches a run and names the first broken invariant.

use bindd::domain::{Checkpoint, RecordPosition, ShardId, WorkerId};
use bindd::testing::{MemoryLeaseStore, MemoryStream, Put};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
struct Book {
    /// By key, in the order of the puts.
    by_key: BTreeMap<String, Vec<Put>>,
    by_shard: BTreeMap<ShardId, Vec<RecordPosition>>,
    keys: BTreeMap<(ShardId, RecordPosition), String>,
    /// Those that must be delivered: put once the consumer had begun.
    required: BTreeSet<(ShardId, RecordPosition)>,
    accepted: BTreeMap<(ShardId, RecordPosition), u32>,
    checkpoints: BTreeMap<ShardId, Checkpoint>,
    fault: Option<String>,
}

/// Clones are the same judge.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    book: Arc<Mutex<Book>>,
    pub(crate) stream: MemoryStream,
    pub(crate) leases: MemoryLeaseStore,
}

impl Judge {
    pub(crate) fn new(stream: MemoryStream, leases: MemoryLeaseStore) -> Self {
        Self { book: Arc::default(), stream, leases }
    }

    pub(crate) fn put(&self, key: &str, required: bool) {
        let Some(put) = self.stream.put(key, key.to_owned()) else { return };
        let mut book = self.book.lock().unwrap();
        let id = (put.shard.clone(), put.position.clone());
        book.by_key.entry(key.to_owned()).or_default().push(put.clone());
        book.by_shard.entry(put.shard).or_default().push(put.position);
        book.keys.insert(id.clone(), key.to_owned());
        if required {
            book.required.insert(id);
        }
    }

    pub(crate) fn begun(&self, worker: &WorkerId, shard: &ShardId, position: &RecordPosition) {
        let Some(lease) = self.leases.lease(shard) else {
            return self.accuse(format!("{worker} delivers {shard} which has no lease"));
        };
        if lease.owner.as_ref() != Some(worker) && lease.handoff_from.as_ref() != Some(worker) {
            self.accuse(format!("{worker} began to deliver {shard} {position}, the lease is {lease:?}"));
        }
        let unread = lease.parents.iter().find_map(|parent| self.unaccepted(parent, None));
        if let Some(unread) = unread {
            self.accuse(format!("{shard} is delivered before its parent's record {unread}"));
        }
    }

    pub(crate) fn accepted(&self, shard: &ShardId, position: &RecordPosition) {
        let mut book = self.book.lock().unwrap();
        let id = (shard.clone(), position.clone());
        let Some(key) = book.keys.get(&id).cloned() else {
            drop(book);
            return self.accuse(format!("{shard} {position} was never put"));
        };
        *book.accepted.entry(id.clone()).or_insert(0) += 1;
        let before = book.by_key[&key].iter().map(|put| (put.shard.clone(), put.position.clone()));
        let late = before
            .take_while(|put| *put != id)
            .find(|put| book.required.contains(put) && !book.accepted.contains_key(put));
        drop(book);
        if let Some(late) = late {
            self.accuse(format!("{key}: {shard} {position} was accepted before {late:?}"));
        }
    }

    pub(crate) fn checkpointed(&self, shard: &ShardId, checkpoint: &Checkpoint) {
        let ahead = match checkpoint {
            Checkpoint::NotStarted(_) => None,
            Checkpoint::After(position) => self.unaccepted(shard, Some(position)),
            Checkpoint::Ended => self.unaccepted(shard, None),
        };
        if let Some(ahead) = ahead {
            self.accuse(format!("{shard} was checkpointed at {checkpoint:?} before {ahead} was accepted"));
        }
        let before = self.book.lock().unwrap().checkpoints.insert(shard.clone(), checkpoint.clone());
        if before.is_some_and(|before| !checkpoint.is_beyond(&before)) {
            self.accuse(format!("{shard}: checkpoint went back to {checkpoint:?}"));
        }
    }

    /// The first required record up to a position (or at all) that was not accepted.
    fn unaccepted(&self, shard: &ShardId, up_to: Option<&RecordPosition>) -> Option<RecordPosition> {
        let book = self.book.lock().unwrap();
        let positions = book.by_shard.get(shard)?;
        let missing =
            positions.iter().filter(|position| up_to.is_none_or(|limit| *position <= limit)).find(|position| {
                let id = (shard.clone(), (*position).clone());
                book.required.contains(&id) && !book.accepted.contains_key(&id)
            });
        missing.cloned()
    }

    pub(crate) fn accuse(&self, fault: String) {
        self.book.lock().unwrap().fault.get_or_insert(fault);
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        self.book.lock().unwrap().fault.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn outstanding(&self) -> usize {
        let book = self.book.lock().unwrap();
        book.required.iter().filter(|id| !book.accepted.contains_key(id)).count()
    }

    pub(crate) fn duplicates(&self) -> usize {
        self.book.lock().unwrap().accepted.values().filter(|times| **times > 1).count()
    }

    pub(crate) fn required(&self) -> usize {
        self.book.lock().unwrap().required.len()
    }

    /// After all stopped in peace: nobody holds a lease, and a restart would repeat nothing.
    pub(crate) fn left_behind(&self) -> Option<String> {
        for lease in self.leases.leases() {
            if lease.owner.is_some() && !lease.checkpoint.is_ended() {
                return Some(format!("a lease is still owned: {lease:?}"));
            }
            let book = self.book.lock().unwrap();
            let accepted =
                |position: &&RecordPosition| book.accepted.contains_key(&(lease.shard.clone(), (*position).clone()));
            let last = book.by_shard.get(&lease.shard).and_then(|positions| positions.iter().rev().find(accepted));
            if last.is_some_and(|last| Checkpoint::After(last.clone()).is_beyond(&lease.checkpoint)) {
                return Some(format!("accepted up to {last:?} but stored {lease:?}"));
            }
        }
        None
    }
}

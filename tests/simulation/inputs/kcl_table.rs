//! The lease table as the KCL writes it. It knows none of the attributes of bindd, and keeps them.

use super::checker::Checker;
use bindd::domain::{Checkpoint, Lease, LeaseCounter, SentinelCheckpoint, Shard, ShardId, WorkerId};

/// Names of workers of the KCL begin like this.
const PREFIX: &str = "kcl-";

/// Whether a worker belongs to the KCL.
pub(crate) fn is_kcl(worker: &WorkerId) -> bool {
    worker.as_str().starts_with(PREFIX)
}

pub(crate) fn kcl_name(number: u32) -> WorkerId {
    WorkerId::new(format!("{PREFIX}{number}"))
}

/// Which rules a worker follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KclVersion {
    /// Each worker takes leases. It does not know `checkpointOwner`.
    V2,
    /// A leader assigns leases, and hands them over with `checkpointOwner`.
    V3,
}

#[derive(Debug, Clone)]
pub(crate) struct KclTable {
    pub(crate) checker: Checker,
    pub(crate) worker: WorkerId,
    pub(crate) version: KclVersion,
}

impl KclTable {
    pub(crate) fn rows(&self) -> Vec<Lease> {
        self.checker.leases.leases()
    }

    pub(crate) fn row(&self, shard: &ShardId) -> Option<Lease> {
        self.checker.leases.lease(shard)
    }

    /// One conditional write. Returns the row after it, or nothing if the condition failed.
    fn write(
        &self,
        kind: &'static str,
        shard: &ShardId,
        condition: impl FnOnce(&Lease) -> bool,
        change: impl FnOnce(&mut Lease),
    ) -> Option<Lease> {
        let before = self.row(shard).filter(condition)?;
        let mut after = before.clone();
        change(&mut after);
        // What bindd wrote about the duration counts only while its worker holds the lease.
        if after.handoff_from.as_ref().or(after.owner.as_ref()).is_none_or(is_kcl) {
            after.owner_duration = None;
        }
        self.checker.leases.put(after.clone());
        self.checker.with(|state| state.row_changed(kind, &self.worker, Some(&before), Some(&after)));
        Some(after)
    }

    /// In the KCL 3.x not while the lease is being handed over.
    pub(crate) fn renew(&self, shard: &ShardId, counter: LeaseCounter, knows_handoff: bool) -> Option<Lease> {
        let is_free = |row: &Lease| knows_handoff || self.version == KclVersion::V2 || row.handoff_from.is_none();
        self.write("renewed", shard, |row| row.counter == counter && is_free(row), |row| row.counter = counter.next())
    }

    /// Takes a free lease, or that of a live owner.
    pub(crate) fn take(&self, seen: &Lease) -> Option<Lease> {
        let taken = self.write(
            "taken",
            &seen.shard,
            |row| row.counter == seen.counter,
            |row| {
                row.counter = row.counter.next();
                row.owner = Some(self.worker.clone());
                if self.version == KclVersion::V3 {
                    row.handoff_from = None;
                }
            },
        );
        if taken.is_some() && seen.owner.is_some() {
            self.checker.with(|state| state.hard_taken_by_kcl(&seen.shard));
        }
        taken
    }

    pub(crate) fn checkpoint(&self, shard: &ShardId, counter: LeaseCounter, checkpoint: Checkpoint) -> Option<Lease> {
        self.write(
            "checkpointed",
            shard,
            |row| row.counter == counter,
            |row| (row.counter, row.checkpoint) = (counter.next(), checkpoint),
        )
    }

    /// Gives the lease up. In a handoff the next owner gets it.
    pub(crate) fn evict(&self, shard: &ShardId) -> Option<Lease> {
        self.write(
            "evicted",
            shard,
            |row| {
                row.handoff_from.as_ref().or(row.owner.as_ref()) == Some(&self.worker)
                    || (self.version == KclVersion::V2 && row.owner.as_ref() == Some(&self.worker))
            },
            |row| {
                row.counter = row.counter.next();
                if self.version == KclVersion::V2 || row.handoff_from.take().is_none() {
                    row.owner = None;
                }
            },
        )
    }

    /// By the leader of the KCL 3.x: the lease goes to a worker, from any owner.
    pub(crate) fn assign(&self, seen: &Lease, to: &WorkerId) -> Option<Lease> {
        let is_same = |row: &Lease| row.owner == seen.owner && row.handoff_from == seen.handoff_from;
        let assigned = self.write("assigned", &seen.shard, is_same, |row| {
            (row.owner, row.handoff_from, row.counter) = (Some(to.clone()), None, row.counter.next());
        });
        if assigned.is_some() && seen.owner.is_some() {
            self.checker.with(|state| state.hard_taken_by_kcl(&seen.shard));
        }
        assigned
    }

    /// By the leader of the KCL 3.x: the owner is to drain the lease for another worker. The counter stays.
    pub(crate) fn hand_over(&self, seen: &Lease, to: &WorkerId) -> Option<Lease> {
        let is_same = |row: &Lease| row.owner == seen.owner && row.handoff_from.is_none();
        self.write("handoff begun", &seen.shard, is_same, |row| row.handoff_from = row.owner.replace(to.clone()))
    }

    pub(crate) fn store_children(&self, shard: &ShardId, children: &[ShardId]) {
        self.write("children stored", shard, |_| true, |row| row.children = children.to_vec());
    }

    pub(crate) fn create_child(&self, shard: &Shard) {
        if self.row(&shard.id).is_some() {
            return;
        }
        let lease = Lease {
            shard: shard.id.clone(),
            owner: None,
            handoff_from: None,
            counter: LeaseCounter::new(0),
            checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
            parents: shard.parents.clone(),
            children: Vec::new(),
            hash_range: shard.hash_range,
            start_at: None,
            caught_up: None,
            owner_duration: None,
            stream: None,
            stream_created: None,
        };
        self.checker.leases.put(lease.clone());
        self.checker.with(|state| state.row_changed("created", &self.worker, None, Some(&lease)));
    }
}

//! The right to write one lease, and which rows were written with it.

use super::{Checkpoint, Lease, ShardId, Timestamp, WorkerId};

/// The right to deliver and checkpoint one shard.
///
/// Not `Clone`: only `LeaseStore::take` makes one; the shard's consumer owns it, each write needs `&mut`, and `release`
/// consumes it. So ownership in Rust mirrors ownership in the table.
#[derive(Debug)]
pub struct LeaseGrant {
    lease: Lease,
    worker: WorkerId,
    /// The last checkpoint that was sent. Its response may have been lost.
    attempted: Option<Checkpoint>,
    /// See [`LeaseGrant::set_caught_up`].
    caught_up: Option<Timestamp>,
}

impl LeaseGrant {
    /// Only for implementations of `LeaseStore`: the lease after the take was stored.
    #[must_use]
    pub const fn taken(lease: Lease, worker: WorkerId) -> Self {
        Self { lease, worker, attempted: None, caught_up: None }
    }

    /// Each renewal and checkpoint from now on also stores this as [`Lease::caught_up`]. `None` leaves what is stored.
    pub const fn set_caught_up(&mut self, moment: Option<Timestamp>) {
        self.caught_up = moment;
    }

    /// What a renewal or a checkpoint is to store as [`Lease::caught_up`].
    #[must_use]
    pub const fn caught_up(&self) -> Option<Timestamp> {
        self.caught_up
    }

    /// As last stored.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    #[must_use]
    pub const fn worker(&self) -> &WorkerId {
        &self.worker
    }

    #[must_use]
    pub const fn shard(&self) -> &ShardId {
        &self.lease.shard
    }

    /// Whether another worker requested it and waits until we have drained.
    #[must_use]
    pub fn is_handed_off(&self) -> bool {
        self.lease.handoff_from.as_ref() == Some(&self.worker)
    }

    /// Only for implementations of `LeaseStore`: the lease after one of our writes was stored.
    pub fn stored(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// Only for implementations of `LeaseStore`: a checkpoint is about to be sent.
    pub fn attempting(&mut self, checkpoint: &Checkpoint) {
        self.attempted = Some(checkpoint.clone());
    }

    /// Only for implementations of `LeaseStore`: continues from the row on which a condition failed, or which was read after
    /// a lost response, if no other worker can have written it. Returns false if the lease is lost.
    ///
    /// Worker ids are unique, so a row that this worker holds was written with this grant if its counter is one higher and
    /// its checkpoint is known. A row with the same counter was changed by a request for a handoff, or its withdrawal.
    #[must_use]
    pub fn adopt(&mut self, row: Option<Lease>) -> bool {
        let Some(row) = row.filter(|row| row.is_held_by(&self.worker)) else { return false };
        let is_known = row.checkpoint == self.lease.checkpoint || self.attempted.as_ref() == Some(&row.checkpoint);
        let counter = self.lease.counter;
        let is_ours = is_known && (row.counter == counter || row.counter == counter.next());
        if is_ours {
            self.lease = row;
        }
        is_ours
    }
}

/// Whether `row` is what a take of `seen` by `worker` leaves.
#[must_use]
pub fn is_taken(row: &Lease, seen: &Lease, worker: &WorkerId) -> bool {
    row.counter == seen.counter.next() && row.owner.as_ref() == Some(worker) && row.handoff_from.is_none()
}

/// Whether `row` is what a request for a handoff from `owner` to `worker` leaves.
#[must_use]
pub fn is_requested(row: &Lease, owner: &WorkerId, worker: &WorkerId) -> bool {
    row.owner.as_ref() == Some(worker) && row.handoff_from.as_ref() == Some(owner)
}

/// Whether `row` is what a release of the grant leaves.
#[must_use]
pub fn is_released(row: &Lease, grant: &LeaseGrant) -> bool {
    let next_owner = if grant.is_handed_off() { grant.lease().owner.as_ref() } else { None };
    row.counter == grant.lease().counter.next() && row.handoff_from.is_none() && row.owner.as_ref() == next_owner
}

/// Whether a completed handoff left the lease to `worker`, which does not hold it.
#[must_use]
pub fn is_reserved(row: &Lease, worker: &WorkerId) -> bool {
    row.owner.as_ref() == Some(worker) && row.handoff_from.is_none()
}

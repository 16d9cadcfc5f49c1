//! Leases: who reads a shard, and its progress.
//!
//! A lease is held by its counter. Each write raises it by one and is conditional on the value last seen, so of two
//! writers one always fails and knows it. No clock is compared between workers: a lease counts as expired when its
//! counter has not changed for the lease duration, as observed locally (the KCL's rule).

use super::{
    Checkpoint, HashKeyRange, RecordPosition, SentinelCheckpoint, ShardId, StartingPosition, StreamIdentity, Timestamp,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Identifies one running worker; unique among all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

string_newtype!(WorkerId, new);

/// Increases by one with each take, renewal, checkpoint and release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseCounter(u64);

impl LeaseCounter {
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// After the largest number comes 0. The KCL's counters never get there, but an operator can write any number, and a
    /// counter that did not change would look like a lease without renewals.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One lease as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// During a handoff this is already the next owner.
    pub owner: Option<WorkerId>,
    /// The previous owner during a handoff; it drains and may still write.
    pub handoff_from: Option<WorkerId>,
    pub counter: LeaseCounter,
    pub checkpoint: Checkpoint,
    pub parents: Vec<ShardId>,
    /// Known once the shard has ended.
    pub children: Vec<ShardId>,
    pub hash_range: Option<HashKeyRange>,
    /// The time at which a LATEST or AT_TIMESTAMP start begins, so that a restart before the first checkpoint skips no
    /// record.
    pub start_at: Option<Timestamp>,
    /// The ARN or name of the stream that this lease belongs to; see [`crate::domain::StreamIdentity`]. Rows of the KCL
    /// and of older versions have none.
    pub stream: Option<Arc<str>>,
    /// When the stream was created that this lease belongs to.
    pub stream_created: Option<Timestamp>,
    /// Everything that arrived in the shard before this time of Kinesis was accepted, as a worker of bindd found. Records
    /// that were not read yet can have aged out only if it is longer ago than the retention period.
    pub caught_up: Option<Timestamp>,
    /// The lease duration of the worker of bindd that owns the lease, or owned it before a handoff. Other libraries have
    /// none.
    pub owner_duration: Option<Duration>,
}

impl Lease {
    /// The lease as the next take stores it: a missing stream or start time is added, and an ARN replaces a name.
    #[must_use]
    pub fn completed(mut self, stream: &StreamIdentity, latest_from: Option<Timestamp>) -> Self {
        let is_exact = self.stream.as_deref().is_some_and(StreamIdentity::is_arn);
        if self.stream.is_none() || (StreamIdentity::is_arn(&stream.stream) && !is_exact) {
            self.stream = Some(Arc::clone(&stream.stream));
        }
        self.stream_created = self.stream_created.or(stream.created);
        if self.lacks_start() {
            self.start_at = latest_from;
        }
        self
    }

    /// Whether this worker may renew and checkpoint it.
    #[must_use]
    pub fn is_held_by(&self, worker: &WorkerId) -> bool {
        match &self.handoff_from {
            Some(old_owner) => old_owner == worker,
            None => self.owner.as_ref() == Some(worker),
        }
    }

    /// Whether it was created and never taken.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.counter == LeaseCounter(0) && self.owner.is_none()
    }

    /// Whether it starts at LATEST without a start time. It would skip records each time it is opened again before the first
    /// checkpoint.
    #[must_use]
    pub fn lacks_start(&self) -> bool {
        self.checkpoint == Checkpoint::NotStarted(SentinelCheckpoint::Latest) && self.start_at.is_none()
    }

    /// Where to open the shard. A resumed shard opens *at* its checkpoint, because the record there may be an aggregate of
    /// which only a part was delivered; the reader skips records up to the checkpoint.
    #[must_use]
    pub fn opening(&self) -> StartingPosition {
        match (&self.checkpoint, self.start_at) {
            (Checkpoint::After(RecordPosition { sequence, .. }), _) => StartingPosition::At(sequence.clone()),
            (Checkpoint::NotStarted(SentinelCheckpoint::Latest | SentinelCheckpoint::AtTimestamp), Some(moment)) => {
                StartingPosition::AtTimestamp(moment)
            }
            (Checkpoint::NotStarted(SentinelCheckpoint::Latest), None) => StartingPosition::Latest,
            // An AT_TIMESTAMP row of the KCL has no time: begin at TRIM_HORIZON, so that no record is skipped.
            (
                Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon | SentinelCheckpoint::AtTimestamp)
                | Checkpoint::Ended,
                _,
            ) => StartingPosition::TrimHorizon,
        }
    }
}

/// A lease to be created if there is none for its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLease {
    pub shard: ShardId,
    /// Not started, or the known progress if an earlier row was lost.
    pub checkpoint: Checkpoint,
    /// See [`Lease::start_at`].
    pub start_at: Option<Timestamp>,
    pub parents: Vec<ShardId>,
    pub hash_range: Option<HashKeyRange>,
    pub stream: Option<Arc<str>>,
    pub stream_created: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_at_its_limit_still_changes() {
        assert_eq!(LeaseCounter::new(7).next(), LeaseCounter::new(8));
        assert_eq!(LeaseCounter::new(u64::MAX).next(), LeaseCounter::new(0));
    }
}

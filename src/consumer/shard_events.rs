//! Events and effects of a shard consumer.

use super::identity::Replacement;
use super::shard_end::ListedShard;
use crate::domain::{
    Checkpoint, Fetched, LeaseError, Record, RecordPosition, Renewed, RetrievalError, ShardId, StartingPosition,
};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) enum Event {
    Opened(Result<(), RetrievalError>),
    Fetched(Result<Fetched, RetrievalError>),
    Listed(ListedShard),
    /// The stream is not the one that the lease was created for.
    Replaced(Replacement),
    /// The app accepted this record.
    Accepted(RecordPosition),
    /// After [`Effect::DrainDelivery`]: no record is in flight any more.
    Drained,
    /// A call to the lease store that was sent at `begun` returned.
    LeaseCallDone {
        begun: Instant,
        result: LeaseCallResult,
        handed_off: bool,
    },
    StopRequested,
    /// Drop everything.
    Forced,
    /// The time of `wake_at` was reached.
    Woke,
}

#[derive(Debug)]
pub(super) enum LeaseCallResult {
    Renewed(Result<Renewed, LeaseError>),
    Checkpointed(Checkpoint, Result<(), LeaseError>),
    ChildrenStored(Result<(), LeaseError>),
    Released(Result<(), LeaseError>),
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Open { position: StartingPosition, after: Duration },
    Fetch { after: Duration },
    ListShards,
    StopReading,
    Deliver(Vec<Record>),
    SetFence(Instant),
    DrainDelivery,
    AbortDelivery,
    Lease(LeaseCall),
    End(EndReason),
}

/// A call to the lease store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeaseCall {
    Renew,
    Checkpoint(Checkpoint),
    StoreChildren(Vec<ShardId>),
    Release,
}

/// Why a shard consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    /// All records of the shard were accepted.
    ShardEnded,
    /// A stop was requested.
    Stopped,
    /// Another worker requested the lease.
    HandedOff,
    /// Another worker took the lease, or may have taken it.
    LeaseLost,
    /// The lease store is unusable, or the consumer panicked.
    Failed,
    /// A stop was requested, and the record in flight or the last lease call exceeded the drain limit.
    Aborted,
    /// The shard exists but cannot be read. The input must be restarted.
    Unreadable,
    /// The stream is not the one that the lease was created for.
    Replaced(Replacement),
    /// A forced stop was requested.
    Forced,
}

impl EndReason {
    /// The reason to report after the drain limit was exceeded.
    pub(super) const fn or_aborted(self) -> Self {
        match self {
            Self::Stopped => Self::Aborted,
            Self::ShardEnded
            | Self::HandedOff
            | Self::LeaseLost
            | Self::Failed
            | Self::Aborted
            | Self::Unreadable
            | Self::Replaced(_)
            | Self::Forced => self,
        }
    }
}

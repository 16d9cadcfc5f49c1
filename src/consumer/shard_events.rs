//! Events and effects of a shard consumer.

use super::delivery::Delivered;
use super::identity::Replacement;
use super::renewer_task::RenewerEvent;
use super::shard_end::ListedShard;
use crate::domain::{Checkpoint, Fetched, Record, ResetPosition, RetrievalError, ShardId, StartingPosition};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) enum Event {
    Opened(Result<(), RetrievalError>),
    Fetched(Result<Fetched, RetrievalError>),
    Listed(ListedShard),
    /// The stream is not the one that the lease was created for.
    Replaced(Replacement),
    Delivered(Delivered),
    /// The lease changed.
    Renewer(RenewerEvent),
    StopRequested(Urgency),
    /// Drop everything.
    Forced,
    /// The time of `wake_at` was reached.
    Woke,
}

/// Which limit a drain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The process ends, or others wait for the shard.
    Urgent,
    /// The input alone ends, so the app may take its time.
    Retire,
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Open {
        position: StartingPosition,
        after: Duration,
    },
    /// Fetch as soon as there is memory.
    Fetch {
        after: Duration,
    },
    ListShards,
    StopReading,
    Deliver {
        first_index: u64,
        records: Vec<Record>,
        lag: Option<Duration>,
    },
    /// Records that lie before others which were sent may begin until this moment.
    DrainDelivery(Instant),
    AbortDelivery,
    /// Progress to be stored with the next write of the lease.
    Progress(Checkpoint),
    /// The shard is read from here again, because the stream does not know the stored position: store that.
    StoreReset(ResetPosition),
    /// Renew the lease at once, and report it.
    VerifyLease,
    /// All records of the shard were accepted, and it has these children: store that and release the lease.
    Finish(Vec<ShardId>),
    /// Store progress and release the lease, or give up at this moment.
    Release(Instant),
    End(EndReason),
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
    /// A stop was requested, and the records in flight or the last lease call exceeded the drain limit.
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

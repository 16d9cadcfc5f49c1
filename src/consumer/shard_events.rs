//! What a shard consumer is told, and what it wants done.

use super::delivery::Delivered;
use super::end_check::ListedShard;
use crate::domain::{
    Checkpoint, Fetched, LeaseError, Record, Renewed, RetrievalError, ShardId, StartingPosition, Timestamp,
};
use std::time::Duration;
use tokio::time::Instant;

/// Something that came to an end, or came to pass.
#[derive(Debug)]
pub(super) enum Event {
    /// The shard was opened, or not.
    Opened(Result<(), RetrievalError>),
    /// A read ended.
    Fetched(Result<Fetched, RetrievalError>),
    /// The shards were listed.
    Listed(ListedShard),
    /// The stream is not the one that the lease was made for; their creation times.
    Replaced { leased: Timestamp, found: Timestamp },
    /// Delivery told something.
    Delivered(Delivered),
    /// A call to the lease store ended; it was sent at `begun`.
    Leased { begun: Instant, answer: LeaseAnswer, handed_off: bool },
    /// The worker asks to finish.
    StopAsked,
    /// The worker asks to drop everything.
    Forced,
    /// The moment of `wake_at` came.
    Woke,
}

/// What the lease store answered to which call.
#[derive(Debug)]
pub(super) enum LeaseAnswer {
    Renewed(Result<Renewed, LeaseError>),
    Checkpointed(Checkpoint, Result<(), LeaseError>),
    ChildrenNoted(Result<(), LeaseError>),
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
    DropDelivery,
    Lease(LeaseCall),
    End(Ending),
}

/// A call to the lease store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeaseCall {
    Renew,
    Checkpoint(Checkpoint),
    NoteChildren(Vec<ShardId>),
    Release,
}

/// Why a consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything in the shard was accepted.
    ShardEnded,
    /// The worker was asked to finish.
    Stopped,
    /// Another worker asked for the lease.
    HandedOff,
    /// The lease was lost or is no longer surely ours.
    LeaseLost,
    /// The lease store cannot be used, or the consumer itself failed.
    Failed,
    /// The worker was asked to finish, but the record in hand, or the lease, took too long.
    Cut,
    /// The shard is there but cannot be read; the whole input must be set up anew.
    Unreadable,
    /// The stream is not the one that the lease was made for; their creation times.
    Replaced { leased: Timestamp, found: Timestamp },
    /// The worker was told to drop everything.
    Forced,
}

impl Ending {
    /// The same ending where not all could be finished.
    pub(super) const fn cut(self) -> Self {
        match self {
            Self::Stopped => Self::Cut,
            Self::ShardEnded
            | Self::HandedOff
            | Self::LeaseLost
            | Self::Failed
            | Self::Cut
            | Self::Unreadable
            | Self::Replaced { .. }
            | Self::Forced => self,
        }
    }
}

//! What an input reports about itself and its shards, for people and monitoring.

use super::{Checkpoint, LeaseCounter, ShardId, WorkerId};
use std::sync::Arc;
use std::time::Duration;

/// What an input does with a shard whose lease it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardState {
    /// The shard was not read yet.
    Starting,
    Reading,
    /// The last read failed.
    ReadFailing,
    /// Nothing is read until an operator acts.
    Halted,
    /// Nothing more is delivered, and the lease is being released.
    Draining,
    /// Read to its end; the last records are being delivered.
    Finishing,
}

impl ShardState {
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Reading, Self::ReadFailing, Self::Halted, Self::Draining, Self::Finishing];

    /// A stable word for pages, logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::ReadFailing => "read_failing",
            Self::Halted => "halted",
            Self::Draining => "draining",
            Self::Finishing => "finishing",
        }
    }
}

/// An input at one moment.
#[derive(Debug, Clone)]
pub struct InputReport {
    /// As in the component file.
    pub mode: &'static str,
    pub stream: String,
    pub lease_table: String,
    /// This sidecar's owner name in the lease table.
    pub worker: WorkerId,
    /// The last failed call that concerns the whole input, such as a scan of the lease table. It has no payload.
    pub last_error: Option<ErrorReport>,
    /// In the order of their ids. Shards of other workers are as the last scan of the lease table found them; shards whose
    /// end is stored are left out.
    pub shards: Vec<ShardReport>,
}

/// An error, and how long ago it occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    /// One line of bounded length, without payload.
    pub message: Arc<str>,
    pub age: Duration,
}

/// A shard and its lease.
#[derive(Debug, Clone)]
pub struct ShardReport {
    pub shard: ShardId,
    /// Who reads it.
    pub owner: Option<WorkerId>,
    /// Who requested it from its owner.
    pub next_owner: Option<WorkerId>,
    /// As last stored.
    pub checkpoint: Checkpoint,
    /// Only for a shard that this worker reads.
    pub held: Option<HeldShard>,
}

/// A shard whose lease this worker holds.
#[derive(Debug, Clone)]
pub struct HeldShard {
    pub state: ShardState,
    /// The lease's counter when it was taken.
    pub epoch: LeaseCounter,
    /// How far behind the newest record the delivery is. It grows while the shard cannot be read.
    pub lag: Duration,
    /// Keys (or records, by the order) that wait because a record failed.
    pub parked: usize,
    /// Requests to the app, and calls that store dead letters.
    pub in_flight: usize,
    /// Records that were fetched and are not accepted.
    pub buffered_records: usize,
    pub buffered_bytes: usize,
    /// The last failed read or delivery.
    pub last_error: Option<ErrorReport>,
}

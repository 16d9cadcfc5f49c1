//! Leases: which worker reads a shard, and its checkpoint.
//!
//! Each write raises the lease counter by one and is conditional on the value last seen, so of two writers one always
//! fails and knows it. Clocks of workers are never compared: a lease counts as expired when its counter has not changed
//! for the lease duration on the local clock (the KCL's rule).

use super::{
    BoxError, Checkpoint, FailureKind, HashKeyRange, RecordPosition, ShardId, StartWord, StartingPosition,
    StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// Unique among running workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rises by one with each take, renewal, checkpoint and release.
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

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A row of the lease table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// During a handoff already the next owner.
    pub owner: Option<WorkerId>,
    /// During a handoff the previous owner, which drains its shard and may still write.
    pub handoff_from: Option<WorkerId>,
    pub counter: LeaseCounter,
    pub checkpoint: Checkpoint,
    pub parents: Vec<ShardId>,
    /// Known once the shard has ended.
    pub children: Vec<ShardId>,
    pub hash_range: Option<HashKeyRange>,
    /// The time of a LATEST or AT_TIMESTAMP start, so that a restart before the first checkpoint skips no record.
    pub start_at: Option<Timestamp>,
    /// The ARN or name of the stream that this lease belongs to. Rows of the KCL have none.
    pub stream: Option<Arc<str>>,
    /// The creation time of that stream.
    pub stream_created: Option<Timestamp>,
}

impl Lease {
    /// Adds the stream and the start time where the row lacks them, and replaces a stream's name by its ARN. The next take
    /// stores the result.
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

    /// Whether it starts at LATEST without a start time. It would skip records each time that it is opened again before
    /// the first checkpoint.
    #[must_use]
    pub fn lacks_start(&self) -> bool {
        self.checkpoint == Checkpoint::NotStarted(StartWord::Latest) && self.start_at.is_none()
    }

    /// Where to open the shard. A resumed shard opens *at* its checkpoint, since the record there may be an aggregate
    /// of which only a part was delivered; the reader skips user records up to the checkpoint.
    #[must_use]
    pub fn opening(&self) -> StartingPosition {
        match (&self.checkpoint, self.start_at) {
            (Checkpoint::After(RecordPosition { sequence, .. }), _) => StartingPosition::At(sequence.clone()),
            (Checkpoint::NotStarted(StartWord::Latest | StartWord::AtTimestamp), Some(moment)) => {
                StartingPosition::AtTimestamp(moment)
            }
            (Checkpoint::NotStarted(StartWord::Latest), None) => StartingPosition::Latest,
            // An AT_TIMESTAMP row of the KCL does not hold its time: start at the horizon rather than skip records.
            (Checkpoint::NotStarted(StartWord::TrimHorizon | StartWord::AtTimestamp) | Checkpoint::Ended, _) => {
                StartingPosition::TrimHorizon
            }
        }
    }
}

/// A lease to create where its shard has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLease {
    pub shard: ShardId,
    /// Not started, or, for a row that was deleted, the progress that this worker still knows.
    pub checkpoint: Checkpoint,
    /// See [`Lease::start_at`].
    pub start_at: Option<Timestamp>,
    pub parents: Vec<ShardId>,
    pub hash_range: Option<HashKeyRange>,
    /// See [`Lease::stream`].
    pub stream: Option<Arc<str>>,
    pub stream_created: Option<Timestamp>,
}

/// The right to deliver and checkpoint one shard.
///
/// Not `Clone`: only `LeaseStore::take` returns one, each write needs `&mut`, and `release` consumes it. Ownership in Rust
/// mirrors ownership in the table.
#[derive(Debug)]
pub struct LeaseGrant {
    lease: Lease,
    worker: WorkerId,
}

impl LeaseGrant {
    /// For implementations of `LeaseStore`: the lease after the take was stored.
    #[must_use]
    pub fn taken(lease: Lease, worker: WorkerId) -> Self {
        Self { lease, worker }
    }

    /// The lease after the last write.
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

    /// Whether another worker has requested it and waits until this one has drained the shard.
    #[must_use]
    pub fn is_handed_off(&self) -> bool {
        self.lease.handoff_from.as_ref() == Some(&self.worker)
    }

    /// For implementations of `LeaseStore`: the lease after a write of this worker was stored.
    pub fn stored(&mut self, lease: Lease) {
        self.lease = lease;
    }
}

/// The result of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// This worker still holds the lease.
    Held,
    /// Another worker has requested the lease: drain, checkpoint and release.
    HandoffAsked,
}

/// Stores leases, with optimistic locking.
///
/// Invariant: each write that raises the counter is conditional on the counter of the given lease or grant. When a response
/// is lost, the store reads the row and compares, so that a write that did arrive counts as done.
#[async_trait]
pub trait LeaseStore: Debug + Send + Sync {
    /// Creates the table if there is none, waits until it is active, and checks its key and rows.
    ///
    /// # Errors
    /// `Unusable` when bindd must not write to the table.
    async fn prepare(&self) -> Result<(), LeaseError>;

    /// Every lease, never a page of them.
    ///
    /// # Errors
    /// When the whole table could not be read.
    async fn list(&self) -> Result<Vec<Lease>, LeaseError>;

    /// Creates those that do not exist; the others stay as they are.
    ///
    /// # Errors
    /// When it is not known that all of them exist now.
    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError>;

    /// Takes a lease that has no owner, is expired, or is handed over to `worker`. Ends a handoff in progress. Also stores
    /// the stream and start time of `seen`, which the caller may have added.
    ///
    /// # Errors
    /// `Lost` when its counter is not the one seen.
    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError>;

    /// Requests that the owner drains the shard for `worker`. The counter stays, so the owner goes on renewing.
    ///
    /// # Errors
    /// `Lost` when the owner has changed or a handoff is in progress.
    async fn ask_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError>;

    /// Raises the counter, so that no other worker takes the lease as expired.
    ///
    /// # Errors
    /// `Lost` when another worker has taken it.
    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError>;

    /// Stores progress and renews in the same write. A checkpoint behind the stored one fails.
    ///
    /// # Errors
    /// `Lost` when another worker has taken it.
    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError>;

    /// Stores the children of a shard that has ended. Does not raise the counter.
    ///
    /// # Errors
    /// When it is not known to be stored.
    async fn note_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError>;

    /// Gives the lease up: to the worker that requested it, else to the first that takes it.
    ///
    /// # Errors
    /// When it is not known to be released; it then expires.
    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError>;

    /// Deletes the lease of an ended shard that is no longer needed.
    ///
    /// # Errors
    /// `Lost` when it has changed.
    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError>;
}

/// A lease operation failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another worker's write came first.
    #[error("the lease of {shard} belongs to another worker now")]
    Lost { shard: ShardId },
    /// The table exists, but bindd must not use it.
    #[error("{reason}")]
    Unusable {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The call failed or its response was not understood.
    #[error("{doing}")]
    Unavailable {
        /// What was being done, to which table or lease.
        doing: String,
        kind: FailureKind,
        #[source]
        source: BoxError,
    },
}

impl LeaseError {
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Lost { .. } => FailureKind::Conflict,
            Self::Unusable { .. } => FailureKind::Permanent,
            Self::Unavailable { kind, .. } => *kind,
        }
    }

    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

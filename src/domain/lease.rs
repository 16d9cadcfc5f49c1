//! Leases: who reads a shard, and how far it came.
//!
//! A lease is held by its counter. Each write raises it by one and is conditional on the value last seen, so of two
//! writers one always loses and knows it. No clock is compared between workers: a lease counts as expired when its
//! counter has not moved for the lease duration, as watched locally (the KCL's rule).

use super::{
    BoxError, Checkpoint, FailureKind, HashKeyRange, RecordPosition, ShardId, StartWord, StartingPosition,
    StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// Tells one running worker from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// Takes an id; it must be unique among running workers.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id.
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
    /// A counter as read from the store.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The counter after one more write.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One lease as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Who holds it; during a handoff already the next owner.
    pub owner: Option<WorkerId>,
    /// During a handoff the old owner, which drains and may still write.
    pub handoff_from: Option<WorkerId>,
    /// The optimistic lock.
    pub counter: LeaseCounter,
    /// How far it came.
    pub checkpoint: Checkpoint,
    /// Parents of the shard.
    pub parents: Vec<ShardId>,
    /// Children, known once the shard ended.
    pub children: Vec<ShardId>,
    /// What the shard covers.
    pub hash_range: Option<HashKeyRange>,
    /// Pins a LATEST or AT_TIMESTAMP start to a moment, so that a restart before the first checkpoint skips nothing.
    pub start_at: Option<Timestamp>,
    /// The ARN or name of the stream that this lease belongs to; see [`crate::domain::StreamIdentity`]. Rows of the KCL
    /// and of older versions have none.
    pub stream: Option<Arc<str>>,
    /// When the stream was created that this lease belongs to.
    pub stream_created: Option<Timestamp>,
}

impl Lease {
    /// The lease as it is to be stored by the next take: what the row does not say of its stream and its beginning is
    /// added, and an ARN replaces a name.
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

    /// Whether it is at LATEST without a moment to begin at. Opened so, it would skip records whenever it is opened again
    /// before the first checkpoint.
    #[must_use]
    pub fn lacks_start(&self) -> bool {
        self.checkpoint == Checkpoint::NotStarted(StartWord::Latest) && self.start_at.is_none()
    }

    /// Where to open the shard. A resumed shard opens *at* its checkpoint, since the record there may be an aggregate
    /// that was delivered in part; the reader skips what is not beyond the checkpoint.
    #[must_use]
    pub fn opening(&self) -> StartingPosition {
        match (&self.checkpoint, self.start_at) {
            (Checkpoint::After(RecordPosition { sequence, .. }), _) => StartingPosition::At(sequence.clone()),
            (Checkpoint::NotStarted(StartWord::Latest | StartWord::AtTimestamp), Some(moment)) => {
                StartingPosition::AtTimestamp(moment)
            }
            (Checkpoint::NotStarted(StartWord::Latest), None) => StartingPosition::Latest,
            // An AT_TIMESTAMP row of the KCL does not keep its moment: begin at the horizon rather than skip.
            (Checkpoint::NotStarted(StartWord::TrimHorizon | StartWord::AtTimestamp) | Checkpoint::Ended, _) => {
                StartingPosition::TrimHorizon
            }
        }
    }
}

/// A lease to be created if there is none for its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLease {
    /// The shard.
    pub shard: ShardId,
    /// Where it begins: not started, or, for a row that was lost, the progress that is still known.
    pub checkpoint: Checkpoint,
    /// Pins the beginning; see [`Lease::start_at`].
    pub start_at: Option<Timestamp>,
    /// Parents of the shard.
    pub parents: Vec<ShardId>,
    /// What the shard covers.
    pub hash_range: Option<HashKeyRange>,
    /// ARN or name of the stream.
    pub stream: Option<Arc<str>>,
    /// When the stream was created.
    pub stream_created: Option<Timestamp>,
}

/// The right to deliver and checkpoint one shard.
///
/// Not `Clone`: only a `LeaseStore` makes one, in `take`; it moves into the shard's consumer, each write needs `&mut`,
/// and `release` consumes it. Ownership in Rust mirrors ownership in the table.
#[derive(Debug)]
pub struct LeaseGrant {
    lease: Lease,
    worker: WorkerId,
}

impl LeaseGrant {
    /// For `LeaseStore` implementations alone: the lease as it is after the take was stored.
    #[must_use]
    pub fn taken(lease: Lease, worker: WorkerId) -> Self {
        Self { lease, worker }
    }

    /// The lease as last stored.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Who holds it.
    #[must_use]
    pub const fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// The shard.
    #[must_use]
    pub const fn shard(&self) -> &ShardId {
        &self.lease.shard
    }

    /// Whether another worker asked for it and waits for us to drain.
    #[must_use]
    pub fn is_handed_off(&self) -> bool {
        self.lease.handoff_from.as_ref() == Some(&self.worker)
    }

    /// For `LeaseStore` implementations alone: the lease as it is after a write of ours was stored.
    pub fn stored(&mut self, lease: Lease) {
        self.lease = lease;
    }
}

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease is ours.
    Held,
    /// Another worker asked for it: drain, checkpoint and release.
    HandoffAsked,
}

/// Keeps leases, with optimistic locking.
///
/// Law: each write that moves the counter is conditional on the counter of the lease or grant it is given. When a reply is lost the store
/// reads back and compares, so that a write of ours that did arrive counts as done.
#[async_trait]
pub trait LeaseStore: Debug + Send + Sync {
    /// Makes the store usable: creates the table if there is none, waits until it is active, checks its form.
    ///
    /// # Errors
    /// `Unusable` when the table is not one we may write to.
    async fn prepare(&self) -> Result<(), LeaseError>;

    /// Every lease, complete.
    ///
    /// # Errors
    /// When the store could not be read to its end.
    async fn list(&self) -> Result<Vec<Lease>, LeaseError>;

    /// Creates those that do not exist; the others stay as they are.
    ///
    /// # Errors
    /// When it is not known that all of them exist now.
    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError>;

    /// Takes a lease that is unowned, expired, or handed over to us. Ends a handoff in progress. Stores what `seen` says of
    /// the stream and of the beginning, which the caller may have completed.
    ///
    /// # Errors
    /// `Lost` when its counter is not the one seen.
    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError>;

    /// Asks the owner of a lease to drain it for `worker`. The counter does not move, so the owner goes on renewing.
    ///
    /// # Errors
    /// `Lost` when the owner is not the one seen or a handoff is under way.
    async fn ask_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError>;

    /// Raises the counter so that nobody takes the lease.
    ///
    /// # Errors
    /// `Lost` when another has taken it.
    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError>;

    /// Stores progress and renews in the same write. Refuses to go back.
    ///
    /// # Errors
    /// `Lost` when another has taken it.
    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError>;

    /// Notes the children of a shard that ended. Does not move the counter.
    ///
    /// # Errors
    /// When it is not known to be stored.
    async fn note_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError>;

    /// Gives the lease up: to the worker that asked for it, else to whoever comes first.
    ///
    /// # Errors
    /// When it is not known to be released; it then expires.
    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError>;

    /// Deletes the lease of an ended shard that nobody needs any more.
    ///
    /// # Errors
    /// `Lost` when it changed since it was seen.
    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError>;
}

/// A lease operation failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another worker's write came first.
    #[error("the lease of {shard} belongs to another worker now")]
    Lost {
        /// The shard.
        shard: ShardId,
    },
    /// The store is there but we must not use it.
    #[error("{reason}")]
    Unusable {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The store did not answer as it should.
    #[error("{doing}")]
    Unavailable {
        /// What was being done, to which table or lease.
        doing: String,
        /// What it means.
        kind: FailureKind,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

impl LeaseError {
    /// What the failure means for a retry.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Lost { .. } => FailureKind::Conflict,
            Self::Unusable { .. } => FailureKind::Permanent,
            Self::Unavailable { kind, .. } => *kind,
        }
    }

    /// Whether the grant is gone.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

//! The port that stores leases.

use super::{BoxError, Checkpoint, FailureKind, Lease, LeaseGrant, NewLease, ResetPosition, ShardId, WorkerId};
use async_trait::async_trait;
use std::fmt::Debug;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    Held,
    /// Another worker requested it: drain, checkpoint and release.
    HandoffRequested,
}

/// Stores leases, with optimistic locking.
///
/// Invariant: each write that changes the counter is conditional on the counter of the given lease or grant. When a response
/// is lost, the store reads back and compares, so that a write that did arrive counts as done.
///
/// Invariant: after `take`, `renew`, `checkpoint` and `reset` succeeded, the counter was moved by a write that was sent
/// after the call began. A row that shows that an earlier write moved it is not enough: other workers count the lease
/// duration from that earlier moment. The store continues from such a row ([`LeaseGrant::adopt`]) and writes again.
#[async_trait]
pub trait LeaseStore: Debug + Send + Sync {
    /// Makes the store usable: creates the table if it does not exist, waits until it is active, checks its schema.
    ///
    /// # Errors
    /// `Unusable` when the table must not be used for leases.
    async fn prepare(&self) -> Result<(), LeaseError>;

    /// Lists all leases, or fails; never returns only a part.
    ///
    /// # Errors
    /// When the store could not be read completely.
    async fn list(&self) -> Result<Vec<Lease>, LeaseError>;

    /// Creates the leases that do not exist; the others stay unchanged.
    ///
    /// # Errors
    /// When it is not sure that all of them exist now.
    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError>;

    /// Takes a lease that has no owner, has expired, or is handed over to us. Ends a handoff in progress. Also stores the
    /// stream and start time of `seen`, which the caller may have [completed](Lease::completed), and its `owner_duration`
    /// as that of `worker`.
    ///
    /// # Errors
    /// `Lost` when its counter is not that of `seen`.
    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError>;

    /// Requests that the owner of a lease drains it for `worker`. The counter stays, so the owner can still renew.
    ///
    /// # Errors
    /// `Lost` when the owner is not that of `seen`, or a handoff is in progress.
    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError>;

    /// Takes back a request for a handoff of `seen`, the lease as it was given to [`LeaseStore::request_handoff`]: the old
    /// owner keeps it. If it has released the lease to `worker` by now, the lease gets no owner. The caller must not hold
    /// the lease.
    ///
    /// # Errors
    /// When it is not sure that the lease is not reserved for `worker` any more.
    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError>;

    /// Increases the counter, so that no other worker takes the lease as expired. Also stores the
    /// [`caught_up`](LeaseGrant::caught_up) of the grant, if it has one.
    ///
    /// # Errors
    /// `Lost` when another worker has taken it.
    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError>;

    /// Stores progress and renews, in one write. Never moves a checkpoint back. Stores `caught_up` as a renewal does.
    ///
    /// # Errors
    /// `Lost` when another worker has taken it.
    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError>;

    /// Stores that the shard is to be read from `start` again, and renews, in one write. Only for an owner whose stored
    /// position the stream does not know: no other write moves a checkpoint back. The end of a shard stays. Removes
    /// `caught_up`.
    ///
    /// # Errors
    /// `Lost` when another worker has taken it.
    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError>;

    /// Stores the children of a shard that ended. Does not change the counter, and needs no lease: the children of a shard
    /// never change.
    ///
    /// # Errors
    /// When it is not sure that they are stored.
    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError>;

    /// Releases the lease: to the worker that requested it, else to the first that takes it.
    ///
    /// # Errors
    /// When it is not sure that it is released; it then expires.
    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError>;

    /// Deletes the lease of an ended shard, once no child needs it, or one that was never taken.
    ///
    /// # Errors
    /// `Lost` when it is not as in `seen` any more, or is neither.
    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError>;
}

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("the lease of {shard} belongs to another worker now")]
    Lost { shard: ShardId },
    /// The store exists, but must not be used.
    #[error("{reason}")]
    Unusable { reason: String },
    /// A call of the store failed.
    #[error("{doing}")]
    Unavailable {
        /// The operation, and its table or lease.
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

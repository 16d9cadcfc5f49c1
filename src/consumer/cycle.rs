//! The coordinator's calls to the world: one scan of the leases, one listing of the shards, or one round of actions.

use super::error::ConsumerError;
use super::identity::IdentityCheck;
use super::settings::Ports;
use crate::domain::{Lease, LeaseError, LeaseGrant, NewLease, RetrievalError, ShardListing, StreamIdentity, WorkerId};
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::time::Instant;

/// What a scan saw; it began at `begun`.
#[derive(Debug)]
pub(super) struct View {
    pub(super) begun: Instant,
    pub(super) leases: Vec<Lease>,
}

/// What Kinesis returned about the stream. One call may fail without the other.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) listing: Result<ShardListing, RetrievalError>,
    /// Only where it was wanted.
    pub(super) identity: Option<Result<StreamIdentity, RetrievalError>>,
}

/// A change to the leases.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create(Vec<NewLease>),
    /// Creates leases in a table that has none.
    CreateFirst(Vec<NewLease>),
    Remove(Lease),
    Take(Lease),
    Ask(Lease),
}

/// Actions whose failures say nothing about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ActionKind {
    Create,
    Remove,
    Take,
    Ask,
}

impl Action {
    pub(super) const fn kind(&self) -> ActionKind {
        match self {
            Self::Create(_) | Self::CreateFirst(_) => ActionKind::Create,
            Self::Remove(_) => ActionKind::Remove,
            Self::Take(_) => ActionKind::Take,
            Self::Ask(_) => ActionKind::Ask,
        }
    }
}

/// How an action went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A lease was taken by a call that began at the moment given.
    Taken(Box<LeaseGrant>, Instant),
    /// Leases were created: look again at once.
    Created,
    /// Nothing to follow: done, or another was faster.
    Settled,
    /// The store failed.
    Failed(LeaseError),
}

/// Reads all leases.
pub(super) async fn scan(ports: Ports) -> Result<View, ConsumerError> {
    let begun = Instant::now();
    let leases = ports.leases.list().await?;
    Ok(View { begun, leases })
}

/// Lists the shards and, where it is wanted, identifies the stream. In this order: a stream that was replaced in between
/// is then known by its new identity.
pub(super) async fn list(ports: Ports, check: Arc<IdentityCheck>, wants_identity: bool) -> Listed {
    let begun = Instant::now();
    let listing = ports.directory.list().await;
    let identity = if wants_identity { Some(check.since(begun).await) } else { None };
    Listed { listing, identity }
}

/// Performs actions side by side.
pub(super) async fn act(ports: Ports, worker: WorkerId, actions: Vec<Action>) -> Vec<(ActionKind, Outcome)> {
    join_all(actions.into_iter().map(|action| perform(&ports, &worker, action))).await
}

async fn perform(ports: &Ports, worker: &WorkerId, action: Action) -> (ActionKind, Outcome) {
    let (kind, begun) = (action.kind(), Instant::now());
    let result = match action {
        Action::Create(leases) => ports.leases.create_missing(&leases).await.map(|()| Outcome::Created),
        Action::CreateFirst(leases) => create_first(ports, &leases).await.map(|()| Outcome::Created),
        Action::Remove(lease) => ports.leases.remove(&lease).await.map(|()| Outcome::Settled),
        Action::Take(lease) => {
            ports.leases.take(&lease, worker).await.map(|grant| Outcome::Taken(Box::new(grant), begun))
        }
        Action::Ask(lease) => ports.leases.ask_handoff(&lease, worker).await.map(|()| Outcome::Settled),
    };
    let outcome = match result {
        Ok(outcome) => outcome,
        // Another worker was faster, which is as good.
        Err(LeaseError::Lost { .. }) => Outcome::Settled,
        Err(error) => Outcome::Failed(error),
    };
    (kind, outcome)
}

/// The first row decides which stream the table belongs to, so it is created alone. Two workers that read different
/// streams by mistake would otherwise mix their rows, and neither could go on.
async fn create_first(ports: &Ports, leases: &[NewLease]) -> Result<(), LeaseError> {
    let Some(first) = leases.iter().min_by(|one, other| one.shard.cmp(&other.shard)) else { return Ok(()) };
    ports.leases.create_missing(std::slice::from_ref(first)).await?;
    let rows = ports.leases.list().await?;
    let own = first.stream.as_deref();
    let is_other = |row: &Lease| {
        row.stream.as_deref().zip(own).is_some_and(|(row, own)| !StreamIdentity::may_be_same(row, own))
            || row.stream_created.zip(first.stream_created).is_some_and(|(row, own)| row != own)
    };
    // What follows from a foreign row is decided by the next scan.
    if rows.iter().any(is_other) { Ok(()) } else { ports.leases.create_missing(leases).await }
}

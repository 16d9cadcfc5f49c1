//! The coordinator's calls to the world: one scan, or one round of actions.

use super::error::ConsumerError;
use super::settings::Ports;
use crate::domain::{Lease, LeaseError, LeaseGrant, NewLease, RetrievalError, ShardListing, WorkerId};
use futures_util::future::join_all;
use tokio::time::Instant;

/// What a scan saw; it began at `begun`.
#[derive(Debug)]
pub(super) struct View {
    pub(super) begun: Instant,
    pub(super) leases: Vec<Lease>,
    /// Only where it was asked for or needed. A listing that failed does not keep anybody from taking leases.
    pub(super) listing: Option<Result<ShardListing, RetrievalError>>,
}

/// A change to the leases.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create(Vec<NewLease>),
    Remove(Lease),
    Take(Lease),
    Ask(Lease),
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

/// Reads all leases, and the shards when asked, when there are no leases, or when one has ended.
pub(super) async fn scan(ports: Ports, wants_listing: bool) -> Result<View, ConsumerError> {
    let begun = Instant::now();
    let leases = ports.leases.list().await?;
    let needed = wants_listing || leases.is_empty() || leases.iter().any(|lease| lease.checkpoint.is_ended());
    let listing = if needed { Some(ports.directory.list().await) } else { None };
    Ok(View { begun, leases, listing })
}

/// Performs actions side by side.
pub(super) async fn act(ports: Ports, worker: WorkerId, actions: Vec<Action>) -> Vec<Outcome> {
    join_all(actions.into_iter().map(|action| perform(&ports, &worker, action))).await
}

async fn perform(ports: &Ports, worker: &WorkerId, action: Action) -> Outcome {
    let begun = Instant::now();
    let result = match action {
        Action::Create(leases) => ports.leases.create_missing(&leases).await.map(|()| Outcome::Created),
        Action::Remove(lease) => ports.leases.remove(&lease).await.map(|()| Outcome::Settled),
        Action::Take(lease) => {
            ports.leases.take(&lease, worker).await.map(|grant| Outcome::Taken(Box::new(grant), begun))
        }
        Action::Ask(lease) => ports.leases.ask_handoff(&lease, worker).await.map(|()| Outcome::Settled),
    };
    match result {
        Ok(outcome) => outcome,
        // Another worker was faster, which is as good.
        Err(LeaseError::Lost { .. }) => Outcome::Settled,
        Err(error) => Outcome::Failed(error),
    }
}

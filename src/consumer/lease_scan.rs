//! The coordinator's I/O: scan the leases, list the shards, change leases.

use super::error::ConsumerError;
use super::identity::IdentityCheck;
use super::settings::Ports;
use crate::domain::{
    Lease, LeaseError, LeaseGrant, NewLease, RecordDistribution, RetrievalError, ShardListing, StreamIdentity, WorkerId,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Each open call may need a connection of its own.
const CONCURRENT_CHANGES: usize = 16;
const WITHDRAW_RETRIES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_millis(1_000)];

/// The leases as a scan that began at `begun` returned them.
#[derive(Debug)]
pub(super) struct ScanResult {
    pub(super) begun: Instant,
    pub(super) leases: Vec<Lease>,
}

/// What Kinesis returned about the stream. One of the two calls may fail without the other.
#[derive(Debug)]
pub(super) struct StreamListing {
    pub(super) shards: Result<ShardListing, RetrievalError>,
    /// `None` where it was not requested.
    pub(super) identity: Option<Result<StreamIdentity, RetrievalError>>,
    /// As of the last identification.
    pub(super) distribution: RecordDistribution,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeaseChange {
    Create(Vec<NewLease>),
    /// Creates leases in a table that has none.
    CreateFirst(Vec<NewLease>),
    Remove(Lease),
    Take(Lease),
    RequestHandoff(Lease),
    /// Gives up what was requested or taken with this lease as it was seen then.
    Withdraw(Lease),
}

/// Each kind has its own backoff, because a failure of one says nothing about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeKind {
    Create,
    Remove,
    Take,
    RequestHandoff,
    Withdraw,
}

impl LeaseChange {
    pub(super) const fn kind(&self) -> ChangeKind {
        match self {
            Self::Create(_) | Self::CreateFirst(_) => ChangeKind::Create,
            Self::Remove(_) => ChangeKind::Remove,
            Self::Take(_) => ChangeKind::Take,
            Self::RequestHandoff(_) => ChangeKind::RequestHandoff,
            Self::Withdraw(_) => ChangeKind::Withdraw,
        }
    }

    /// The lease of another worker, or of none, to which the change makes a claim.
    const fn claimed(&self) -> Option<&Lease> {
        match self {
            Self::Take(lease) | Self::RequestHandoff(lease) | Self::Withdraw(lease) => Some(lease),
            Self::Create(_) | Self::CreateFirst(_) | Self::Remove(_) => None,
        }
    }
}

impl ChangeKind {
    /// For the log.
    pub(super) const fn failure(self) -> &'static str {
        match self {
            Self::Create => "leases could not be created",
            Self::Remove => "leases could not be removed",
            Self::Take => "leases could not be taken",
            Self::RequestHandoff => "handoff of a lease could not be requested",
            Self::Withdraw => "claims to leases could not be withdrawn",
        }
    }
}

#[derive(Debug)]
pub(super) enum ChangeResult {
    /// A lease was taken; the call began at this moment.
    Taken(Box<LeaseGrant>, Instant),
    Created,
    Done,
    /// Another worker changed the lease first.
    Lost,
    Failed(LeaseError),
}

/// A change that was made or that failed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    /// For `Take`, `RequestHandoff` and `Withdraw`: the lease as it was seen before.
    pub(super) lease: Option<Lease>,
    pub(super) result: ChangeResult,
}

pub(super) async fn scan(ports: Ports) -> Result<ScanResult, ConsumerError> {
    let begun = Instant::now();
    let leases = ports.leases.list().await?;
    Ok(ScanResult { begun, leases })
}

/// Lists the shards and, where that is requested, identifies the stream. In this order, so that a stream that is replaced
/// between the two calls is noticed by its new identity.
pub(super) async fn list(ports: Ports, check: Arc<IdentityCheck>, with_identity: bool) -> StreamListing {
    let begun = Instant::now();
    let shards = ports.directory.list().await;
    let identity = if with_identity { Some(check.identity_since(begun).await) } else { None };
    StreamListing { shards, identity, distribution: ports.directory.distribution() }
}

/// Makes the changes, some of them concurrently, and returns each as soon as it is made.
pub(super) fn change(ports: Ports, worker: WorkerId, changes: Vec<LeaseChange>) -> BoxStream<'static, Change> {
    let calls = changes.into_iter().map(move |change| change_one(ports.clone(), worker.clone(), change));
    stream::iter(calls).buffer_unordered(CONCURRENT_CHANGES).boxed()
}

async fn change_one(ports: Ports, worker: WorkerId, change: LeaseChange) -> Change {
    let (kind, begun, lease) = (change.kind(), Instant::now(), change.claimed().cloned());
    let result = match change {
        LeaseChange::Create(leases) => ports.leases.create_missing(&leases).await.map(|()| ChangeResult::Created),
        LeaseChange::CreateFirst(leases) => create_first(&ports, &leases).await.map(|()| ChangeResult::Created),
        LeaseChange::Remove(lease) => ports.leases.remove(&lease).await.map(|()| ChangeResult::Done),
        LeaseChange::Take(lease) => {
            ports.leases.take(&lease, &worker).await.map(|grant| ChangeResult::Taken(Box::new(grant), begun))
        }
        LeaseChange::RequestHandoff(lease) => {
            ports.leases.request_handoff(&lease, &worker).await.map(|()| ChangeResult::Done)
        }
        LeaseChange::Withdraw(lease) => withdraw(&ports, &worker, &lease).await.map(|()| ChangeResult::Done),
    };
    let result = match result {
        Ok(result) => result,
        Err(LeaseError::Lost { .. }) => ChangeResult::Lost,
        Err(error) => ChangeResult::Failed(error),
    };
    Change { kind, lease, result }
}

/// Retries here, because a worker that stops does not try again.
async fn withdraw(ports: &Ports, worker: &WorkerId, lease: &Lease) -> Result<(), LeaseError> {
    let mut retries = WITHDRAW_RETRIES.into_iter();
    loop {
        let Err(error) = ports.leases.withdraw(lease, worker).await else { return Ok(()) };
        match retries.next().filter(|_| error.kind().may_retry()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
    }
}

/// The first row decides which stream the table belongs to, so it is created first and alone. Two workers that read
/// different streams by mistake would otherwise mix their rows, and neither could continue.
async fn create_first(ports: &Ports, leases: &[NewLease]) -> Result<(), LeaseError> {
    let Some(first) = leases.iter().min_by(|one, other| one.shard.cmp(&other.shard)) else { return Ok(()) };
    ports.leases.create_missing(std::slice::from_ref(first)).await?;
    let rows = ports.leases.list().await?;
    let own = first.stream.as_deref();
    let is_other = |row: &Lease| {
        row.stream.as_deref().zip(own).is_some_and(|(row, own)| !StreamIdentity::may_be_same(row, own))
            || row.stream_created.zip(first.stream_created).is_some_and(|(row, own)| row != own)
    };
    // The next scan reports a row of another stream.
    if rows.iter().any(is_other) { Ok(()) } else { ports.leases.create_missing(leases).await }
}

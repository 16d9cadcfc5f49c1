//! Requests to a lease store, each with one condition, as the network may deliver them: late, or twice.

use crate::domain::{Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, ShardId, WorkerId, is_requested};
use futures_util::future::BoxFuture;
use std::sync::Arc;

pub(super) async fn row(store: &dyn LeaseStore, shard: &ShardId) -> Option<Lease> {
    store.list().await.ok()?.into_iter().find(|row| row.shard == *shard)
}

pub(super) fn prepare(store: Arc<dyn LeaseStore>) -> BoxFuture<'static, Result<(), LeaseError>> {
    Box::pin(async move { store.prepare().await })
}

pub(super) fn page(
    store: Arc<dyn LeaseStore>,
    last: Option<ShardId>,
    size: usize,
) -> BoxFuture<'static, Result<Vec<Lease>, LeaseError>> {
    Box::pin(async move {
        let mut rows = store.list().await?;
        rows.sort_by(|one, other| one.shard.cmp(&other.shard));
        rows.retain(|row| last.as_ref().is_none_or(|last| row.shard > *last));
        rows.truncate(size);
        Ok(rows)
    })
}

pub(super) fn create(store: Arc<dyn LeaseStore>, lease: NewLease) -> BoxFuture<'static, Result<(), LeaseError>> {
    Box::pin(async move { store.create_missing(std::slice::from_ref(&lease)).await })
}

pub(super) fn take(
    store: Arc<dyn LeaseStore>,
    seen: Lease,
    worker: WorkerId,
) -> BoxFuture<'static, Result<LeaseGrant, LeaseError>> {
    Box::pin(async move {
        match row(&*store, &seen.shard).await {
            Some(row) if row.counter == seen.counter => store.take(&seen, &worker).await,
            // One write has one condition, also if it is late or repeated.
            _ => Err(LeaseError::Lost { shard: seen.shard }),
        }
    })
}

pub(super) fn request_handoff(
    store: Arc<dyn LeaseStore>,
    seen: Lease,
    worker: WorkerId,
) -> BoxFuture<'static, Result<(), LeaseError>> {
    Box::pin(async move { store.request_handoff(&seen, &worker).await })
}

/// Withdraws a request that is as it was seen; else returns the row, if there is one.
pub(super) fn withdraw_request(
    store: Arc<dyn LeaseStore>,
    seen: Lease,
    worker: WorkerId,
) -> BoxFuture<'static, Result<Option<Lease>, LeaseError>> {
    Box::pin(async move {
        let Some(found) = row(&*store, &seen.shard).await else { return Ok(None) };
        let is_as_seen = seen.owner.as_ref().is_some_and(|owner| is_requested(&found, owner, &worker));
        if !is_as_seen {
            return Ok(Some(found));
        }
        store.withdraw(&seen, &worker).await.map(|()| None)
    })
}

pub(super) fn remove(store: Arc<dyn LeaseStore>, seen: Lease) -> BoxFuture<'static, Result<(), LeaseError>> {
    Box::pin(async move { store.remove(&seen).await })
}

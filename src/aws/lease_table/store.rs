//! The lease store in DynamoDB: each operation of the port as conditional writes.
//!
//! Invariant: worker ids are unique. So a row that we hold, with a counter one higher than ours, was written by us and the
//! response was lost; the next write continues from that row. It follows that a process must not take a lease that it still
//! consumes under another grant.

use super::super::Connection;
use super::client::{TableClient, WriteResult, lost};
use super::row::{Row, read_row};
use super::setup;
use super::writes;
use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ShardId, WorkerId,
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::time::Duration;

/// A KCL 3.x worker writes its heartbeat every 30 s; one that did not change for this long has ended.
const HEARTBEAT_WATCH: Duration = Duration::from_secs(35);

const MIN_ATTEMPT: Duration = Duration::from_millis(250);
const MAX_ATTEMPT: Duration = Duration::from_secs(5);

const CONCURRENT_CREATES: usize = 8;
/// How often a checkpoint continues from a row that an earlier write of ours left.
const MAX_CONTINUATIONS: usize = 2;

const RELEASE_RETRIES: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(50), Duration::from_millis(500)];

/// The leases of one consumer, in a table of the KCL's format.
///
/// The caller retries failures, except for `release`; the store makes one attempt, of at most 5 s, and reads the row after
/// a lost response. Lease calls do not wait for `maxConnections`: a late renewal would lose the lease.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    pub(super) table: TableClient,
    heartbeat_watch: Duration,
}

impl LeaseTable {
    /// Sends nothing. One attempt of a call may take a sixth of the lease duration, so that a renewal that times out, the
    /// read after it, and a second attempt all fit in before the lease expires.
    #[must_use]
    pub fn new(connection: &Connection, name: String, lease_duration: Duration) -> Self {
        let attempt = (lease_duration / 6).clamp(MIN_ATTEMPT, MAX_ATTEMPT);
        let table = TableClient { client: connection.dynamodb_within(attempt), name };
        Self { table, heartbeat_watch: HEARTBEAT_WATCH }
    }

    /// How long the heartbeats of KCL 3.x workers are watched, instead of 35 s.
    #[must_use]
    pub const fn with_heartbeat_watch(mut self, watch: Duration) -> Self {
        self.heartbeat_watch = watch;
        self
    }
}

#[async_trait]
impl LeaseStore for LeaseTable {
    async fn prepare(&self) -> Result<(), LeaseError> {
        setup::set_up(&self.table, self.heartbeat_watch).await
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        let rows = self.table.scan().await?;
        let mut leases = Vec::with_capacity(rows.len());
        for row in &rows {
            match read_row(row) {
                Ok(Row::Lease(lease)) => leases.push(*lease),
                Ok(Row::Other(_)) => {}
                Err(error) => return Err(self.table.unusable(&error.to_string())),
            }
        }
        if leases.len() < rows.len() {
            tracing::debug!(
                table = self.table.name,
                skipped = rows.len() - leases.len(),
                "rows without a lease skipped"
            );
        }
        Ok(leases)
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        let creations: Vec<_> = leases.iter().map(|lease| self.table.create(lease)).collect();
        stream::iter(creations).buffer_unordered(CONCURRENT_CREATES).try_collect().await
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        let is_done = |row: &Lease| {
            row.counter == seen.counter.next() && row.owner.as_ref() == Some(worker) && row.handoff_from.is_none()
        };
        let result = self.table.write(&seen.shard, writes::take(seen, worker), is_done).await?;
        Ok(LeaseGrant::taken(result.or_lost(&seen.shard)?, worker.clone()))
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Err(lost(&seen.shard)) };
        let is_done = |row: &Lease| row.owner.as_ref() == Some(worker) && row.handoff_from.as_ref() == Some(owner);
        let result = self.table.write(&seen.shard, writes::request_handoff(owner, worker), is_done).await?;
        result.or_lost(&seen.shard).map(drop)
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let (counter, worker) = (grant.lease().counter, grant.worker().clone());
        let is_done = |row: &Lease| row.counter == counter.next() && is_held(row, &worker);
        let result = self.table.write(grant.shard(), writes::renew(counter, &worker), is_done).await?;
        grant.stored(result.or_lost(grant.shard())?);
        Ok(if grant.is_handed_off() { Renewed::HandoffRequested } else { Renewed::Held })
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let worker = grant.worker().clone();
        for _ in 0..=MAX_CONTINUATIONS {
            let stored = &grant.lease().checkpoint;
            if checkpoint != stored && !checkpoint.is_beyond(stored) {
                return Err(self.goes_back(grant.shard()));
            }
            let counter = grant.lease().counter;
            let is_done =
                |row: &Lease| row.counter == counter.next() && is_held(row, &worker) && row.checkpoint == *checkpoint;
            let write = writes::checkpoint(counter, &worker, checkpoint);
            match self.table.write(grant.shard(), write, is_done).await? {
                WriteResult::Stored(lease) => {
                    grant.stored(lease);
                    return Ok(());
                }
                WriteResult::ConditionFailed(row) => continue_from(grant, row)?,
            }
        }
        Err(lost(grant.shard()))
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        if children.is_empty() {
            return Ok(());
        }
        let has_them = |row: &Lease| {
            row.children.len() == children.len() && children.iter().all(|child| row.children.contains(child))
        };
        let result = self.table.write(grant.shard(), writes::store_children(children), has_them).await?;
        // Only the children are copied: another worker may own the row by now, and its counter is not ours.
        let children = result.or_lost(grant.shard())?.children;
        grant.stored(Lease { children, ..grant.lease().clone() });
        Ok(())
    }

    /// Retries here: the grant is consumed, so the caller cannot.
    async fn release(&self, mut grant: LeaseGrant) -> Result<(), LeaseError> {
        let mut retries = RELEASE_RETRIES.into_iter();
        loop {
            let error = match self.release_once(&grant).await {
                Ok(WriteResult::Stored(_)) => return Ok(()),
                Ok(WriteResult::ConditionFailed(row)) => {
                    continue_from(&mut grant, row).map(|()| lost(grant.shard()))?
                }
                Err(error) if error.kind().may_retry() => error,
                Err(error) => return Err(error),
            };
            match retries.next() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        let is_gone = self.table.delete(&seen.shard, writes::remove(seen.counter)).await?;
        if is_gone { Ok(()) } else { Err(lost(&seen.shard)) }
    }
}

impl LeaseTable {
    async fn release_once(&self, grant: &LeaseGrant) -> Result<WriteResult, LeaseError> {
        let (counter, worker) = (grant.lease().counter, grant.worker());
        let (write, next_owner) = if grant.is_handed_off() {
            (writes::complete_handoff(counter, worker), grant.lease().owner.clone())
        } else {
            (writes::release(counter, worker), None)
        };
        let is_done =
            move |row: &Lease| row.counter == counter.next() && row.handoff_from.is_none() && row.owner == next_owner;
        self.table.write(grant.shard(), write, is_done).await
    }

    fn goes_back(&self, shard: &ShardId) -> LeaseError {
        LeaseError::Unavailable {
            doing: format!("storing a checkpoint of {shard} in lease table `{}` was refused", self.table.name),
            kind: FailureKind::Caller,
            source: "it is before the stored one, and a checkpoint never goes back".into(),
        }
    }
}

/// Whether this worker may renew and checkpoint the lease.
fn is_held(lease: &Lease, worker: &WorkerId) -> bool {
    match &lease.handoff_from {
        Some(old_owner) => old_owner == worker,
        None => lease.owner.as_ref() == Some(worker),
    }
}

/// Continues from the row on which a condition failed, if that row can only be our own: the response to an earlier write was
/// lost, or a handoff was requested meanwhile.
fn continue_from(grant: &mut LeaseGrant, row: Option<Lease>) -> Result<(), LeaseError> {
    let counter = grant.lease().counter;
    match row {
        Some(row) if is_held(&row, grant.worker()) && (row.counter == counter || row.counter == counter.next()) => {
            grant.stored(row);
            Ok(())
        }
        Some(_) | None => Err(lost(grant.shard())),
    }
}

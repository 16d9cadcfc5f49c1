//! The lease store in DynamoDB: each operation of the port as conditional writes.
//!
//! Invariant: worker ids are unique. So a row that we hold, with a counter one higher than ours, was written by us and the
//! response was lost; the next write continues from that row. It follows that a process must not take a lease that it still
//! consumes under another grant.

use super::super::Connection;
use super::client::{TableClient, WriteResult, lost};
use super::row::{Row, read_row};
use super::setup;
use super::writes::{self, ConditionalWrite};
use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition, ShardId,
    WorkerId, is_released, is_requested, is_reserved, is_taken,
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::time::Duration;

/// A KCL 3.x worker writes its heartbeat every 30 s; one that did not change for this long has ended.
const HEARTBEAT_WATCH: Duration = Duration::from_secs(35);

const MIN_ATTEMPT: Duration = Duration::from_millis(250);
const MAX_ATTEMPT: Duration = Duration::from_secs(5);

const CONCURRENT_CREATES: usize = 8;
/// How often one write continues from a row that an earlier write of ours left.
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
    /// As `new`, with connections that no other client uses.
    #[must_use]
    pub fn apart(connection: &Connection, name: String, lease_duration: Duration) -> Self {
        let attempt = attempt_limit(lease_duration);
        let table = TableClient { client: connection.own_dynamodb_within(attempt), name };
        Self { table, heartbeat_watch: HEARTBEAT_WATCH }
    }

    /// Sends nothing. One attempt of a call may take a sixth of the lease duration, so that a renewal that times out, the
    /// read after it, and a second attempt all fit in before the lease expires.
    #[must_use]
    pub fn new(connection: &Connection, name: String, lease_duration: Duration) -> Self {
        let attempt = attempt_limit(lease_duration);
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

fn attempt_limit(lease_duration: Duration) -> Duration {
    (lease_duration / 6).clamp(MIN_ATTEMPT, MAX_ATTEMPT)
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
        let is_done = |row: &Lease| is_taken(row, seen, worker);
        match self.table.write(&seen.shard, writes::take(seen, worker), is_done).await? {
            WriteResult::Stored(lease) => Ok(LeaseGrant::taken(lease, worker.clone())),
            WriteResult::Found(lease) => {
                let mut grant = LeaseGrant::taken(lease, worker.clone());
                self.renew(&mut grant).await?;
                Ok(grant)
            }
            WriteResult::ConditionFailed(_) => Err(lost(&seen.shard)),
        }
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Err(lost(&seen.shard)) };
        let is_done = |row: &Lease| is_requested(row, owner, worker);
        let result = self.table.write(&seen.shard, writes::request_handoff(owner, worker), is_done).await?;
        result.or_lost(&seen.shard).map(drop)
    }

    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Ok(()) };
        let is_done = |row: &Lease| !is_requested(row, owner, worker) && !is_reserved(row, worker);
        let row = match self.table.write(&seen.shard, writes::withdraw(owner, worker), is_done).await? {
            WriteResult::Stored(_) | WriteResult::Found(_) => return Ok(()),
            WriteResult::ConditionFailed(row) => row,
        };
        let Some(row) = row.filter(|row| is_reserved(row, worker)) else { return Ok(()) };
        let is_done = |row: &Lease| !is_reserved(row, worker);
        match self.table.write(&seen.shard, writes::release(row.counter, worker), is_done).await? {
            WriteResult::Stored(_) | WriteResult::Found(_) => Ok(()),
            WriteResult::ConditionFailed(None) => Ok(()),
            WriteResult::ConditionFailed(Some(_)) => Err(self.changing(&seen.shard)),
        }
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        self.write_held(grant, writes::renew).await?;
        Ok(if grant.is_handed_off() { Renewed::HandoffRequested } else { Renewed::Held })
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let stored = &grant.lease().checkpoint;
        if checkpoint != stored && !checkpoint.is_beyond(stored) {
            return Err(self.goes_back(grant.shard()));
        }
        grant.attempting(checkpoint);
        self.write_held(grant, |grant| writes::checkpoint(grant, checkpoint)).await
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError> {
        if grant.lease().checkpoint.is_ended() {
            return Err(self.goes_back(grant.shard()));
        }
        grant.attempting(&start.checkpoint());
        self.write_held(grant, |grant| writes::reset(grant, start)).await
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
                Ok(WriteResult::Stored(_) | WriteResult::Found(_)) => return Ok(()),
                Ok(WriteResult::ConditionFailed(row)) => {
                    if !grant.adopt(row) {
                        return Err(lost(grant.shard()));
                    }
                    self.changing(grant.shard())
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
        if !seen.checkpoint.is_ended() && !seen.is_new() {
            return Err(lost(&seen.shard));
        }
        let is_gone = self.table.delete(&seen.shard, writes::remove(seen)).await?;
        if is_gone { Ok(()) } else { Err(lost(&seen.shard)) }
    }
}

impl LeaseTable {
    /// The one write of an owner: it renews the lease, and stores progress with it. It is a single conditional update, so
    /// that it can become part of a transaction.
    ///
    /// If a row shows that an earlier write moved the counter, the lease is written again: the caller dates the renewal by
    /// this call.
    async fn write_held(
        &self,
        grant: &mut LeaseGrant,
        write: impl Fn(&LeaseGrant) -> ConditionalWrite + Send + Sync,
    ) -> Result<(), LeaseError> {
        for _ in 0..=MAX_CONTINUATIONS {
            let (counter, worker) = (grant.lease().counter, grant.worker().clone());
            let is_done = |row: &Lease| row.counter == counter.next() && row.is_held_by(&worker);
            let row = match self.table.write(grant.shard(), write(grant), is_done).await? {
                WriteResult::Stored(lease) => {
                    grant.stored(lease);
                    return Ok(());
                }
                WriteResult::Found(row) => Some(row),
                WriteResult::ConditionFailed(row) => row,
            };
            if !grant.adopt(row) {
                return Err(lost(grant.shard()));
            }
        }
        Err(self.changing(grant.shard()))
    }

    async fn release_once(&self, grant: &LeaseGrant) -> Result<WriteResult, LeaseError> {
        let (counter, worker) = (grant.lease().counter, grant.worker());
        let write = if grant.is_handed_off() {
            writes::complete_handoff(counter, worker)
        } else {
            writes::release(counter, worker)
        };
        self.table.write(grant.shard(), write, |row| is_released(row, grant)).await
    }

    fn changing(&self, shard: &ShardId) -> LeaseError {
        LeaseError::Unavailable {
            doing: format!("writing the lease of {shard} to lease table `{}` failed", self.table.name),
            kind: FailureKind::Transient,
            source: "the row changed during each attempt".into(),
        }
    }

    fn goes_back(&self, shard: &ShardId) -> LeaseError {
        LeaseError::Unavailable {
            doing: format!("storing a checkpoint of {shard} in lease table `{}` was refused", self.table.name),
            kind: FailureKind::Caller,
            source: "it is before the stored one, and a checkpoint never goes back".into(),
        }
    }
}

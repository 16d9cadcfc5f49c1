//! The lease store in DynamoDB: what each operation of the port means in conditional writes.
//!
//! Since only one worker bears an id, a row that is ours and one counter further was written by us: the reply to an
//! earlier write was lost, and the write at hand goes on from there. (So a process must not take a lease that it still
//! consumes under another grant.)

use super::super::Connection;
use super::calls::Written;
use super::row::{Row, read_row};
use super::writes;
use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ShardId, WorkerId,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::time::Duration;

/// A KCL 3.x worker writes its heartbeat every 30 s; what has not moved for this long has no worker any more.
const HEARTBEAT_WATCH: Duration = Duration::from_secs(35);

const SHORTEST_ATTEMPT: Duration = Duration::from_millis(250);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);

/// How many leases are created at the same time.
const CREATED_AT_ONCE: usize = 8;
/// How often a write goes on from a row that an earlier write of ours left.
const ADOPTIONS: usize = 2;

/// Waits before a release is tried again.
const RELEASE_AGAIN: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(50), Duration::from_millis(500)];

/// The leases of one consumer, in a table of the KCL's form.
///
/// Retrying a failure is left to the caller, but for `release`; the store makes one attempt, of 5 s at the most, and
/// reads back after a lost reply. Lease calls do not wait for `maxConnections`: a late renewal would cost the lease.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    client: Client,
    table: String,
    watch: Duration,
}

impl LeaseTable {
    /// Leases of this duration in the table of this name; nothing is contacted.
    ///
    /// One attempt of a call may take a sixth of the duration, so that a renewal whose connection went silent, its
    /// read-back, and a second try all fit in before the lease is given up.
    #[must_use]
    pub fn new(connection: &Connection, table: String, lease_duration: Duration) -> Self {
        let attempt = (lease_duration / 6).clamp(SHORTEST_ATTEMPT, LONGEST_ATTEMPT);
        Self { client: connection.dynamodb_within(attempt), table, watch: HEARTBEAT_WATCH }
    }

    /// Watches for this long, instead of 35 s, whether a KCL 3.x worker is alive. Its heartbeat comes every 30 s.
    #[must_use]
    pub const fn with_heartbeat_watch(mut self, watch: Duration) -> Self {
        self.watch = watch;
        self
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn name(&self) -> &str {
        &self.table
    }

    pub(super) const fn watch(&self) -> Duration {
        self.watch
    }
}

#[async_trait]
impl LeaseStore for LeaseTable {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.set_up().await
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        let rows = self.scan().await?;
        let mut leases = Vec::with_capacity(rows.len());
        for row in &rows {
            match read_row(row) {
                Ok(Row::Lease(lease)) => leases.push(*lease),
                Ok(Row::Other(_)) => {}
                Err(fault) => return Err(self.unusable(&fault.to_string())),
            }
        }
        if leases.len() < rows.len() {
            tracing::debug!(table = self.table, skipped = rows.len() - leases.len(), "rows that are no leases skipped");
        }
        Ok(leases)
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        let creations: Vec<_> = leases.iter().map(|lease| self.create(lease)).collect();
        stream::iter(creations).buffer_unordered(CREATED_AT_ONCE).try_collect().await
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        let is_done = |row: &Lease| {
            row.counter == seen.counter.next() && row.owner.as_ref() == Some(worker) && row.handoff_from.is_none()
        };
        match self.write(&seen.shard, writes::take(seen, worker), is_done).await? {
            Written::Stored(lease) => Ok(LeaseGrant::taken(lease, worker.clone())),
            Written::Refused(_) => Err(lost(&seen.shard)),
        }
    }

    async fn ask_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Err(lost(&seen.shard)) };
        let is_done = |row: &Lease| row.owner.as_ref() == Some(worker) && row.handoff_from.as_ref() == Some(owner);
        match self.write(&seen.shard, writes::ask_handoff(owner, worker), is_done).await? {
            Written::Stored(_) => Ok(()),
            Written::Refused(_) => Err(lost(&seen.shard)),
        }
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let (counter, worker) = (grant.lease().counter, grant.worker().clone());
        let is_done = |row: &Lease| row.counter == counter.next() && is_held(row, &worker);
        match self.write(grant.shard(), writes::renew(counter, &worker), is_done).await? {
            Written::Stored(lease) => grant.stored(lease),
            Written::Refused(_) => return Err(lost(grant.shard())),
        }
        Ok(if grant.is_handed_off() { Renewed::HandoffAsked } else { Renewed::Held })
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let worker = grant.worker().clone();
        for _ in 0..=ADOPTIONS {
            let stored = &grant.lease().checkpoint;
            if checkpoint != stored && !checkpoint.is_beyond(stored) {
                return Err(self.going_back(grant.shard()));
            }
            let counter = grant.lease().counter;
            let is_done =
                |row: &Lease| row.counter == counter.next() && is_held(row, &worker) && row.checkpoint == *checkpoint;
            let write = writes::checkpoint(counter, &worker, checkpoint);
            match self.write(grant.shard(), write, is_done).await? {
                Written::Stored(lease) => {
                    grant.stored(lease);
                    return Ok(());
                }
                Written::Refused(row) => adopt(grant, row)?,
            }
        }
        Err(lost(grant.shard()))
    }

    async fn note_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        if children.is_empty() {
            return Ok(());
        }
        let has_them = |row: &Lease| {
            row.children.len() == children.len() && children.iter().all(|child| row.children.contains(child))
        };
        match self.write(grant.shard(), writes::note_children(children), has_them).await? {
            // Only the children are taken over: the row may be another worker's by now, its counter not ours to use.
            Written::Stored(row) => {
                grant.stored(Lease { children: row.children, ..grant.lease().clone() });
                Ok(())
            }
            Written::Refused(_) => Err(lost(grant.shard())),
        }
    }

    /// Nobody can try again with a grant that is consumed, so this one write is repeated here.
    async fn release(&self, mut grant: LeaseGrant) -> Result<(), LeaseError> {
        let mut again = RELEASE_AGAIN.into_iter();
        loop {
            let failed = match self.release_once(&grant).await {
                Ok(Written::Stored(_)) => return Ok(()),
                Ok(Written::Refused(row)) => adopt(&mut grant, row).map(|()| lost(grant.shard()))?,
                Err(error) if error.kind().may_retry() => error,
                Err(error) => return Err(error),
            };
            match again.next() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(failed),
            }
        }
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        if self.delete(&seen.shard, writes::remove(seen.counter)).await? { Ok(()) } else { Err(lost(&seen.shard)) }
    }
}

impl LeaseTable {
    async fn release_once(&self, grant: &LeaseGrant) -> Result<Written, LeaseError> {
        let (counter, worker) = (grant.lease().counter, grant.worker());
        let (write, heir) = if grant.is_handed_off() {
            (writes::complete_handoff(counter, worker), grant.lease().owner.clone())
        } else {
            (writes::release(counter, worker), None)
        };
        let is_done =
            move |row: &Lease| row.counter == counter.next() && row.handoff_from.is_none() && row.owner == heir;
        self.write(grant.shard(), write, is_done).await
    }

    fn going_back(&self, shard: &ShardId) -> LeaseError {
        LeaseError::Unavailable {
            doing: format!("storing a checkpoint of {shard} in lease table `{}` was refused", self.table),
            kind: FailureKind::Caller,
            source: "it lies before the one stored, and progress never goes back".into(),
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

/// Goes on from the row that a write was refused on, if only we can have left it so: the reply to an earlier write was
/// lost, or a handoff was asked for meanwhile.
fn adopt(grant: &mut LeaseGrant, row: Option<Lease>) -> Result<(), LeaseError> {
    let counter = grant.lease().counter;
    match row {
        Some(row) if is_held(&row, grant.worker()) && (row.counter == counter || row.counter == counter.next()) => {
            grant.stored(row);
            Ok(())
        }
        Some(_) | None => Err(lost(grant.shard())),
    }
}

fn lost(shard: &ShardId) -> LeaseError {
    LeaseError::Lost { shard: shard.clone() }
}

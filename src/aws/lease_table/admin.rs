//! What an operator does with leases, beside the workers: reads all rows, moves a checkpoint, takes a lease from its owner.
//!
//! Invariant: each write raises the counter, and leaves no owner. So the owner's next write fails, it stops, and no
//! progress of its own can replace what was written here.

use super::client::WriteResult;
use super::row::{Row, read_row};
use super::store::LeaseTable;
use super::writes::{self, ConditionalWrite};
use crate::domain::{Checkpoint, Lease, LeaseError, NewLease, ShardId, Timestamp};
use std::time::Duration;

/// Pauses before a failed call is repeated.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// All rows of a lease table.
#[derive(Debug, Default)]
pub struct LeaseRows {
    /// By shard.
    pub leases: Vec<Lease>,
    /// What is wrong with each row that cannot be read.
    pub unreadable: Vec<String>,
}

/// The result of a conditional write.
#[derive(Debug)]
pub enum Edited {
    /// The lease as stored.
    Stored(Lease),
    /// Another worker changed the lease since it was read. `None` if its row is gone.
    Changed(Option<Lease>),
}

impl LeaseTable {
    /// Reads all rows consistently. Unlike [`list`](crate::domain::LeaseStore::list) it also returns the rest when some rows
    /// cannot be read. Does not create the table.
    ///
    /// # Errors
    /// When the table could not be read completely.
    pub async fn rows(&self) -> Result<LeaseRows, LeaseError> {
        let items = retrying(|| self.table.scan()).await?;
        let mut rows = LeaseRows::default();
        for item in &items {
            match read_row(item) {
                Ok(Row::Lease(lease)) => rows.leases.push(*lease),
                Ok(Row::Other(_)) => {}
                Err(error) => rows.unreadable.push(error.to_string()),
            }
        }
        rows.leases.sort_by(|one, other| one.shard.cmp(&other.shard));
        rows.unreadable.sort();
        Ok(rows)
    }

    /// Reads one row consistently.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn row(&self, shard: &ShardId) -> Result<Option<Lease>, LeaseError> {
        retrying(|| self.table.get(shard)).await
    }

    /// Stores a checkpoint, also one before the stored one, and where a shard without progress starts. Leaves no owner.
    ///
    /// # Errors
    /// When it is not sure that it is stored.
    pub async fn seek(
        &self,
        seen: &Lease,
        checkpoint: &Checkpoint,
        start_at: Option<Timestamp>,
    ) -> Result<Edited, LeaseError> {
        let is_done = |row: &Lease| row.checkpoint == *checkpoint && row.start_at == start_at;
        self.edit(seen, || writes::seek(seen.counter, checkpoint, start_at), is_done).await
    }

    /// Takes the lease from its owner and ends a handoff; the first worker that wants it takes it.
    ///
    /// # Errors
    /// When it is not sure that it is stored.
    pub async fn evict(&self, seen: &Lease) -> Result<Edited, LeaseError> {
        self.edit(seen, || writes::evict(seen.counter), |_| true).await
    }

    /// Creates a lease, with the children of its shard, if there is none; one that exists stays as it is.
    ///
    /// # Errors
    /// When it is not sure that it exists.
    pub async fn insert(&self, lease: &NewLease, children: &[ShardId]) -> Result<(), LeaseError> {
        retrying(|| self.table.create(lease)).await?;
        if children.is_empty() {
            return Ok(());
        }
        let has_them = |row: &Lease| children.iter().all(|child| row.children.contains(child));
        let written = retrying(|| self.table.write(&lease.shard, writes::store_children(children), has_them)).await?;
        written.or_lost(&lease.shard).map(drop)
    }

    async fn edit(
        &self,
        seen: &Lease,
        write: impl Fn() -> ConditionalWrite,
        has_change: impl Fn(&Lease) -> bool + Send + Sync,
    ) -> Result<Edited, LeaseError> {
        let is_done = |row: &Lease| {
            row.counter == seen.counter.next() && row.owner.is_none() && row.handoff_from.is_none() && has_change(row)
        };
        match retrying(|| self.table.write(&seen.shard, write(), is_done)).await? {
            WriteResult::Stored(lease) | WriteResult::Found(lease) => Ok(Edited::Stored(lease)),
            WriteResult::ConditionFailed(row) => Ok(Edited::Changed(row)),
        }
    }
}

/// Repeats a call that failed and may succeed later. A conditional write that was done without our notice is recognised by
/// its row.
pub(super) async fn retrying<T, F>(call: impl Fn() -> F) -> Result<T, LeaseError>
where
    F: Future<Output = Result<T, LeaseError>>,
{
    for pause in RETRIES {
        match call().await {
            Err(error) if error.kind().may_retry() => tokio::time::sleep(pause).await,
            result => return result,
        }
    }
    call().await
}

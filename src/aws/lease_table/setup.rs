//! Creates and checks the lease table before leases are taken.

use super::super::Item;
use super::super::table::{self, KeySchema};
use super::client::TableClient;
use super::row::{LEASE_KEY, Row, TAKEN_BY, read_row};
use crate::domain::LeaseError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The key of the lease table of daprd.
const DAPR_KEY: &str = "ShardID (S)";
/// How often the heartbeats are read while they are watched.
const HEARTBEAT_READS: u32 = 7;
/// The types of the rows that a running KCL 3.5 keeps writing: its leader's lock, and one for each worker.
const HEARTBEATS: [&str; 2] = ["LEADER", "WORKER_METRIC_STATS"];

/// Creates the table if it is missing, waits until it is active, and checks its key and its rows.
///
/// A table that a running KCL 3.x uses is refused: its leader assigns leases only to workers that write its metric rows,
/// never to us, and would take ours back again and again. The rows of a worker that ended stay for a day, so heartbeats
/// count only if they change during `watch`; no clocks are compared. Older 3.x keep heartbeats in separate tables, which
/// are not read: leases are as safe then, by the counter, but not shared evenly.
pub(super) async fn set_up(leases: &TableClient, watch: Duration) -> Result<(), LeaseError> {
    let wanted = KeySchema::text(LEASE_KEY);
    let key = Box::pin(table::ensure(&leases.client, &leases.name, &wanted)).await;
    match key.map_err(|error| leases.unavailable("preparing", error))? {
        Some(key) if key == wanted => {}
        Some(key) => return Err(leases.unusable(&wrong_key(&key.to_string()))),
        None => {
            tracing::warn!(table = leases.name, "key of the lease table not checked; DescribeTable is denied");
        }
    }
    let rows = leases.scan().await?;
    if let Some(error) = rows.iter().find_map(|row| read_row(row).err()) {
        return Err(leases.unusable(&error.to_string()));
    }
    refuse_running_kcl_3(leases, &rows, watch).await
}

fn wrong_key(key: &str) -> String {
    if key == DAPR_KEY {
        return format!(
            "it is the lease table of Dapr's Kinesis binding (its key is {key}): to continue where daprd stopped, stop daprd \
             and set `adoptDaprCheckpoints: \"true\"`, or name another table in `leaseTable` and run `bindd leases import \
             --from-dapr TABLE`; to start without its positions, choose another `consumerName` or `leaseTable`"
        );
    }
    format!(
        "its key is {key}, not {LEASE_KEY} (S): it belongs to something else; choose another `consumerName` or `leaseTable`"
    )
}

async fn refuse_running_kcl_3(leases: &TableClient, rows: &[Item], watch: Duration) -> Result<(), LeaseError> {
    let first = heartbeats(rows);
    // The rows of a KCL 3.x that is gone stay for good. They are watched once, by the worker that takes the table over.
    if first.is_empty() || is_taken_over(rows) {
        return Ok(());
    }
    let table = &leases.name;
    tracing::warn!(table, ?watch, "rows of the KCL 3.x found; heartbeats are watched before leases are taken");
    let end = Instant::now() + watch;
    while Instant::now() < end {
        sleep(watch / HEARTBEAT_READS).await;
        let now = heartbeats(&leases.scan().await?);
        if now.iter().any(|beat| !first.contains(beat)) {
            return Err(leases.unusable(
                "a worker of the KCL 3.x is alive and would take every lease back; \
                 stop those workers, or choose another `consumerName` or `leaseTable`",
            ));
        }
    }
    tracing::info!(table, "no heartbeat of the KCL 3.x changed; its leases are taken over");
    Ok(())
}

/// Whether workers of bindd have taken leases of this table, and no other library owns one.
fn is_taken_over(rows: &[Item]) -> bool {
    let is_foreign = |row: &Item| match read_row(row) {
        Ok(Row::Lease(lease)) => lease.owner.is_some() && lease.owner_duration.is_none(),
        Ok(Row::Other(_)) | Err(_) => false,
    };
    rows.iter().any(|row| row.contains_key(TAKEN_BY)) && !rows.iter().any(is_foreign)
}

/// The heartbeat rows. A running worker changes its own at every heartbeat.
fn heartbeats(rows: &[Item]) -> Vec<Item> {
    let is_heartbeat = |row: &&Item| match read_row(row) {
        Ok(Row::Other(entity)) => HEARTBEATS.contains(&entity.as_str()),
        Ok(Row::Lease(_)) | Err(_) => false,
    };
    rows.iter().filter(is_heartbeat).cloned().collect()
}

//! Makes the lease table usable, or says why it is not.

use super::super::Item;
use super::super::table::{self, KeySchema};
use super::row::{LEASE_KEY, Row, read_row};
use super::store::LeaseTable;
use crate::domain::LeaseError;
use tokio::time::{Instant, sleep};

/// How often the heartbeats are looked at while they are watched.
const LOOKS: u32 = 7;
/// The rows that a running KCL 3.5 keeps writing: its leader's lock, and one for each worker.
const HEARTBEATS: [&str; 2] = ["LEADER", "WORKER_METRIC_STATS"];

impl LeaseTable {
    /// The work of `LeaseStore::prepare`.
    pub(super) async fn set_up(&self) -> Result<(), LeaseError> {
        set_up(self).await
    }
}

/// Creates the table if it is missing, waits until it is active, and checks its key and its rows.
///
/// A live KCL 3.x is refused: its leader gives leases only to workers that write its metric rows, never to us, and
/// would take ours back again and again. Rows of workers that ended stay for a day, so heartbeats are watched rather
/// than believed, and no clock is compared. (Older 3.x keep heartbeats in tables of their own, which are not looked
/// at; their leases are as safe, by the counter, but not fairly shared.)
async fn set_up(leases: &LeaseTable) -> Result<(), LeaseError> {
    let wanted = KeySchema::text(LEASE_KEY);
    let key = Box::pin(table::ensure(leases.client(), leases.name(), &wanted)).await;
    match key.map_err(|failed| leases.unavailable("preparing", failed))? {
        Some(key) if key == wanted => {}
        Some(key) => return Err(leases.unusable(&wrong_key(&key.to_string()))),
        None => {
            tracing::warn!(table = leases.name(), "form of the lease table was not checked: DescribeTable is denied");
        }
    }
    let rows = leases.scan().await?;
    if let Some(fault) = rows.iter().find_map(|row| read_row(row).err()) {
        return Err(leases.unusable(&fault.to_string()));
    }
    refuse_live_kcl_3(leases, &rows).await
}

fn wrong_key(key: &str) -> String {
    let others = match key {
        "ShardID (S)" => "this is the form that Dapr's Kinesis binding (vmware-go-kcl) writes",
        _ => "it belongs to something else",
    };
    format!("its key is {key}, not {LEASE_KEY} (S): {others}; choose another `consumerName` or `leaseTable`")
}

async fn refuse_live_kcl_3(leases: &LeaseTable, rows: &[Item]) -> Result<(), LeaseError> {
    let first = heartbeats(rows);
    if first.is_empty() {
        return Ok(());
    }
    let (table, watch) = (leases.name(), leases.watch());
    tracing::warn!(table, ?watch, "rows of the KCL 3.x were found, its heartbeats are watched before leases are taken");
    let end = Instant::now() + watch;
    while Instant::now() < end {
        sleep(watch / LOOKS).await;
        let now = heartbeats(&leases.scan().await?);
        if now.iter().any(|beat| !first.contains(beat)) {
            return Err(leases.unusable(
                "a worker of the KCL 3.x is alive in it and would take every lease back; \
                 stop those workers, or choose another `consumerName` or `leaseTable`",
            ));
        }
    }
    tracing::info!(table, "no heartbeat of the KCL 3.x moved, its leases are taken over");
    Ok(())
}

/// The heartbeat rows. A worker that is alive changes its own at every beat.
fn heartbeats(rows: &[Item]) -> Vec<Item> {
    let is_heartbeat = |row: &&Item| match read_row(row) {
        Ok(Row::Other(entity)) => HEARTBEATS.contains(&entity.as_str()),
        Ok(Row::Lease(_)) | Err(_) => false,
    };
    rows.iter().filter(is_heartbeat).cloned().collect()
}

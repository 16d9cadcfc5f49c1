//! Lets the owner of a lease drain its shard before the lease is changed, so that the old and the new position, or the old
//! and the new owner, are not delivered at the same time.

use super::target::described;
use crate::aws::lease_table::LeaseTable;
use crate::domain::{Lease, LeaseStore as _, WorkerId};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The worker for which leases are requested. The same for each run, so that a command that was interrupted can be repeated.
/// Workers take a lease that is left to it once it was not renewed for their lease duration.
const OPERATOR: &str = "bindd-leases";
/// A drain takes 20 s at most. The owner notices the request at its next renewal.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No worker delivers from the shard: the lease may be changed.
    Change,
    Request,
    /// The owner is draining.
    Wait,
    /// The owner cannot be requested to drain.
    Refuse,
}

/// `unchanged`: since when the counter was seen not to change.
fn step(row: &Lease, operator: &WorkerId, unchanged: Duration) -> Step {
    match (&row.owner, &row.handoff_from, row.owner_duration) {
        (None, None, _) => Step::Change,
        (Some(owner), None, _) if owner == operator => Step::Change,
        // As workers do, after which the owner delivers nothing more.
        (_, _, Some(duration)) if unchanged > duration => Step::Change,
        (_, None, Some(_)) => Step::Request,
        (_, Some(_), Some(_)) => Step::Wait,
        (_, _, None) => Step::Refuse,
    }
}

/// Requests the lease and waits until its owner has drained the shard and stored its progress, or has been dead for its
/// lease duration. Returns the lease as it is then, with the owner that it had.
///
/// # Errors
/// When the owner is not a worker of bindd, or does not release the lease in time; it then keeps the lease.
pub(super) async fn drained(leases: &LeaseTable, seen: &Lease) -> Result<Lease, String> {
    let (shard, operator, begun) = (&seen.shard, WorkerId::new(OPERATOR), Instant::now());
    let limit = DRAIN_LIMIT + seen.owner_duration.unwrap_or_default();
    let (mut row, mut unchanged_since, mut requested) = (seen.clone(), begun, None);
    loop {
        match step(&row, &operator, unchanged_since.elapsed()) {
            Step::Change => return Ok(Lease { owner: seen.owner.clone(), ..row }),
            Step::Refuse => {
                return Err(format!(
                    "{shard} belongs to {}, which is not a worker of bindd and cannot be requested to drain it; stop that \
                     worker, or give --force",
                    owner(&row)
                ));
            }
            Step::Request => {
                requested = Some(row.clone());
                match leases.request_handoff(&row, &operator).await {
                    Err(error) if !error.is_lost() && !error.kind().may_retry() => return Err(described(&error)),
                    // Otherwise the row shows what happened.
                    Ok(()) | Err(_) => {}
                }
            }
            Step::Wait => {}
        }
        if begun.elapsed() > limit {
            if let Some(before) = &requested {
                leases.withdraw(before, &operator).await.map_err(|error| described(&error))?;
            }
            return Err(format!(
                "{} did not release {shard} within {} s and keeps it; try again, or give --force",
                owner(&row),
                limit.as_secs()
            ));
        }
        sleep(POLL_INTERVAL).await;
        let next = leases.row(shard).await.map_err(|error| described(&error))?;
        let next = next.ok_or_else(|| format!("the lease of {shard} was deleted meanwhile; list the leases again"))?;
        if next.counter != row.counter {
            unchanged_since = Instant::now();
        }
        row = next;
    }
}

/// Who delivers from the shard.
fn owner(row: &Lease) -> &str {
    row.handoff_from.as_ref().or(row.owner.as_ref()).map_or("no worker", WorkerId::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Checkpoint, LeaseCounter, SentinelCheckpoint, ShardId};

    const LEASE: Duration = Duration::from_secs(10);

    fn row(owner: Option<&str>, handoff_from: Option<&str>, owner_duration: Option<Duration>) -> Lease {
        Lease {
            shard: ShardId::new("a"),
            owner: owner.map(WorkerId::new),
            handoff_from: handoff_from.map(WorkerId::new),
            counter: LeaseCounter::new(7),
            checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
            start_at: None,
            stream: None,
            stream_created: None,
            caught_up: None,
            owner_duration,
        }
    }

    #[test]
    fn a_lease_is_changed_only_when_no_worker_delivers_from_its_shard() {
        let (operator, bindd) = (WorkerId::new(OPERATOR), Some(LEASE));
        for (row, seconds, expected) in [
            (row(None, None, None), 0, Step::Change),
            (row(Some("a"), None, bindd), 0, Step::Request),
            (row(Some(OPERATOR), Some("a"), bindd), 9, Step::Wait),
            (row(Some("b"), Some("a"), bindd), 9, Step::Wait),
            (row(Some(OPERATOR), None, None), 0, Step::Change),
            // A dead owner.
            (row(Some("a"), None, bindd), 11, Step::Change),
            (row(Some(OPERATOR), Some("a"), bindd), 11, Step::Change),
            // The KCL.
            (row(Some("kcl"), None, None), 60, Step::Refuse),
            (row(Some("kcl"), Some("kcl-2"), None), 60, Step::Refuse),
        ] {
            assert_eq!(step(&row, &operator, Duration::from_secs(seconds)), expected, "{row:?}");
        }
    }
}

//! Takes over the positions of daprd. Pure.
//!
//! daprd stores the sequence number of the last record of each batch, and continues after it, also where the app refused
//! records. So nothing that daprd would read is skipped, and nothing is repeated that daprd itself would not repeat. A shard
//! without a checkpoint starts at its oldest record: daprd would start at the newest, and skip what arrived while it was
//! stopped.

use super::timestamp::parse_timestamp;
use crate::aws::lease_table::DaprLease;
use crate::domain::{Checkpoint, Lease, NewLease, SentinelCheckpoint, ShardId, Timestamp};

/// A lease to create, with the children of its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedLease {
    pub lease: NewLease,
    pub children: Vec<ShardId>,
}

/// daprd seems to run, or may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaprRuns {
    #[error(
        "daprd still holds the lease of {shard} until {until}: stop daprd (`{owner}`) and wait until its leases have \
         ended, about 10 s"
    )]
    Held { shard: ShardId, owner: String, until: Timestamp },
    #[error(
        "the lease of {shard} belongs to `{owner}`, and its LeaseTimeout is missing or no time, so daprd may run: stop \
         daprd, and remove AssignedTo of the row, or use `bindd leases import --from-dapr TABLE --force`"
    )]
    Unreadable { shard: ShardId, owner: String },
}

/// # Errors
/// With the first lease that has not ended at `now`, or of which that is not known, unless `force`.
pub fn adopt(rows: &[DaprLease], now: Timestamp, force: bool) -> Result<Vec<AdoptedLease>, DaprRuns> {
    let holds = |row: &&DaprLease| row.owner.is_some() && row.checkpoint != Some(Checkpoint::Ended);
    for row in rows.iter().filter(holds).filter(|_| !force) {
        let (shard, owner) = (row.shard.clone(), row.owner.clone().unwrap_or_default());
        match row.lease_timeout.as_deref().and_then(parse_timestamp) {
            None => return Err(DaprRuns::Unreadable { shard, owner }),
            Some(until) if until > now => return Err(DaprRuns::Held { shard, owner, until }),
            Some(_) => {}
        }
    }
    let oldest = || Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
    let adopted = |row: &DaprLease| AdoptedLease {
        lease: NewLease {
            shard: row.shard.clone(),
            checkpoint: row.checkpoint.clone().unwrap_or_else(oldest),
            start_at: None,
            parents: row.parent.clone().into_iter().collect(),
            hash_range: None,
            stream: None,
            stream_created: None,
        },
        children: rows
            .iter()
            .filter(|child| child.parent.as_ref() == Some(&row.shard))
            .map(|child| child.shard.clone())
            .collect(),
    };
    Ok(rows.iter().map(adopted).collect())
}

/// Those that the own table still lacks. None once a worker has used the table: it begins after all were taken over, and
/// removes the lease of a shard that it has read, which must not be read again.
pub(super) fn missing<'a>(adopted: &'a [AdoptedLease], own: &[Lease]) -> Vec<&'a AdoptedLease> {
    let is_adopted = |lease: &Lease| adopted.iter().any(|adopted| adopted.lease.shard == lease.shard);
    let is_used = |lease: &Lease| lease.owner.is_some() || lease.counter.value() > 0 || !is_adopted(lease);
    if own.iter().any(is_used) {
        return Vec::new();
    }
    adopted.iter().filter(|adopted| own.iter().all(|lease| lease.shard != adopted.lease.shard)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LeaseCounter, RecordPosition, WorkerId};

    const UNTIL: i64 = 1_769_846_400_000;

    fn row(shard: &str, checkpoint: Option<Checkpoint>, parent: Option<&str>) -> DaprLease {
        DaprLease {
            shard: ShardId::new(shard),
            checkpoint,
            parent: parent.map(ShardId::new),
            owner: Some("shop".to_owned()),
            lease_timeout: Some("2026-01-31T08:00:00.5Z".to_owned()),
        }
    }

    #[test]
    fn positions_parents_and_children_are_taken_over() {
        let after = Checkpoint::After(RecordPosition { sequence: "495".parse().unwrap(), sub_sequence: u64::MAX });
        let rows = [
            row("a", Some(Checkpoint::Ended), None),
            row("b", Some(after.clone()), Some("a")),
            row("c", None, Some("a")),
        ];
        let adopted = adopt(&rows, Timestamp::from_millis(UNTIL + 500), false).unwrap();
        let checkpoints: Vec<_> = adopted.iter().map(|adopted| adopted.lease.checkpoint.clone()).collect();
        let oldest = Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
        assert_eq!(checkpoints, [Checkpoint::Ended, after, oldest]);
        assert_eq!(adopted[0].children, [ShardId::new("b"), ShardId::new("c")]);
        assert_eq!(adopted[1].lease.parents, [ShardId::new("a")]);
    }

    #[test]
    fn a_daprd_that_runs_is_refused_unless_forced() {
        let rows = [row("a", Some(Checkpoint::Ended), None), row("b", None, None)];
        let now = Timestamp::from_millis(UNTIL);
        let error = adopt(&rows, now, false).unwrap_err();
        assert!(
            error.to_string().contains("the lease of b until") && error.to_string().contains("stop daprd (`shop`)")
        );
        assert_eq!(adopt(&rows, now, true).unwrap().len(), 2);
        assert_eq!(adopt(&rows[..1], now, false).unwrap().len(), 1, "a shard that ended is not renewed");
    }

    #[test]
    fn an_owner_without_a_readable_time_is_refused_unless_forced() {
        for timeout in [None, Some("tomorrow".to_owned())] {
            let unreadable = [DaprLease { lease_timeout: timeout, ..row("a", None, None) }];
            let error = adopt(&unreadable, Timestamp::from_millis(UNTIL), false).unwrap_err();
            assert_eq!(error, DaprRuns::Unreadable { shard: ShardId::new("a"), owner: "shop".to_owned() });
            assert_eq!(adopt(&unreadable, Timestamp::from_millis(UNTIL), true).unwrap().len(), 1);
            let free = [DaprLease { owner: None, ..unreadable[0].clone() }];
            assert_eq!(adopt(&free, Timestamp::from_millis(UNTIL), false).unwrap().len(), 1);
        }
    }

    fn own(shard: &str, counter: u64, owner: Option<&str>) -> Lease {
        Lease {
            shard: ShardId::new(shard),
            owner: owner.map(WorkerId::new),
            handoff_from: None,
            counter: LeaseCounter::new(counter),
            checkpoint: Checkpoint::Ended,
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
            start_at: None,
            stream: None,
            stream_created: None,
            caught_up: None,
            owner_duration: None,
        }
    }

    #[test]
    fn a_take_over_that_was_interrupted_goes_on_and_one_that_ended_is_not_repeated() {
        let rows = [row("a", None, None), row("b", None, None)];
        let adopted = adopt(&rows, Timestamp::from_millis(UNTIL), true).unwrap();
        let missing = |own: &[Lease]| -> Vec<String> {
            missing(&adopted, own).into_iter().map(|adopted| adopted.lease.shard.to_string()).collect()
        };
        assert_eq!(missing(&[]), ["a", "b"]);
        assert_eq!(missing(&[own("a", 0, None)]), ["b"]);
        // Shard `a` was read to its end, and its lease removed.
        for used in [own("b", 9, None), own("b", 0, Some("worker")), own("child-of-a", 0, None)] {
            assert!(missing(std::slice::from_ref(&used)).is_empty(), "{used:?}");
        }
    }
}

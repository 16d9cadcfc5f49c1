//! Makes the changes of a plan.

use super::handoff::drained;
use super::plan::{Change, Decision, Plan, decide};
use super::target::{Target, described};
use crate::aws::lease_table::Edited;
use futures_util::{StreamExt as _, stream};

/// An owner changes its lease each second or so, so more than a few lost races in a row do not happen.
const MAX_ATTEMPTS: usize = 10;
const CONCURRENT: usize = 32;

/// When an owner loses its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eviction {
    /// After it has drained its shard.
    AfterHandoff,
    /// At once: it learns of it at its next write.
    AtOnce,
}

impl Eviction {
    pub(super) const fn new(force: bool) -> Self {
        if force { Self::AtOnce } else { Self::AfterHandoff }
    }
}

/// A line for each change, in the order of the plan.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) done: Vec<String>,
    pub(super) failed: Vec<String>,
}

pub(super) async fn apply(target: &Target, plan: &Plan, eviction: Eviction) -> Results {
    let calls: Vec<_> = plan.changes.iter().map(|change| Box::pin(one(target, change.clone(), eviction))).collect();
    let outcomes: Vec<Result<String, String>> = stream::iter(calls).buffered(CONCURRENT).collect().await;
    let mut results = Results::default();
    for outcome in outcomes {
        match outcome {
            Ok(line) => results.done.push(line),
            Err(failure) => results.failed.push(failure),
        }
    }
    results
}

async fn one(target: &Target, mut change: Change, eviction: Eviction) -> Result<String, String> {
    for _ in 0..MAX_ATTEMPTS {
        if eviction == Eviction::AfterHandoff
            && let Change::Move { seen, .. } | Change::Release { seen } = &change
        {
            let row = drained(&target.leases, seen).await?;
            match decide(&change, &row) {
                Decision::Change(again) => change = *again,
                Decision::Keep(line) => return Ok(line),
                Decision::Refuse(refusal) => return Err(refusal.to_string()),
            }
        }
        let (shard, edited) = match &change {
            Change::Create(imported) => {
                let created = target.leases.insert(&imported.lease, &imported.children).await;
                return created.map(|()| change.to_string()).map_err(|error| described(&error));
            }
            Change::Move { seen, to, .. } => {
                (seen.shard.clone(), target.leases.seek(seen, &to.checkpoint, to.start_at).await)
            }
            Change::Release { seen } => (seen.shard.clone(), target.leases.evict(seen).await),
        };
        match edited.map_err(|error| described(&error))? {
            Edited::Stored(_) => return Ok(change.to_string()),
            Edited::Changed(None) => {
                return Err(format!("the lease of {shard} was deleted meanwhile; list the leases again"));
            }
            Edited::Changed(Some(row)) => match decide(&change, &row) {
                Decision::Change(again) => change = *again,
                Decision::Keep(line) => return Ok(line),
                Decision::Refuse(refusal) => return Err(refusal.to_string()),
            },
        }
    }
    Err(format!("{} failed: the lease changed before each of {MAX_ATTEMPTS} attempts; try again", change))
}

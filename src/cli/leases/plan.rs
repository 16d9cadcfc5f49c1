//! Which leases to change, and how. Pure.

use super::line::{ImportedLease, checkpoint_text};
use crate::domain::{Checkpoint, Lease, NewLease, SentinelCheckpoint, ShardId, StreamIdentity, Timestamp, WorkerId};
use crate::settings::{SeekTarget, ShardSelection};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An error names at most this many shards.
const MAX_NAMED: usize = 10;

/// What to change, and what stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// A line for each lease that stays as it is, with the reason.
    pub(super) kept: Vec<String>,
}

impl Plan {
    /// A line for each change.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.changes.iter().map(ToString::to_string)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Create(ImportedLease),
    Move { seen: Lease, to: Position, rule: MoveRule },
    Release { seen: Lease },
}

/// Where a lease is moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) checkpoint: Checkpoint,
    pub(super) start_at: Option<Timestamp>,
}

/// When a lease may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveRule {
    /// Where an operator wants it, but only with this flag if the shard was read to its end.
    Seek { include_ended: bool, is_named: bool },
    /// Forward, and with this flag also back.
    Import { move_back: bool },
}

/// Why nothing is changed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be done with one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Change(Box<Change>),
    Keep(String),
    Refuse(Refusal),
}

/// The request of `seek`.
#[derive(Debug, Clone)]
pub(super) struct Seek {
    pub(super) to: SeekTarget,
    pub(super) include_ended: bool,
    /// Where a shard at LATEST starts.
    pub(super) latest: Timestamp,
}

/// The request of `import`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Import<'a> {
    pub(super) move_back: bool,
    /// The stream of the component, name or ARN.
    pub(super) stream: Option<&'a str>,
}

/// # Errors
/// With each reason for which nothing may be changed.
pub(super) fn seek(rows: &[Lease], shards: &ShardSelection, request: &Seek) -> Result<Plan, Vec<Refusal>> {
    let (checkpoint, start_at) = match &request.to {
        SeekTarget::TrimHorizon => (Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon), None),
        SeekTarget::Latest => (Checkpoint::NotStarted(SentinelCheckpoint::Latest), Some(request.latest)),
        SeekTarget::Time(moment) => (Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp), Some(*moment)),
        SeekTarget::After(position) => (Checkpoint::After(position.clone()), None),
    };
    let to = Position { checkpoint, start_at };
    let is_named = matches!(shards, ShardSelection::One(_));
    let rule = MoveRule::Seek { include_ended: request.include_ended, is_named };
    let decide = |row: &Lease| decide(&Change::Move { seen: row.clone(), to: to.clone(), rule }, row);
    collect(selected(rows, shards)?.into_iter().map(decide))
}

/// # Errors
/// With each reason for which nothing may be changed.
pub(super) fn release(rows: &[Lease], shards: &ShardSelection) -> Result<Plan, Vec<Refusal>> {
    let decide = |row: &Lease| decide(&Change::Release { seen: row.clone() }, row);
    collect(selected(rows, shards)?.into_iter().map(decide))
}

/// # Errors
/// With each reason for which nothing may be changed.
pub(super) fn import(imported: &[ImportedLease], rows: &[Lease], request: &Import<'_>) -> Result<Plan, Vec<Refusal>> {
    let existing: BTreeMap<&ShardId, &Lease> = rows.iter().map(|row| (&row.shard, row)).collect();
    let mut refusals: Vec<Refusal> = other_streams(imported, rows, request.stream).into_iter().collect();
    let mut seen = BTreeSet::new();
    let repeated = imported.iter().filter(|imported| !seen.insert(&imported.lease.shard));
    refusals.extend(repeated.map(|repeated| {
        Refusal(format!("{} is in the file more than once; keep one of its lines", repeated.lease.shard))
    }));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    collect(imported.iter().map(|imported| {
        let NewLease { checkpoint, start_at, .. } = imported.lease.clone();
        match existing.get(&imported.lease.shard) {
            None => Decision::Change(Box::new(Change::Create(imported.clone()))),
            Some(row) => {
                let rule = MoveRule::Import { move_back: request.move_back };
                decide(&Change::Move { seen: (*row).clone(), to: Position { checkpoint, start_at }, rule }, row)
            }
        }
    }))
}

/// Decides on a change for the lease as it is now, which may differ from what the change saw.
pub(super) fn decide(change: &Change, row: &Lease) -> Decision {
    match change {
        Change::Create(_) => Decision::Keep(format!("{}: exists", row.shard)),
        Change::Release { .. } if row.checkpoint.is_ended() => {
            Decision::Keep(format!("{}: was read to its end", row.shard))
        }
        Change::Release { .. } if row.owner.is_none() && row.handoff_from.is_none() => {
            Decision::Keep(format!("{}: has no owner", row.shard))
        }
        Change::Release { .. } => Decision::Change(Box::new(Change::Release { seen: row.clone() })),
        Change::Move { to, rule, .. } => decide_move(to, *rule, row),
    }
}

fn decide_move(to: &Position, rule: MoveRule, row: &Lease) -> Decision {
    let shard = &row.shard;
    let change = Box::new(Change::Move { seen: row.clone(), to: to.clone(), rule });
    match rule {
        MoveRule::Seek { include_ended: false, is_named: true } if row.checkpoint.is_ended() => {
            Decision::Refuse(Refusal(format!(
                "{shard} was read to its end, and its children may be in progress; --include-ended moves it all the same"
            )))
        }
        MoveRule::Seek { include_ended: false, is_named: false } if row.checkpoint.is_ended() => {
            Decision::Keep(format!("{shard}: was read to its end"))
        }
        MoveRule::Seek { .. } => Decision::Change(change),
        MoveRule::Import { move_back } => {
            let is_started = !matches!(to.checkpoint, Checkpoint::NotStarted(_));
            if to.checkpoint == row.checkpoint && (is_started || to.start_at == row.start_at) {
                return Decision::Keep(format!("{shard}: is at {}", checkpoint_text(&row.checkpoint)));
            }
            if to.checkpoint.is_beyond(&row.checkpoint) || move_back {
                return Decision::Change(change);
            }
            Decision::Refuse(Refusal(format!(
                "{shard} is at {} and would be moved back to {}; --move-back does it, and records are delivered again",
                checkpoint_text(&row.checkpoint),
                checkpoint_text(&to.checkpoint)
            )))
        }
    }
}

fn collect(decisions: impl Iterator<Item = Decision>) -> Result<Plan, Vec<Refusal>> {
    let (mut plan, mut refusals) = (Plan::default(), Vec::new());
    for decision in decisions {
        match decision {
            Decision::Change(change) => plan.changes.push(*change),
            Decision::Keep(line) => plan.kept.push(line),
            Decision::Refuse(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

fn selected<'r>(rows: &'r [Lease], shards: &ShardSelection) -> Result<Vec<&'r Lease>, Vec<Refusal>> {
    match shards {
        ShardSelection::All => Ok(rows.iter().collect()),
        ShardSelection::One(shard) => match rows.iter().find(|row| row.shard == *shard) {
            Some(row) => Ok(vec![row]),
            None => {
                let named: Vec<&str> = rows.iter().take(MAX_NAMED).map(|row| row.shard.as_str()).collect();
                let rest = if rows.len() > MAX_NAMED { ", …" } else { "" };
                let known = if named.is_empty() { "no shard".to_owned() } else { named.join(", ") + rest };
                Err(vec![Refusal(format!("{shard} has no lease in the table, which has leases of {known}"))])
            }
        },
    }
}

/// Leases of the file that belong to another stream than the component, the table or each other.
fn other_streams(imported: &[ImportedLease], rows: &[Lease], stream: Option<&str>) -> Option<Refusal> {
    let of_rows = rows.iter().filter_map(|row| row.stream.as_deref());
    let of_file = imported.iter().filter_map(|imported| imported.lease.stream.as_deref());
    let expected: Vec<&str> = stream.into_iter().chain(of_rows).chain(of_file.clone().take(1)).collect();
    for found in of_file {
        if let Some(expected) = expected.iter().find(|expected| !StreamIdentity::may_be_same(found, expected)) {
            return Some(Refusal(format!(
                "the file has leases of stream `{found}`, which is not `{expected}`; use the table or component of that stream"
            )));
        }
    }
    let mut created = rows.iter().filter_map(|row| row.stream_created);
    let expected = created.next().or_else(|| imported.iter().find_map(|imported| imported.lease.stream_created))?;
    let other =
        imported.iter().filter_map(|imported| imported.lease.stream_created).find(|found| *found != expected)?;
    Some(Refusal(format!(
        "the file has leases of a stream that was created at {other}, and the table is of one created at {expected}: \
         sequence numbers of one mean nothing in the other. Use `seek` instead"
    )))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(ImportedLease { lease, .. }) => {
                write!(f, "{}: created at {}", lease.shard, checkpoint_text(&lease.checkpoint))?;
                started(f, lease.start_at)
            }
            Self::Move { seen, to, .. } => {
                let (from, to_text) = (checkpoint_text(&seen.checkpoint), checkpoint_text(&to.checkpoint));
                write!(f, "{}: checkpoint {from} -> {to_text}", seen.shard)?;
                started(f, to.start_at)?;
                released(f, seen)
            }
            Self::Release { seen } => {
                write!(f, "{}: checkpoint {}", seen.shard, checkpoint_text(&seen.checkpoint))?;
                released(f, seen)
            }
        }
    }
}

fn started(f: &mut fmt::Formatter<'_>, start_at: Option<Timestamp>) -> fmt::Result {
    start_at.map_or(Ok(()), |moment| write!(f, " from {moment}"))
}

fn released(f: &mut fmt::Formatter<'_>, seen: &Lease) -> fmt::Result {
    let owner = seen.owner.as_ref().map_or("none", WorkerId::as_str);
    write!(f, ", owner {owner} -> none, counter {} -> {}", seen.counter.value(), seen.counter.next().value())
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;

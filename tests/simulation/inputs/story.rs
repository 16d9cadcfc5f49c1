//! What happened in a run, so that a violation can be understood.

use super::plan::Plan;
use bindd::domain::{LeaseCounter, RecordPosition, ShardId, WorkerId};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Entries that are kept.
const KEPT: usize = 5_000;
/// Entries that are printed.
const PRINTED: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    at: Duration,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) shard: Option<ShardId>,
    pub(crate) key: Option<String>,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Put(RecordPosition),
    Read {
        records: usize,
        last: Option<RecordPosition>,
    },
    Delivery {
        position: RecordPosition,
        events: usize,
        attempt: u32,
        epoch: LeaseCounter,
    },
    Reply(RecordPosition, &'static str),
    HungUp(RecordPosition),
    Accepted(RecordPosition),
    DeadLetter(RecordPosition),
    /// A write of the lease table: its kind, the counter after it, and more.
    Row(&'static str, LeaseCounter, String),
    /// Something that concerns a worker, a shard or all.
    Note(String),
}

/// The name of one violation, with what it is about.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) text: String,
    pub(crate) shard: Option<ShardId>,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Story {
    begun: Instant,
    /// What the seed decided before the run.
    plan: String,
    entries: VecDeque<Entry>,
    is_complete: bool,
}

impl Story {
    /// `is_complete`: no entry is forgotten.
    pub(crate) fn new(plan: &Plan, is_complete: bool) -> Self {
        Self { begun: Instant::now(), plan: format!("{plan:?}"), entries: VecDeque::new(), is_complete }
    }

    pub(crate) fn tell(&mut self, worker: Option<&WorkerId>, shard: Option<&ShardId>, key: Option<&str>, what: What) {
        if self.entries.len() == KEPT && !self.is_complete {
            self.entries.pop_front();
        }
        let (worker, shard, key) = (worker.cloned(), shard.cloned(), key.map(str::to_owned));
        self.entries.push_back(Entry { at: self.begun.elapsed(), worker, shard, key, what });
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }

    /// The last entries that concern the violation.
    pub(crate) fn of(&self, violation: &Violation) -> String {
        let concerns = |entry: &&Entry| match (&entry.shard, &entry.key) {
            (_, Some(key)) if !violation.keys.is_empty() => violation.keys.contains(key),
            (Some(shard), _) => violation.shard.as_ref().is_none_or(|about| about == shard),
            (None, _) => true,
        };
        let mut lines: Vec<String> =
            self.entries.iter().rev().filter(concerns).take(PRINTED).map(ToString::to_string).collect();
        lines.reverse();
        let (text, plan) = (&violation.text, &self.plan);
        format!("{text}\n{plan}\nthe last {} events that concern it:\n{}", lines.len(), lines.join("\n"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s", self.at.as_secs_f64())?;
        write!(f, "  {:<10}", self.worker.as_ref().map_or("", WorkerId::as_str))?;
        write!(f, "  {:<20}", self.shard.as_ref().map_or("", ShardId::as_str))?;
        write!(f, "  {:<8}  ", self.key.as_deref().unwrap_or(""))?;
        match &self.what {
            What::Put(position) => write!(f, "put {position}"),
            What::Read { records, last: Some(last) } => write!(f, "read {records} records to {last}"),
            What::Read { records, last: None } => write!(f, "read {records} records"),
            What::Delivery { position, events, attempt, epoch } => {
                write!(f, "delivers {position} in a batch of {events}, attempt {attempt}, epoch {}", epoch.value())
            }
            What::Reply(position, reply) => write!(f, "reply to {position}: {reply}"),
            What::HungUp(position) => write!(f, "hung up on {position}"),
            What::Accepted(position) => write!(f, "app accepted {position}"),
            What::DeadLetter(position) => write!(f, "dead letter {position}"),
            What::Row(kind, counter, more) => write!(f, "row: {kind}, counter {}{more}", counter.value()),
            What::Note(note) => f.write_str(note),
        }
    }
}

//! What the app saw of a run, compared with what was put.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// One call of the app. A record is the `number`th of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) worker: usize,
    pub(crate) key: String,
    pub(crate) number: usize,
    pub(crate) shard: String,
    /// Grows with each owner of the shard's lease.
    pub(crate) epoch: Option<u64>,
}

/// What happened, in order.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// The calls are counted from 0.
    Began(Call),
    Ended {
        /// Which call.
        call: usize,
        accepted: bool,
        at: Instant,
    },
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) put: usize,
    /// Records, each counted once.
    pub(crate) accepted: usize,
    pub(crate) lost: usize,
    /// Calls that began before all earlier records of the key were accepted, or that went back within one ownership.
    pub(crate) out_of_order: usize,
    /// Calls that began while another of the same key was running, unless one of both has an older epoch.
    pub(crate) overlapping: usize,
    /// Accepted calls of records that were accepted before.
    pub(crate) duplicates: usize,
    /// Between two accepted calls.
    pub(crate) largest_gap: Duration,
    /// Where the counts come from, with the calls in order; only the first of many.
    pub(crate) remarks: Vec<String>,
}

const MAX_REMARKS: usize = 20;

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "put {}, accepted {}, lost {}, out of order {}, overlapping {}, duplicates {}, largest gap {:.1} s",
            self.put,
            self.accepted,
            self.lost,
            self.out_of_order,
            self.overlapping,
            self.duplicates,
            self.largest_gap.as_secs_f64()
        )
    }
}

impl Facts {
    /// `put` has the number of records of each key.
    pub(crate) fn new(put: &BTreeMap<String, usize>, journal: &[Entry]) -> Self {
        let mut review = Review::default();
        for entry in journal {
            match entry {
                Entry::Began(call) => review.began(call),
                Entry::Ended { call, accepted, at } => review.ended(*call, *accepted, *at),
            }
        }
        let mut facts = review.facts;
        for (key, count) in put {
            facts.put += count;
            let accepted = review.keys.get(key.as_str()).map(|state| &state.accepted);
            let accepted = (0..*count).filter(|number| accepted.is_some_and(|all| all.contains_key(number))).count();
            facts.accepted += accepted;
            facts.lost += count - accepted;
        }
        facts
    }
}

impl Facts {
    fn remark(&mut self, what: &str, index: usize, call: &Call) {
        if self.remarks.len() < MAX_REMARKS {
            self.remarks.push(format!("call {index} {what}: {call:?}"));
        }
    }
}

#[derive(Default)]
struct Key {
    running: Vec<usize>,
    /// The last accepted call of each number.
    accepted: BTreeMap<usize, usize>,
    /// The first number that was never accepted.
    next: usize,
    /// The last number accepted in each ownership.
    last: HashMap<(String, u64), usize>,
}

#[derive(Default)]
struct Review<'a> {
    facts: Facts,
    calls: Vec<&'a Call>,
    keys: HashMap<&'a str, Key>,
    epochs: HashMap<&'a str, u64>,
    last_accepted: Option<Instant>,
}

impl<'a> Review<'a> {
    fn began(&mut self, call: &'a Call) {
        let newest = self.epochs.entry(&call.shard).or_default();
        let is_stale = call.epoch.is_some_and(|epoch| epoch < *newest);
        *newest = (*newest).max(call.epoch.unwrap_or_default());
        let key = self.keys.entry(&call.key).or_default();
        let is_older = |other: &Call| other.shard == call.shard && other.epoch < call.epoch;
        let overlaps = key.running.iter().any(|running| !is_older(self.calls[*running]));
        let went_back = call.epoch.and_then(|epoch| key.last.get(&(call.shard.clone(), epoch)));
        if overlaps && !is_stale {
            self.facts.overlapping += 1;
            self.facts.remark("overlaps", self.calls.len(), call);
        }
        if call.number > key.next || went_back.is_some_and(|last| call.number < *last) {
            self.facts.out_of_order += 1;
            self.facts.remark("is out of order", self.calls.len(), call);
        }
        key.running.push(self.calls.len());
        self.calls.push(call);
    }

    fn ended(&mut self, index: usize, accepted: bool, at: Instant) {
        let call = self.calls[index];
        let key = self.keys.entry(&call.key).or_default();
        key.running.retain(|running| *running != index);
        if !accepted {
            return;
        }
        if let Some(earlier) = key.accepted.insert(call.number, index) {
            self.facts.duplicates += 1;
            let what = format!("repeats call {earlier} of worker {}", self.calls[earlier].worker);
            self.facts.remark(&what, index, call);
        }
        while key.accepted.contains_key(&key.next) {
            key.next += 1;
        }
        if let Some(epoch) = call.epoch {
            key.last.insert((call.shard.clone(), epoch), call.number);
        }
        let gap = self.last_accepted.replace(at).map(|last| at.saturating_duration_since(last));
        self.facts.largest_gap = self.facts.largest_gap.max(gap.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words such as `a0` (a call of key `a` with number 0 begins and is accepted), `a0(` (it begins), `)0` (call 0 is
    /// accepted), `!0` (call 0 ends without), each with an epoch after `@` where it has one.
    fn facts(script: &str) -> Facts {
        let (mut journal, mut calls) = (Vec::new(), 0);
        let at = Instant::now();
        for word in script.split_whitespace() {
            if let Some(call) = word.strip_prefix([')', '!']) {
                journal.push(Entry::Ended { call: call.parse().unwrap(), accepted: word.starts_with(')'), at });
                continue;
            }
            let (word, epoch) = word.split_once('@').map_or((word, None), |(word, epoch)| (word, epoch.parse().ok()));
            let number = word[1..].trim_end_matches('(').parse().unwrap();
            let key = word[..1].to_owned();
            journal.push(Entry::Began(Call { worker: 0, key, number, shard: "shard".to_owned(), epoch }));
            if !word.ends_with('(') {
                journal.push(Entry::Ended { call: calls, accepted: true, at });
            }
            calls += 1;
        }
        Facts::new(&BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 1)]), &journal)
    }

    #[test]
    fn violations_are_found() {
        // lost, out of order, overlapping, duplicates
        for (script, expected) in [
            ("a0 a1 b0 a2", [0, 0, 0, 0]),
            ("a0 b0 a1", [1, 0, 0, 0]),
            ("a0 a2 a1 b0", [0, 1, 0, 0]),
            ("a0 a1 a0 a1 a2 b0", [0, 0, 0, 2]),
            ("a0( a0( )0 )1 a1 a2 b0", [0, 0, 1, 1]),
            ("a0( a1( )0 )1 a2 b0", [0, 1, 1, 0]),
            ("a0( b0( )0 )1 a1 a2", [0, 0, 0, 0]),
            ("a0( !0 a0 a1 a2 b0", [0, 0, 0, 0]),
            ("a0 a1( !1 a2 b0", [1, 1, 0, 0]),
            // A new owner begins while a call of the last one is running, which then goes on.
            ("a0(@1 a0@2 )0 a1@2 a2@2 b0", [0, 0, 0, 1]),
            // Within one ownership nothing goes back; a new owner may.
            ("a0@1 a1@1 a0@2 a1@2 a2@2 b0", [0, 0, 0, 2]),
            ("a0@1 a1@1 a0@1 a1@1 a2@1 b0", [0, 1, 0, 2]),
            // A call of an older epoch that begins later is no overlap, but a duplicate.
            ("a0@2 a1(@2 a0@1 )1 a2@2 b0", [0, 0, 0, 1]),
        ] {
            let facts = facts(script);
            let found = [facts.lost, facts.out_of_order, facts.overlapping, facts.duplicates];
            assert_eq!(found, expected, "{script}");
            assert_eq!((facts.put, facts.accepted), (4, 4 - expected[0]), "{script}");
        }
    }
}

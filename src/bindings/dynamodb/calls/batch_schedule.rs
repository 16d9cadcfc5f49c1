//! Which entries of a bulk go into the next call. Pure: it is told the time and what became of each entry.
//!
//! An entry is ready, resting until a moment, on its way, behind an earlier entry of its key, or settled. At most one
//! entry of a key is ever ready, resting or on its way, so calls may run side by side and order is kept all the same.
//! Where the key of an entry cannot be told, nothing runs side by side and the order given is the order sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use tokio::time::Instant;

/// Bounds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallLimits {
    /// Most entries of one call.
    pub(super) entries: usize,
    /// Most bytes of one call; an entry that is larger goes alone.
    pub(super) bytes: usize,
    /// Most calls open at once; at least 1.
    pub(super) in_flight: usize,
}

/// What is known of the keys of the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keys {
    /// The key of each entry; equal keys are equal bytes.
    Known(Vec<Vec<u8>>),
    /// Which attributes are the key is not known.
    Unknown,
}

/// The plan of one bulk. Entries are named by their place in it.
#[derive(Debug)]
pub(super) struct Schedule {
    limits: CallLimits,
    order: Order,
    sizes: Vec<usize>,
    /// The next entry of the same key, which waits until this one is settled.
    behind: Vec<Option<usize>>,
    /// Entries that go in calls of their own, to find out which of them is refused.
    is_alone: Vec<bool>,
    ready: VecDeque<usize>,
    resting: BTreeMap<Instant, Vec<usize>>,
    /// Calls open now.
    open: usize,
    /// Calls that may be open now; lowered by throttles, raised by calls that went through whole.
    window: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Calls run side by side; entries of a key one after the other.
    PerKey,
    /// One call at a time, and none while an earlier entry rests.
    AsGiven,
}

impl Schedule {
    /// A plan for entries of these sizes, in bytes.
    pub(super) fn new(limits: CallLimits, sizes: Vec<usize>, keys: &Keys) -> Self {
        let count = sizes.len();
        let mut schedule = Self {
            limits,
            order: Order::AsGiven,
            sizes,
            behind: vec![None; count],
            is_alone: vec![false; count],
            ready: VecDeque::with_capacity(count),
            resting: BTreeMap::new(),
            open: 0,
            window: 1,
        };
        match keys {
            Keys::Known(keys) => schedule.line_up(keys),
            Keys::Unknown => schedule.ready.extend(0..count),
        }
        schedule
    }

    fn line_up(&mut self, keys: &[Vec<u8>]) {
        self.order = Order::PerKey;
        self.window = self.limits.in_flight.max(1);
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(keys.len());
        for (entry, key) in keys.iter().enumerate() {
            match last.insert(key, entry) {
                Some(earlier) => self.behind[earlier] = Some(entry),
                None => self.ready.push_back(entry),
            }
        }
    }

    /// The entries of the next call, which counts as open from now; `None` when nothing may be sent yet.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<usize>> {
        self.wake(now);
        let must_wait = match self.order {
            Order::PerKey => self.open >= self.window,
            Order::AsGiven => self.open > 0 || !self.resting.is_empty(),
        };
        if must_wait {
            return None;
        }
        let first = self.ready.pop_front()?;
        let (mut call, mut bytes) = (vec![first], self.sizes[first]);
        while !self.is_alone[first] && call.len() < self.limits.entries {
            let fits = |next: &usize| !self.is_alone[*next] && bytes + self.sizes[*next] <= self.limits.bytes;
            let Some(next) = self.ready.pop_front_if(|next| fits(next)) else { break };
            bytes += self.sizes[next];
            call.push(next);
        }
        self.open += 1;
        Some(call)
    }

    /// Entries whose rest is over go first, in the order given.
    fn wake(&mut self, now: Instant) {
        let later = self.resting.split_off(&(now + std::time::Duration::from_nanos(1)));
        let mut woken: Vec<usize> = std::mem::replace(&mut self.resting, later).into_values().flatten().collect();
        woken.sort_unstable();
        for entry in woken.into_iter().rev() {
            self.ready.push_front(entry);
        }
    }

    /// When the next rest ends.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.resting.first_key_value().map(|(wake, _)| *wake)
    }

    /// A call came back; what became of each of its entries is told apart.
    pub(super) fn returned(&mut self, how: Passage) {
        self.open = self.open.saturating_sub(1);
        if self.order == Order::PerKey {
            self.window = match how {
                Passage::Whole => (self.window + 1).min(self.limits.in_flight.max(1)),
                Passage::Throttled => (self.window / 2).max(1),
                Passage::Refused => self.window,
            };
        }
    }

    /// An entry has its answer; the next one of its key may go.
    pub(super) fn settle(&mut self, entry: usize) {
        if let Some(next) = self.behind[entry].take() {
            self.ready.push_back(next);
        }
    }

    /// Entries go again, not before `wake`.
    pub(super) fn rest(&mut self, entries: Vec<usize>, wake: Instant) {
        if !entries.is_empty() {
            self.resting.entry(wake).or_default().extend(entries);
        }
    }

    /// Entries of a refused call go again at once, each in a call of its own.
    pub(super) fn single_out(&mut self, entries: &[usize]) {
        for entry in entries.iter().rev() {
            self.is_alone[*entry] = true;
            self.ready.push_front(*entry);
        }
    }

    /// Whether every entry that could be sent was taken, and none rests.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.resting.is_empty()
    }
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// Every entry was taken.
    Whole,
    /// Some were left, or all.
    Throttled,
    /// It failed for another reason.
    Refused,
}

#[cfg(test)]
#[path = "tests/batch_schedule.rs"]
mod tests;

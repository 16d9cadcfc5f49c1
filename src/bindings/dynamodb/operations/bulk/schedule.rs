//! Which entries of a bulk go into the next call. Pure: time and results are passed in.
//!
//! An entry is ready, delayed until a moment, in flight, waiting for an earlier entry of its key, or complete. Of one key
//! at most one entry is ready, delayed or in flight, so calls may run side by side and still keep the order of each key.
//! If keys are not known, one call at a time is sent, in the given order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use tokio::time::Instant;

/// Limits of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallLimits {
    pub(super) entries: usize,
    /// Bytes of one call; a larger entry gets a separate call.
    pub(super) bytes: usize,
    /// Concurrent calls; at least 1.
    pub(super) in_flight: usize,
}

/// The keys of the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKeys {
    /// The key of each entry; equal keys are equal bytes.
    Known(Vec<Vec<u8>>),
    /// The table's key attributes are not known.
    Unknown,
}

/// The schedule of one bulk. Entries are identified by their index.
#[derive(Debug)]
pub(super) struct Schedule {
    limits: CallLimits,
    order: Order,
    sizes: Vec<usize>,
    /// The next entry of the same key, which waits until this one is complete.
    next_of_key: Vec<Option<usize>>,
    /// Entries that are sent in separate calls, to find the one that DynamoDB refuses.
    is_isolated: Vec<bool>,
    ready: VecDeque<usize>,
    delayed: BTreeMap<Instant, Vec<usize>>,
    in_flight: usize,
    /// How many calls may be in flight now; throttling lowers it, complete calls raise it.
    window: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Calls run side by side; entries of a key one after the other.
    PerKey,
    /// One call at a time, and none while an earlier entry is delayed.
    AsGiven,
}

impl Schedule {
    pub(super) fn new(limits: CallLimits, sizes: Vec<usize>, keys: &EntryKeys) -> Self {
        let count = sizes.len();
        let mut schedule = Self {
            limits,
            order: Order::AsGiven,
            sizes,
            next_of_key: vec![None; count],
            is_isolated: vec![false; count],
            ready: VecDeque::with_capacity(count),
            delayed: BTreeMap::new(),
            in_flight: 0,
            window: 1,
        };
        match keys {
            EntryKeys::Known(keys) => schedule.queue_by_key(keys),
            EntryKeys::Unknown => schedule.ready.extend(0..count),
        }
        schedule
    }

    fn queue_by_key(&mut self, keys: &[Vec<u8>]) {
        self.order = Order::PerKey;
        self.window = self.limits.in_flight.max(1);
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(keys.len());
        for (entry, key) in keys.iter().enumerate() {
            match last.insert(key, entry) {
                Some(earlier) => self.next_of_key[earlier] = Some(entry),
                None => self.ready.push_back(entry),
            }
        }
    }

    /// The entries of the next call, which counts as in flight from now; `None` when nothing may be sent yet.
    pub(super) fn next_call(&mut self, now: Instant) -> Option<Vec<usize>> {
        self.queue_due(now);
        let must_wait = match self.order {
            Order::PerKey => self.in_flight >= self.window,
            Order::AsGiven => self.in_flight > 0 || !self.delayed.is_empty(),
        };
        if must_wait {
            return None;
        }
        let first = self.ready.pop_front()?;
        let (mut call, mut bytes) = (vec![first], self.sizes[first]);
        while !self.is_isolated[first] && call.len() < self.limits.entries {
            let fits = |next: &usize| !self.is_isolated[*next] && bytes + self.sizes[*next] <= self.limits.bytes;
            let Some(next) = self.ready.pop_front_if(|next| fits(next)) else { break };
            bytes += self.sizes[next];
            call.push(next);
        }
        self.in_flight += 1;
        Some(call)
    }

    /// Entries whose delay is over go first, in the given order.
    fn queue_due(&mut self, now: Instant) {
        let later = self.delayed.split_off(&(now + std::time::Duration::from_nanos(1)));
        let mut due: Vec<usize> = std::mem::replace(&mut self.delayed, later).into_values().flatten().collect();
        due.sort_unstable();
        for entry in due.into_iter().rev() {
            self.ready.push_front(entry);
        }
    }

    /// When the next delay ends.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|(wake, _)| *wake)
    }

    /// A call ended; the results of its entries are reported separately.
    pub(super) fn call_ended(&mut self, result: CallResult) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.order == Order::PerKey {
            self.window = match result {
                CallResult::Complete => (self.window + 1).min(self.limits.in_flight.max(1)),
                CallResult::Throttled => (self.window / 2).max(1),
                CallResult::Failed => self.window,
            };
        }
    }

    /// An entry has its result; the next one of its key may be sent.
    pub(super) fn complete(&mut self, entry: usize) {
        if let Some(next) = self.next_of_key[entry].take() {
            self.ready.push_back(next);
        }
    }

    /// Entries are sent again, not before `wake`.
    pub(super) fn delay(&mut self, entries: Vec<usize>, wake: Instant) {
        if !entries.is_empty() {
            self.delayed.entry(wake).or_default().extend(entries);
        }
    }

    /// Entries of a failed call are sent again at once, each in a separate call.
    pub(super) fn isolate(&mut self, entries: &[usize]) {
        for entry in entries.iter().rev() {
            self.is_isolated[*entry] = true;
            self.ready.push_front(*entry);
        }
    }

    /// Whether no entry is ready or delayed.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallResult {
    /// Every entry was processed.
    Complete,
    /// Some entries were left unprocessed, or all.
    Throttled,
    /// It failed for another reason.
    Failed,
}

#[cfg(test)]
#[path = "tests/schedule.rs"]
mod tests;

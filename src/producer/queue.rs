//! All records that are not answered yet, in the order in which they may be sent.
//!
//! ```text
//!  insert ──► Blocked ──► Delayed (until due) ──► Ready ──► InFlight ──► removed
//!                ▲   one of a key at a time                    │
//!                └─────── requeue: in front of its key ◄───────┘
//! ```
//! Without ordering by key no record is `Blocked`. [`Queue::remove`] is the only way out: it takes the record off every
//! list, gives back its slot of the rate limit and lets the next record of its key follow.

use super::errors;
use super::limiter::Slot;
use super::lists::{End, KeyQueue, ReadyTotals, RecordList};
use super::record::{Arrival, OrderingKey, PendingRecord, RecordId, Records, State};
use super::shards::Shards;
use crate::domain::{BindingError, Outcome};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) shards: Shards,
    records: Records,
    keys: HashMap<OrderingKey, KeyQueue>,
    ready: RecordList,
    totals: ReadyTotals,
    delayed: BTreeSet<(Instant, RecordId)>,
    deadlines: BTreeSet<(Instant, RecordId)>,
    /// Whether any record so far ends its batch.
    has_ends: bool,
}

impl Queue {
    pub(super) fn new(shards: Shards, max_shard_bytes: usize) -> Self {
        Self {
            shards,
            records: Records::default(),
            keys: HashMap::new(),
            ready: RecordList::default(),
            totals: ReadyTotals::new(max_shard_bytes),
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            has_ends: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&PendingRecord> {
        self.records.get(id)
    }

    pub(super) fn get_mut(&mut self, id: RecordId) -> Option<&mut PendingRecord> {
        self.records.get_mut(id)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingRecord> {
        self.records.iter()
    }

    pub(super) const fn ready_totals(&self) -> &ReadyTotals {
        &self.totals
    }

    /// Queues a new record for a token of its shard.
    ///
    /// # Errors
    /// The shard has no token for it before `by`.
    pub(super) fn request_token(
        &mut self,
        record: &mut PendingRecord,
        by: Instant,
        now: Instant,
    ) -> Result<(), BindingError> {
        record.shard = self.shards.predict(record.hash);
        let token = self.shards.limiter.enqueue(record.shard.as_ref(), record.size, now, by);
        let due = token.map_err(|wait| errors::rate_limited(record.shard.as_ref(), wait))?;
        record.is_limited = due.is_some();
        record.slot = if due.is_some() { Slot::Queued } else { Slot::None };
        record.due = due.unwrap_or(now);
        Ok(())
    }

    /// Adds a record, behind the others of its key.
    pub(super) fn insert(&mut self, record: Arrival, now: Instant) {
        let (key, deadline) = (record.key.clone(), record.options.deadline);
        self.has_ends |= record.options.ends_batch;
        let id = self.records.insert(record);
        self.deadlines.insert((deadline, id));
        let Some(key) = key else { return self.schedule(id, End::Back, now) };
        let queue = self.keys.entry(key).or_default();
        if queue.active == 0 {
            (queue.active, queue.head) = (1, id);
            return self.schedule(id, End::Back, now);
        }
        let head = queue.head;
        let Some(record) = self.records.get_mut(id) else { return };
        queue.block(record, End::Back);
        if record.options.ends_batch {
            self.set_urgent(head);
        }
    }

    /// Removes a record from every list and gives back its slot of the rate limit.
    pub(super) fn remove(&mut self, id: RecordId, now: Instant) -> Option<Arrival> {
        let record = self.records.remove(id)?;
        self.deadlines.remove(&(record.options.deadline, id));
        self.shards.limiter.release(record.shard.as_ref(), record.size, record.slot);
        let key = record.key.as_ref();
        match record.state {
            State::Blocked => {
                if let Some(queue) = key.and_then(|key| self.keys.get_mut(key)) {
                    queue.remove(&record);
                }
                return Some(record);
            }
            State::Delayed => {
                self.delayed.remove(&(record.due, id));
            }
            State::Ready => {
                self.ready.remove(record.position);
                self.totals.subtract(&record);
            }
            State::InFlight | State::Split => {}
        }
        if let Some(key) = key {
            self.unblock_next(key, now);
        }
        Some(record)
    }

    /// Makes the delayed records ready that are due. Retries go first, as they were sent before the others.
    pub(super) fn promote_due(&mut self, now: Instant) {
        let mut retries = Vec::new();
        while let Some((_, id)) = pop_due(&mut self.delayed, now) {
            if self.records.get(id).is_some_and(|record| record.attempts.count > 0) {
                retries.push(id);
            } else {
                self.make_ready(id, End::Back, now);
            }
        }
        for id in retries.into_iter().rev() {
            self.make_ready(id, End::Front, now);
        }
    }

    /// The first record that may be sent.
    pub(super) fn first(&self) -> Option<&PendingRecord> {
        self.records.get(self.ready.first()?)
    }

    /// Takes the first ready record for a call.
    pub(super) fn take_first(&mut self) -> Option<RecordId> {
        let id = self.pop_ready()?;
        self.update(id, |record| record.state = State::InFlight);
        Some(id)
    }

    /// Reserves a slot of the rate limit for the first ready record; if the slot is later, the record is delayed.
    ///
    /// # Errors
    /// The wait until there would be a slot, when that is too late. The record stays where it is.
    pub(super) fn reserve_first(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(record) = self.ready.first().and_then(|id| self.records.get_mut(id)) else { return Ok(()) };
        let (shard, limiter) = (record.shard.as_ref(), &mut self.shards.limiter);
        let slot = limiter.reserve(shard, record.size, now, record.begin_by)?;
        if record.slot == Slot::Queued {
            limiter.dequeue(shard, record.size);
        }
        record.slot = Slot::Reserved(slot);
        if slot > now {
            record.due = slot;
            if let Some(id) = self.pop_ready() {
                self.delay(id, slot);
            }
        }
        Ok(())
    }

    /// Counts an attempt that is sent now.
    pub(super) fn start_attempt(&mut self, id: RecordId, now: Instant) -> Option<&PendingRecord> {
        let record = self.records.get_mut(id)?;
        record.attempts.count += 1;
        record.attempts.first.get_or_insert(now);
        record.responder.set_outcome(Outcome::Unknown);
        let slot = std::mem::replace(&mut record.slot, Slot::None);
        self.shards.limiter.sent(record.shard.as_ref(), record.size, slot, now);
        Some(record)
    }

    /// The next record of a key behind the one that is in flight, if it may be sent.
    pub(super) fn next_of_key(&self, key: &OrderingKey, now: Instant) -> Option<&PendingRecord> {
        self.get(self.keys.get(key)?.blocked.first()?).filter(|record| record.due <= now)
    }

    /// Takes the record that [`Queue::next_of_key`] returned for the same call.
    pub(super) fn take_next_of_key(&mut self, key: &OrderingKey) -> Option<RecordId> {
        let queue = self.keys.get_mut(key)?;
        let id = queue.pop_first(&self.records)?;
        queue.active += 1;
        self.update(id, |record| record.state = State::InFlight);
        Some(id)
    }

    /// Takes records back to be sent again, each at its time. They are in the order in which they were sent, and each goes
    /// before all others of its key.
    pub(super) fn requeue(&mut self, retries: &[(RecordId, Instant)], now: Instant) {
        let mut keys = Vec::new();
        for (id, due) in retries.iter().rev() {
            let Some(record) = self.records.get_mut(*id) else { continue };
            record.due = *due;
            // While it was in flight its key may have moved to another shard.
            assign_shard(&mut self.shards, record);
            let Some(key) = record.key.clone() else {
                self.schedule(*id, End::Front, now);
                continue;
            };
            if let Some(queue) = self.keys.get_mut(&key) {
                queue.block(record, End::Front);
                keys.push(key);
            }
        }
        for key in keys.iter().rev() {
            self.unblock_next(key, now);
        }
    }

    /// The blocked records of a key, in order.
    pub(super) fn blocked(&self, key: &OrderingKey) -> Vec<RecordId> {
        self.keys.get(key).map_or_else(Vec::new, |queue| queue.blocked.ids().collect())
    }

    /// All records of a key that waits, in order of arrival.
    pub(super) fn ids_of(&self, key: &OrderingKey) -> Vec<RecordId> {
        if !self.keys.contains_key(key) {
            return Vec::new();
        }
        let of_key = self.records.iter().filter(|record| record.key.as_ref() == Some(key));
        let mut ids: Vec<RecordId> = of_key.map(|record| record.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Takes the next record whose deadline has come off the list of deadlines. The record itself stays.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<RecordId> {
        pop_due(&mut self.deadlines, now).map(|(_, id)| id)
    }

    /// Waiting records whose caller went away.
    pub(super) fn cancelled(&self) -> Vec<RecordId> {
        let cancelled = self.records.iter().filter(|record| !record.state.is_in_call() && record.responder.is_gone());
        cancelled.map(|record| record.id).collect()
    }

    /// When the next delayed record is due, or a deadline comes.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        [self.deadlines.first(), self.delayed.first()].into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Assigns all records that are not in a call to the shards of a new map. One that was delayed for the limit of
    /// another shard is ready now.
    pub(super) fn reassign_shards(&mut self, now: Instant) {
        let waiting = self.records.iter().filter(|record| !record.state.is_in_call());
        let mut ids: Vec<RecordId> = waiting.map(|record| record.id).collect();
        // In the order of arrival, so that those that become ready keep it.
        ids.sort_unstable();
        for id in ids {
            let Some(record) = self.records.get_mut(id) else { continue };
            let is_ready = record.state == State::Ready;
            if is_ready {
                self.totals.subtract(record);
            }
            let before = record.shard.clone();
            assign_shard(&mut self.shards, record);
            if is_ready {
                self.totals.add(record);
            }
            if record.shard == before || record.attempts.count > 0 {
                continue;
            }
            let due = record.due;
            record.due = due.min(now);
            if record.state == State::Delayed {
                self.delayed.remove(&(due, id));
                self.make_ready(id, End::Back, now);
            }
        }
        self.totals.shrink();
    }

    /// The call of these records was refused; they wait to be sent in smaller calls.
    pub(super) fn mark_split<'a>(&mut self, ids: impl Iterator<Item = &'a RecordId>) {
        ids.for_each(|id| self.update(*id, |record| record.state = State::Split));
    }

    /// Records of a refused call are in a call again.
    pub(super) fn requeue_in_flight<'a>(&mut self, ids: impl Iterator<Item = &'a RecordId>) {
        ids.for_each(|id| self.update(*id, |record| record.state = State::InFlight));
    }

    /// One active record of a key is done. After the last one, the next blocked record of the key may be sent.
    fn unblock_next(&mut self, key: &OrderingKey, now: Instant) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        queue.active = queue.active.saturating_sub(1);
        if queue.active > 0 {
            return;
        }
        let Some(id) = queue.pop_first(&self.records) else {
            self.keys.remove(key);
            return;
        };
        (queue.active, queue.head) = (1, id);
        let is_retry = self.records.get(id).is_some_and(|record| record.attempts.count > 0);
        self.schedule(id, if is_retry { End::Front } else { End::Back }, now);
    }

    fn schedule(&mut self, id: RecordId, end: End, now: Instant) {
        match self.records.get(id).map(|record| record.due) {
            Some(due) if due > now => self.delay(id, due),
            Some(_) => self.make_ready(id, end, now),
            None => {}
        }
    }

    fn delay(&mut self, id: RecordId, due: Instant) {
        self.update(id, |record| record.state = State::Delayed);
        self.delayed.insert((due, id));
    }

    fn make_ready(&mut self, id: RecordId, end: End, now: Instant) {
        let since = match end {
            End::Back => now,
            // The linger of the first record counts, so it must not seem younger than the second.
            End::Front => self.first().map_or(now, |first| first.ready_since),
        };
        let Some(record) = self.records.get_mut(id) else { return };
        (record.state, record.ready_since) = (State::Ready, since);
        record.position = self.ready.push(id, end);
        if self.has_ends {
            let queue = record.key.as_ref().and_then(|key| self.keys.get(key));
            record.is_urgent = record.options.ends_batch || queue.is_some_and(|queue| queue.blocked_ends > 0);
        }
        self.totals.add(record);
    }

    /// A record behind this one of its key ends its batch, so this one does not wait for others.
    fn set_urgent(&mut self, id: RecordId) {
        let Some(record) = self.records.get_mut(id) else { return };
        if record.state == State::Ready && !record.is_urgent {
            self.totals.subtract(record);
            record.is_urgent = true;
            self.totals.add(record);
        }
    }

    fn pop_ready(&mut self) -> Option<RecordId> {
        let id = self.ready.pop_first()?;
        self.totals.subtract(self.records.get(id)?);
        Some(id)
    }

    fn update(&mut self, id: RecordId, change: impl FnOnce(&mut PendingRecord)) {
        if let Some(record) = self.records.get_mut(id) {
            change(record);
        }
    }
}

/// Assigns a record to its shard by the map. Unless it has a slot of that shard, it is queued for a token there, however
/// long it has to wait.
fn assign_shard(shards: &mut Shards, record: &mut PendingRecord) {
    let shard = shards.predict(record.hash);
    if !matches!(record.slot, Slot::Reserved(_)) || shard != record.shard {
        // The slot of the old shard is not refunded: after a split or merge that shard has no bucket, and the refund would
        // go to the bucket of the stream.
        shards.limiter.requeue(shard.as_ref(), record.size);
        record.slot = Slot::Queued;
    }
    record.shard = shard;
}

fn pop_due(timers: &mut BTreeSet<(Instant, RecordId)>, now: Instant) -> Option<(Instant, RecordId)> {
    timers.first().is_some_and(|(at, _)| *at <= now).then(|| timers.pop_first()).flatten()
}

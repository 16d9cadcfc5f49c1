//! Orders the records of one shard for delivery. Pure: the caller passes the time.
//!
//! A lane holds the records that are delivered one after the other: those of one partition key, all of the shard, or a
//! single one, by [`Order`]. A lane is ready, busy (its records are in flight), parked until a moment, or halted. So the
//! records of a lane never overlap and never pass each other, and a lane that waits does not delay the others.

use super::super::mutants::{Mutant, is_broken};
use super::super::settings::{DeliverySettings, Order};
use crate::domain::{BindingEvent, EventOrigin, GiveUpReason, Record, ShardId, Timestamp};
use bytes::Bytes;
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) type LaneId = usize;

/// A record that waits or is in flight.
#[derive(Debug)]
pub(super) struct Unit {
    /// Counts the records of the shard in the order of their positions.
    pub(super) index: u64,
    pub(super) event: BindingEvent,
    /// See [`Record::decompressed`].
    pub(super) decompressed: Option<Bytes>,
    pub(super) queued_at: Instant,
    /// What it takes in memory, in bytes, with its part of a request.
    pub(super) size: usize,
    pub(super) history: History,
}

/// The deliveries of one record so far.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// Deliveries that count for `maxAttempts`.
    pub(super) attempts: u32,
    /// All failed deliveries; pauses grow with them.
    pub(super) failures: u32,
    /// It is sent in batches of at most so many records, to find which record of a batch fails.
    pub(super) max_batch: Option<usize>,
    /// It is in the metric of shaped records: that counts a record once, however often it is sent.
    pub(super) is_counted: bool,
    /// It was sent again at once after its idle connection turned out to be closed.
    pub(super) was_resent: bool,
    pub(super) first_attempt: Option<Timestamp>,
    pub(super) last_attempt: Option<Timestamp>,
    /// When the app first answered with something that is not HTTP.
    pub(super) not_http_since: Option<Instant>,
    pub(super) last_failure: Option<Arc<LastFailure>>,
    /// The part of the record's size that is for `last_failure`, in bytes.
    pub(super) paid: usize,
    /// It is not sent again; it goes to the dead letters.
    pub(super) given_up: Option<GiveUpReason>,
}

/// What is kept of a failed request. The records of the request share it.
#[derive(Debug)]
pub(super) struct LastFailure {
    pub(super) status: Option<u16>,
    /// One line of bounded length, for logs and pages.
    pub(super) text: String,
    /// The beginning of the app's response, only for dead letters.
    pub(super) response: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    Ready,
    Busy,
    Parked(Instant),
    Halted,
}

#[derive(Debug)]
struct Lane {
    /// `None` for a lane of a single record.
    key: Option<Box<str>>,
    queue: VecDeque<Unit>,
    /// The bytes of data in `queue`.
    bytes: usize,
    state: LaneState,
}

impl Lane {
    fn new(key: Option<Box<str>>) -> Self {
        Self { key, queue: VecDeque::new(), bytes: 0, state: LaneState::Ready }
    }
}

#[derive(Debug)]
pub(super) struct Lanes {
    order: Order,
    batch_size: usize,
    batch_bytes: usize,
    batch_window: Duration,
    lanes: Slab<Lane>,
    by_key: HashMap<Box<str>, LaneId>,
    /// Lanes with records that may be sent, by the index of their first record.
    ready: BTreeSet<(u64, LaneId)>,
    parked: BTreeSet<(Instant, LaneId)>,
    halted: usize,
    ready_records: usize,
    ready_bytes: usize,
}

impl Lanes {
    pub(super) fn new(settings: &DeliverySettings) -> Self {
        Self {
            order: settings.order,
            batch_size: settings.batch_size.max(1),
            batch_bytes: settings.batch_bytes,
            batch_window: settings.batch_window,
            lanes: Slab::new(),
            by_key: HashMap::new(),
            ready: BTreeSet::new(),
            parked: BTreeSet::new(),
            halted: 0,
            ready_records: 0,
            ready_bytes: 0,
        }
    }

    /// Lanes that wait for the next delivery of a record that failed.
    pub(super) fn parked(&self) -> usize {
        self.parked.len() + self.halted
    }

    /// Appends a record to its lane.
    pub(super) fn push(&mut self, unit: Unit) {
        let id = self.lane_of(&unit.event.origin.partition_key);
        let (index, bytes) = (unit.index, unit.event.data.len());
        let Some(lane) = self.lanes.get_mut(id) else { return };
        lane.queue.push_back(unit);
        lane.bytes += bytes;
        if lane.state == LaneState::Ready {
            if lane.queue.len() == 1 {
                self.ready.insert((index, id));
            }
            self.ready_records += 1;
            self.ready_bytes += bytes;
        }
    }

    fn lane_of(&mut self, key: &str) -> LaneId {
        let key: &str = match self.order {
            Order::Key if is_broken(Mutant::KeysOverlap) => return self.lanes.insert(Lane::new(None)),
            Order::Key => key,
            Order::Shard => "",
            Order::None => return self.lanes.insert(Lane::new(None)),
        };
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        let id = self.lanes.insert(Lane::new(Some(key.into())));
        self.by_key.insert(key.into(), id);
        id
    }

    /// Makes the lanes ready whose pause is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((until, id)) = self.parked.first().copied().filter(|(until, _)| *until <= now) {
            self.parked.remove(&(until, id));
            self.set_ready(id);
        }
    }

    fn set_ready(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        lane.state = LaneState::Ready;
        if let Some(first) = lane.queue.front() {
            self.ready.insert((first.index, id));
            self.ready_records += lane.queue.len();
            self.ready_bytes += lane.bytes;
        }
    }

    /// When a batch may be taken next without a change from outside; `None` if none is ready or parked. A moment in the past
    /// is now. With `flush` a batch does not wait for more records.
    pub(super) fn next_batch_at(&self, flush: bool) -> Option<Instant> {
        let ready = self.ready.first().and_then(|(_, id)| self.lanes.get(*id)?.queue.front()).map(|first| {
            // What failed before is sent again without a wait for more records.
            let is_full = self.ready_records >= self.batch_size || self.ready_bytes >= self.batch_bytes;
            let is_due = flush || is_full || first.history.failures > 0;
            if is_due { first.queued_at } else { first.queued_at + self.batch_window }
        });
        ready.into_iter().chain(self.parked.first().map(|(until, _)| *until)).min()
    }

    /// Takes the next batch out of the ready lanes, in the order of positions, and makes its lanes busy. Empty if none is
    /// ready; whether it is due is the caller's decision.
    pub(super) fn take_batch(&mut self) -> Vec<(LaneId, Unit)> {
        let mut batch: Vec<(LaneId, Unit)> = Vec::new();
        let (mut limit, mut bytes) = (self.batch_size, 0_usize);
        while batch.len() < limit
            && let Some((index, id)) = self.ready.first().copied()
        {
            let Some(lane) = self.lanes.get_mut(id) else { break };
            let Some(first) = lane.queue.front() else { break };
            let size = first.event.data.len();
            let max_batch = first.history.max_batch;
            if let Some((_, head)) = batch.first() {
                // A record that is suspected to fail is only sent with others that are, so that halving ends.
                if max_batch != head.history.max_batch || bytes + size > self.batch_bytes {
                    break;
                }
            } else if let Some(max_batch) = max_batch {
                limit = limit.min(max_batch);
            }
            self.ready.remove(&(index, id));
            let Some(unit) = lane.queue.pop_front() else { break };
            lane.bytes -= size;
            self.ready_records -= 1;
            self.ready_bytes -= size;
            bytes += size;
            // The next record of the lane may join this batch, so the lane becomes busy only when the batch is complete.
            if let Some(next) = lane.queue.front() {
                self.ready.insert((next.index, id));
            }
            batch.push((id, unit));
        }
        for (id, _) in &batch {
            self.set_busy(*id);
        }
        batch
    }

    fn set_busy(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.state == LaneState::Ready) else { return };
        lane.state = LaneState::Busy;
        if let Some(first) = lane.queue.front() {
            self.ready.remove(&(first.index, id));
            self.ready_records -= lane.queue.len();
            self.ready_bytes -= lane.bytes;
        }
    }

    /// Puts a record of a busy lane back in front of its followers. Several records of a lane must be put back in the
    /// opposite order of their positions.
    pub(super) fn put_back(&mut self, id: LaneId, unit: Unit) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.bytes += unit.event.data.len();
            if is_broken(Mutant::FollowersPass) {
                return lane.queue.push_back(unit);
            }
            lane.queue.push_front(unit);
        }
    }

    /// Ends the delivery of a busy lane. Its next record may be sent at `until`, or at once.
    pub(super) fn release(&mut self, id: LaneId, until: Option<Instant>) {
        let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.state == LaneState::Busy) else { return };
        if lane.queue.is_empty() {
            return self.remove(id);
        }
        match until {
            Some(until) => {
                lane.state = LaneState::Parked(until);
                self.parked.insert((until, id));
            }
            None => self.set_ready(id),
        }
    }

    /// Drops the records behind `last`, and those that wait because a record failed. Returns the bytes that they took.
    pub(super) fn drop_after(&mut self, last: Option<u64>) -> usize {
        let (mut dropped, mut empty) = (0, Vec::new());
        self.parked.clear();
        for (id, lane) in &mut self.lanes {
            let is_waiting = matches!(lane.state, LaneState::Parked(_) | LaneState::Halted);
            while let Some(unit) =
                lane.queue.pop_back_if(|unit| is_waiting || last.is_none_or(|last| unit.index > last))
            {
                let bytes = unit.event.data.len();
                dropped += unit.size;
                lane.bytes -= bytes;
                if lane.state == LaneState::Ready {
                    self.ready_records -= 1;
                    self.ready_bytes -= bytes;
                    if lane.queue.is_empty() {
                        self.ready.remove(&(unit.index, id));
                    }
                }
            }
            if lane.queue.is_empty() && lane.state != LaneState::Busy {
                empty.push(id);
            }
        }
        for id in empty {
            self.remove(id);
        }
        dropped
    }

    fn remove(&mut self, id: LaneId) {
        if let Some(key) = self.lanes.remove(id).key {
            self.by_key.remove(&key);
        }
    }

    /// Whether records may be sent now.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sends nothing of a busy lane any more.
    pub(super) fn halt(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.state == LaneState::Busy) {
            lane.state = LaneState::Halted;
            self.halted += 1;
        }
    }
}

impl Unit {
    /// The binding's event and the bookkeeping of a fetched record, which takes `body_size` more while it is sent.
    pub(super) fn new(index: u64, record: Record, body_size: usize, shard: &ShardId, now: Instant) -> Self {
        let size = record.size() + body_size;
        let origin = EventOrigin {
            shard: shard.clone(),
            position: record.position,
            partition_key: record.partition_key,
            arrival: record.arrival,
            is_damaged_aggregate: record.is_damaged_aggregate,
            part: 0,
        };
        let event = BindingEvent { data: record.data, origin, attempt: 1, not_decompressed: None };
        Self { index, event, decompressed: record.decompressed, queued_at: now, size, history: History::default() }
    }
}

/// A [`Unit`] without its event, and its lane.
#[derive(Debug)]
pub(super) struct UnitState {
    lane: LaneId,
    index: u64,
    decompressed: Option<Bytes>,
    queued_at: Instant,
    size: usize,
    history: History,
}

impl Unit {
    /// Lets the event move into a request.
    pub(super) fn into_parts(self, lane: LaneId) -> (UnitState, BindingEvent) {
        let Self { index, event, decompressed, queued_at, size, history } = self;
        (UnitState { lane, index, decompressed, queued_at, size, history }, event)
    }
}

impl UnitState {
    pub(super) fn with_event(self, event: BindingEvent) -> (LaneId, Unit) {
        let Self { lane, index, decompressed, queued_at, size, history } = self;
        (lane, Unit { index, event, decompressed, queued_at, size, history })
    }
}

#[cfg(test)]
#[path = "tests/lanes.rs"]
mod tests;

//! How records end: each is removed from the queue and answered once.

use super::admission::{Admission, DrainRate};
use super::errors;
use super::queue::Queue;
use super::record::{Arrival, Entry, OrderingKey, PendingRecord, RecordId, Responder, State};
use super::settings::OrderingOnFailure;
use super::types::Answer;
use crate::domain::{BindingError, Outcome};
use crate::telemetry::{OutputMetrics, RecordState};
use lru::LruCache;
use std::num::NonZeroUsize;
use tokio::time::Instant;

/// The queue is searched for cancelled records only when at least one in this many may be cancelled.
const CANCELLED_PART: usize = 4;

/// Answers callers and stops keys after failures.
#[derive(Debug)]
pub(super) struct Completion {
    metrics: OutputMetrics,
    drain_rate: DrainRate,
    on_failure: OrderingOnFailure,
    /// Keys that are stopped, and until when.
    stopped: LruCache<OrderingKey, Instant>,
}

impl Completion {
    /// Remembers at most `max_keys` stopped keys.
    pub(super) fn new(
        metrics: OutputMetrics,
        on_failure: OrderingOnFailure,
        max_keys: NonZeroUsize,
        now: Instant,
    ) -> Self {
        Self { metrics, drain_rate: DrainRate::new(now), on_failure, stopped: LruCache::sparse(max_keys) }
    }

    /// Fails while the key is stopped.
    pub(super) fn check_key(&mut self, key: Option<&OrderingKey>, now: Instant) -> Result<(), BindingError> {
        match key.and_then(|key| self.stopped.get(key)) {
            Some(until) if *until > now => Err(errors::ordering_stopped(*until - now)),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn into_stopped(self) -> LruCache<OrderingKey, Instant> {
        self.stopped
    }

    /// Goes on with the stops of a producer before this one, also for records that were accepted meanwhile.
    pub(super) fn adopt_stopped(&mut self, stopped: LruCache<OrderingKey, Instant>, queue: &mut Queue, now: Instant) {
        if self.on_failure == OrderingOnFailure::Continue {
            return;
        }
        for (key, until) in stopped.into_iter().filter(|(_, until)| *until > now) {
            let mut ids = queue.ids_of(&key);
            ids.reverse();
            // The last first, as the removal of a record allows the next of its key to be sent.
            for id in ids {
                self.refuse(queue, id, errors::ordering_stopped(until - now), now);
            }
            self.stopped.put(key, until);
        }
    }

    /// Answers a record that was not taken into the queue.
    pub(super) fn refuse_arrival(&self, record: Arrival, error: BindingError) {
        let PendingRecord { mut responder, permit, .. } = *record;
        drop(permit);
        responder.answer(Err(error));
        self.metrics.ended(RecordState::Refused, 0);
    }

    /// Removes a record and answers its caller.
    pub(super) fn complete(&mut self, queue: &mut Queue, id: RecordId, answer: Answer, now: Instant) {
        if let Some(record) = queue.remove(id, now) {
            self.answer(record, answer);
        }
    }

    /// A record failed for good. Stops its key, where that is configured.
    pub(super) fn fail(&mut self, queue: &mut Queue, id: RecordId, error: BindingError, now: Instant) {
        let Some(record) = queue.get(id) else { return };
        let error = record.with_context(error);
        // A record that was answered at its deadline stopped its key at that time. Records that arrived since may be its
        // caller's retry, so the key is not stopped a second time.
        let stops_key = !record.responder.is_answered() && (record.leaves_gap() || !record.responder.is_gone());
        let key = record.key.clone().filter(|_| stops_key);
        // Before the record is removed, because the removal allows the next record of the key to be sent.
        self.stop_key(queue, key, now);
        self.complete(queue, id, Err(error), now);
    }

    /// An earlier record of its key failed while this one was in flight. That does not prolong the stop of the key.
    pub(super) fn refuse(&mut self, queue: &mut Queue, id: RecordId, error: BindingError, now: Instant) {
        let Some(error) = queue.get(id).map(|record| record.with_context(error)) else { return };
        self.complete(queue, id, Err(error), now);
    }

    /// The caller went away before the record was sent, or before it was sent again: then its key has a gap.
    pub(super) fn withdraw(&mut self, queue: &mut Queue, id: RecordId, now: Instant) {
        let Some(record) = queue.get(id) else { return };
        let error = errors::closed(record.attempts.outcome);
        // A record that was answered at its deadline stopped its key at that time.
        let key = record.key.clone().filter(|_| record.leaves_gap() && !record.responder.is_answered());
        self.stop_key(queue, key, now);
        self.complete(queue, id, Err(error), now);
    }

    /// Answers the records whose deadline has come. One in a call stays in the queue until the call ends.
    pub(super) fn expire(&mut self, queue: &mut Queue, now: Instant) {
        while let Some(id) = queue.pop_expired(now) {
            let Some(record) = queue.get(id) else { continue };
            if record.state.is_in_call() {
                self.expire_in_call(queue, id, now);
            } else {
                let error = record.deadline_error();
                self.fail(queue, id, error, now);
            }
        }
    }

    /// Removes waiting records whose callers went away, once there are enough of them to be worth the search.
    pub(super) fn reap_cancelled(&mut self, queue: &mut Queue, admission: &Admission, now: Instant) {
        let count = admission.cancelled_count();
        if count == 0 || count.saturating_mul(CANCELLED_PART) < queue.len() {
            return;
        }
        admission.reaped(count);
        for id in queue.cancelled() {
            self.withdraw(queue, id, now);
        }
    }

    /// The part of an entry of a refused call that is sent again. Nothing, if no caller waits for it any more; and never a
    /// record whose caller was answered meanwhile that it was not stored.
    pub(super) fn still_awaited(&mut self, queue: &mut Queue, entry: &Entry, now: Instant) -> Option<Entry> {
        let responder = |id: &RecordId| queue.get(*id).map(|record| &record.responder);
        let is_awaited = entry.ids().iter().filter_map(responder).any(|responder| !responder.is_gone());
        let is_over = |id: &RecordId| !is_awaited || responder(id).is_none_or(Responder::is_answered);
        let (over, left): (Vec<RecordId>, Vec<RecordId>) = entry.ids().iter().partition(|id| is_over(id));
        for id in over {
            self.withdraw(queue, id, now);
        }
        (!left.is_empty()).then(|| Entry::from_ids(left))
    }

    /// Records answered per second, if a window of the measurement has just ended.
    pub(super) fn measure_drain_rate(&mut self, now: Instant) -> Option<usize> {
        self.drain_rate.measure(now)
    }

    fn expire_in_call(&mut self, queue: &mut Queue, id: RecordId, now: Instant) {
        // Without a caller no answer is needed; whether the key is stopped is decided when the call ends.
        let Some(record) = queue.get_mut(id).filter(|record| !record.responder.is_gone()) else { return };
        let error = match record.state {
            State::Split => record.with_context(record.deadline_error()),
            State::InFlight | State::Blocked | State::Delayed | State::Ready => {
                record.with_context(errors::deadline_in_flight()).with_outcome(Outcome::Unknown)
            }
        };
        let is_ambiguous = error.outcome() == Outcome::Unknown;
        let (key, attempts) = (record.key.clone(), record.attempts.count);
        if record.responder.answer(Err(error)) {
            self.metrics.ended(RecordState::Failed, attempts);
            if is_ambiguous {
                self.metrics.ambiguous();
            }
        } else {
            self.metrics.ended(RecordState::Orphaned, attempts);
        }
        self.stop_key(queue, key, now);
    }

    /// Where it is configured, refuses the records behind one that failed, and for a time those that arrive after it.
    fn stop_key(&mut self, queue: &mut Queue, key: Option<OrderingKey>, now: Instant) {
        let (OrderingOnFailure::Stop(window), Some(key)) = (self.on_failure, key) else { return };
        for id in queue.blocked(&key) {
            self.refuse(queue, id, errors::ordering_stopped(window), now);
        }
        self.stopped.put(key, now + window);
    }

    fn answer(&mut self, record: Arrival, answer: Answer) {
        let attempts = record.attempts.count;
        if record.responder.is_answered() {
            return;
        }
        self.drain_rate.record_answer();
        let (state, outcome) = match &answer {
            Ok(_) => (RecordState::Stored, Outcome::NotDone),
            Err(error) if attempts == 0 => (RecordState::Refused, error.outcome()),
            Err(error) => (RecordState::Failed, error.outcome()),
        };
        let PendingRecord { mut responder, permit, .. } = *record;
        // Before the answer, so that the permit is free when the caller sends its next record.
        drop(permit);
        if !responder.answer(answer) {
            let state = if attempts > 0 { RecordState::Orphaned } else { RecordState::Refused };
            return self.metrics.ended(state, attempts);
        }
        self.metrics.ended(state, attempts);
        if outcome == Outcome::Unknown {
            self.metrics.ambiguous();
        }
    }
}

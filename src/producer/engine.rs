//! The state of one producer. Pure, but for the answers it sends and the metrics it counts: `apply` takes an event,
//! `decide` returns what is to be done now.
//!
//! ```text
//!  arrival ──► admitted (rate limit of the shard, order of the key) ──► queue ──► batch ──► call
//!                 │ refused at once                                      ▲                    │ reply
//!                 ▼                                                      │ retry              ▼
//!               caller ◄────────────── completion ◄─────────────────────┴──────────────── responses
//! ```

use super::admission::Admission;
use super::batcher::{self, Batch, BatchLimits};
use super::call_time::CallTime;
use super::completion::Completion;
use super::errors;
use super::queue::Queue;
use super::record::{Arrival, Entry, OrderingKey, PendingRecord};
use super::refused_calls::RefusedCalls;
use super::responses::{InFlight, ReplyHandler, ReplyState, RetryBudgets};
use super::settings::{Ordering, ProducerSettings};
use super::shard_view::ShardView;
use super::shards::Shards;
use super::succession::KeyMemory;
use super::types::{Call, Listing, Ports, Reply};
use crate::domain::{BindingError, Outcome, SequenceNumber};
use crate::resilience::RetryBudget;
use crate::telemetry::OutputMetrics;
use lru::LruCache;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::time::Instant;

/// While fewer calls than this are in flight, records are sent at once.
const FEW_CALLS: usize = 4;
/// For how many keys the last sequence number, or the end of the stop, is remembered.
const MAX_KEYS: NonZeroUsize = match NonZeroUsize::new(100_000) {
    Some(keys) => keys,
    None => NonZeroUsize::MIN,
};
/// How many retries of calls, and of single records, may be made in one burst.
const CALL_BURST: u32 = 100;
const RECORD_BURST: u32 = 5_000;

#[derive(Debug)]
pub(super) enum Event {
    Arrived(Arrival),
    /// A call ended.
    Returned {
        id: u64,
        reply: Reply,
    },
    Listed(Listing),
    /// No more records will arrive: what waits is sent without linger.
    Closing,
    /// The producers before this one have ended, and remembered this.
    Released(Vec<KeyMemory>),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Start that call and report its end by [`Event::Returned`].
    Start(u64, Call),
    /// List the shards and report them by [`Event::Listed`].
    List,
}

#[derive(Debug)]
pub(super) struct Engine {
    settings: ProducerSettings,
    metrics: OutputMetrics,
    admission: Arc<Admission>,
    queue: Queue,
    completion: Completion,
    refused_calls: RefusedCalls,
    in_flight: HashMap<u64, InFlight>,
    next_call: u64,
    budgets: RetryBudgets,
    random: fastrand::Rng,
    /// The last sequence number of each key, where the order is strict.
    last_numbers: LruCache<OrderingKey, SequenceNumber>,
    call_time: CallTime,
    is_closing: bool,
    /// Whether records are accepted but not sent.
    is_held: bool,
}

impl Engine {
    pub(super) fn new(settings: ProducerSettings, ports: &Ports, admission: Arc<Admission>, now: Instant) -> Self {
        let metrics = ports.metrics.clone();
        let shards = Shards::new(&settings, metrics.clone(), ports.directory.is_some(), now);
        Self {
            admission,
            queue: Queue::new(shards, settings.max_shard_bytes()),
            completion: Completion::new(metrics.clone(), settings.ordering_on_failure, MAX_KEYS, now),
            metrics,
            refused_calls: RefusedCalls::new(BatchLimits::new(settings.batching, settings.ordering)),
            in_flight: HashMap::new(),
            next_call: 0,
            budgets: RetryBudgets {
                calls: RetryBudget::full(CALL_BURST, now),
                records: RetryBudget::full(RECORD_BURST, now),
            },
            random: fastrand::Rng::with_seed(settings.seed),
            last_numbers: LruCache::sparse(MAX_KEYS),
            call_time: CallTime::new(settings.batching.max_delay),
            is_closing: false,
            is_held: false,
            settings,
        }
    }

    /// What others may know of the shards.
    pub(super) fn shard_view(&self) -> ShardView {
        self.queue.shards.view()
    }

    pub(super) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Arrived(record) => self.arrived(record, now),
            Event::Returned { id, reply } => {
                if let Some(call) = self.in_flight.remove(&id) {
                    self.returned(call, reply, now);
                }
            }
            Event::Listed(result) => {
                if self.queue.shards.update(result, now) {
                    self.queue.reassign_shards(now);
                }
            }
            Event::Closing => self.is_closing = true,
            Event::Released(memories) => self.release(memories, now),
        }
    }

    /// Adds what is to be done now to `effects`.
    pub(super) fn decide(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.completion.expire(&mut self.queue, now);
        self.completion.reap_cancelled(&mut self.queue, &self.admission, now);
        self.queue.promote_due(now);
        while self.may_start_call() {
            let Some(batch) = self.next_batch(now) else { break };
            self.start_call(batch, now, effects);
        }
        if self.queue.len() > 0 && self.queue.shards.begin_listing(now) {
            effects.push(Effect::List);
        }
        self.queue.shards.report_factors(now);
        if let Some(per_second) = self.completion.measure_drain_rate(now) {
            self.admission.set_drain_rate(per_second);
        }
    }

    /// When to call `decide` again if nothing happens before.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let linger = self.linger_deadline().filter(|_| self.may_start_call());
        let shards = self.queue.shards.wake_at(self.queue.len() > 0);
        [self.queue.wake_at(), linger, shards].into_iter().flatten().min()
    }

    /// Behind others, nothing is sent until [`Event::Released`] if there is an order to keep.
    pub(super) fn set_held(&mut self, has_predecessors: bool) {
        self.is_held = has_predecessors && self.settings.ordering != Ordering::None;
    }

    pub(super) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// What a successor has to know.
    pub(super) fn into_memory(self) -> KeyMemory {
        KeyMemory { last_numbers: self.last_numbers, stopped: self.completion.into_stopped() }
    }

    /// Whether no record waits and no call is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.len() == 0 && self.in_flight.is_empty()
    }

    fn arrived(&mut self, mut record: Arrival, now: Instant) {
        let deadline = record.options.deadline;
        record.key = OrderingKey::from_record(&record.record, self.settings.ordering);
        record.begin_by = self.call_time.begin_by(now, deadline);
        let accept_by = self.call_time.accept_by(now, deadline);
        match self.admit(&mut record, accept_by, now) {
            Ok(()) => self.queue.insert(record, now),
            Err(error) => self.completion.refuse_arrival(record, error),
        }
    }

    fn admit(&mut self, record: &mut PendingRecord, accept_by: Instant, now: Instant) -> Result<(), BindingError> {
        if record.options.deadline <= now {
            return Err(errors::never_sent());
        }
        self.completion.check_key(record.key.as_ref(), now)?;
        self.queue.request_token(record, accept_by, now)
    }

    fn returned(&mut self, call: InFlight, reply: Reply, now: Instant) {
        let sent = call.entries.len();
        let reply = reply.and_then(|results| match results.len() == sent {
            true => Ok(results),
            false => Err(errors::wrong_count(results.len(), sent)),
        });
        let took = now.saturating_duration_since(call.begun);
        self.call_time.observe(took);
        self.metrics.called(call.operation, outcome(&reply), took);
        self.refused_calls.observe(self.metrics.component(), sent, &reply, now);
        let handler = ReplyHandler {
            settings: &self.settings,
            queue: &mut self.queue,
            completion: &mut self.completion,
            refused_calls: &mut self.refused_calls,
            budgets: &mut self.budgets,
            random: &mut self.random,
            last_numbers: &mut self.last_numbers,
            now,
            state: ReplyState::default(),
        };
        handler.handle(call, reply);
    }

    fn release(&mut self, memories: Vec<KeyMemory>, now: Instant) {
        self.is_held = false;
        for KeyMemory { last_numbers, stopped } in memories {
            if self.settings.ordering == Ordering::Strict {
                last_numbers.into_iter().for_each(|(key, number)| drop(self.last_numbers.put(key, number)));
            }
            self.completion.adopt_stopped(stopped, &mut self.queue, now);
        }
    }

    fn may_start_call(&self) -> bool {
        !self.is_held && self.in_flight.len() < self.settings.max_in_flight.max(1)
    }

    fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        while let Some(entries) = self.refused_calls.next(&mut self.queue, &mut self.completion, now) {
            self.queue.requeue_in_flight(entries.iter().flat_map(Entry::ids));
            let batch = batcher::rebuild(&self.queue, entries, self.settings.aggregation);
            if !batch.entries.is_empty() {
                return Some(batch);
            }
        }
        while self.is_batch_due(now) {
            let limits = self.refused_calls.limits(now);
            let batch = batcher::build(&mut self.queue, &mut self.completion, &self.settings, limits, now);
            if !batch.entries.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    /// Group commit: with few calls in flight, records are sent at once; else when a batch is full, a record ends it, or the
    /// linger ends.
    fn is_batch_due(&self, now: Instant) -> bool {
        let Some(linger) = self.linger_deadline() else { return false };
        let (ready, limits) = (self.queue.ready_totals(), self.refused_calls.limits(now));
        self.in_flight.len() < FEW_CALLS
            || self.is_closing
            || ready.records >= limits.records
            || ready.bytes >= limits.bytes
            || ready.full_shards > 0
            || ready.urgent > 0
            || linger <= now
    }

    /// Until when the first ready record may wait for others.
    fn linger_deadline(&self) -> Option<Instant> {
        let first = self.queue.first()?;
        Some((first.ready_since + self.settings.batching.max_delay).min(first.begin_by))
    }

    fn start_call(&mut self, mut batch: Batch, now: Instant, effects: &mut Vec<Effect>) {
        let after = self.number_before(&batch);
        self.count_attempt(&batch, now);
        self.metrics.batched(batch.entries.len(), batch.bytes);
        self.budgets.calls.attempted(now);
        let single = if batch.records.len() == 1 { batch.records.pop() } else { None };
        let call = match single {
            Some(record) => Call::PutRecord(record, after),
            None => {
                self.refused_calls.batch_sent(now);
                Call::PutRecords(batch.records)
            }
        };
        let (id, operation) = (self.next_call, call.operation());
        self.next_call += 1;
        let in_flight = InFlight { entries: batch.entries, bytes: batch.bytes, operation, begun: now };
        self.in_flight.insert(id, in_flight);
        effects.push(Effect::Start(id, call));
    }

    /// The sequence number that the only record of a call must exceed, if any.
    fn number_before(&mut self, batch: &Batch) -> Option<SequenceNumber> {
        let [entry] = &batch.entries[..] else { return None };
        let records = entry.ids().iter().filter_map(|id| self.queue.get(*id));
        let before = |record: &PendingRecord| match (&record.options.after, &record.key) {
            (Some(after), _) => Some(after.clone()),
            (None, Some(key)) => self.last_numbers.get(key).cloned(),
            (None, None) => None,
        };
        records.filter_map(before).max()
    }

    fn count_attempt(&mut self, batch: &Batch, now: Instant) {
        let mut is_retry = false;
        for id in batch.entries.iter().flat_map(Entry::ids) {
            self.budgets.records.attempted(now);
            let Some(record) = self.queue.start_attempt(*id, now) else { continue };
            if record.attempts.count > 1 {
                is_retry = true;
                if record.attempts.outcome == Outcome::Unknown {
                    self.metrics.duplicate_possible();
                }
                continue;
            }
            self.metrics.queue_waited(now.saturating_duration_since(record.arrived));
            // After `due` it waited for other reasons, such as a free call.
            let delayed = record.due.saturating_duration_since(record.arrived);
            if record.is_limited && !delayed.is_zero() {
                self.metrics.limiter_waited(delayed);
            }
        }
        if is_retry {
            self.metrics.retried(1);
        }
    }
}

/// The `outcome` label of the call metrics.
fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Ok(results) if results.iter().all(Result::is_ok) => "ok",
        Ok(_) => "partial",
        Err(error) => error.kind().as_str(),
    }
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;

//! Owner of one producer's state. Pure but for the answers it gives and the metrics it counts: `apply` takes an event
//! and the time, `decide` tells which calls to start.
//!
//! ```text
//!  arrival ──► admitted (bounds of the shard, order of the key) ──► queue ──► batch ──► call
//!                 │ refused at once                                   ▲                  │ entry i answers unit i
//!                 ▼                                                   │                  ▼
//!               caller ◄───────── stored, failed for good ──────── settlement ──► again, after a wait
//! ```
//! Laws: each record is answered exactly once; a record is in at most one call; a batch is never sent again whole after
//! a partial answer; nothing is stored after it was answered `NotDone`.

use super::batch::{Limits, MOST_OF_SHARD};
use super::batch_permission::BatchPermission;
use super::call_time::CallTime;
use super::forming::{Batch, Plan, Users, form, reform};
use super::gate::{Gate, Permit};
use super::handle::{Ports, PutOptions};
use super::pending::{Claim, LaneKey, Packing, Pending, Stage, Trial};
use super::queue::Queue;
use super::refusals;
use super::settings::{OrderingOnFailure, ProducerSettings};
use super::shards::Shards;
use super::throughput::Throughput;
use super::waiter::Waiter;
use crate::domain::{BindingError, NewRecord, Outcome, Receipt, RetrievalError, SequenceNumber, ShardListing};
use crate::resilience::RetryBudget;
use crate::telemetry::{OutputMetrics, RecordState};
use lru::LruCache;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::time::Instant;

/// With fewer calls open a record is sent at once.
const FEW_CALLS: usize = 4;
/// Keys whose last number, or whose stop, is remembered.
const KEYS_KEPT: NonZeroUsize = match NonZeroUsize::new(100_000) {
    Some(keys) => keys,
    None => NonZeroUsize::MIN,
};
/// Repetitions of calls, and of single records, that may come in one burst.
const CALL_BURST: u32 = 100;
const ENTRY_BURST: u32 = 5_000;

/// A record at the door, with all that was found out about it before.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) record: NewRecord,
    pub(super) size: usize,
    pub(super) hash: Option<u128>,
    pub(super) options: PutOptions,
    pub(super) arrived: Instant,
    pub(super) waiter: Waiter,
    pub(super) permit: Permit,
}

/// What a call brought: an answer for each record, or one failure for all.
pub(super) type Reply = Result<Vec<Result<Receipt, BindingError>>, BindingError>;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A record came.
    Arrived(Submission),
    /// A call ended.
    Returned {
        /// The call.
        id: u64,
        /// Its reply.
        reply: Reply,
    },
    /// The shards were listed, or not.
    Listed(Result<ShardListing, RetrievalError>),
    /// No more records will come: send what waits, without waiting for company.
    Closing,
}

/// A call of the service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `PutRecord`
    One(NewRecord, Option<SequenceNumber>),
    /// `PutRecords`
    Many(Vec<NewRecord>),
}

impl Call {
    const fn operation(&self) -> &'static str {
        match self {
            Self::One(..) => "PutRecord",
            Self::Many(_) => "PutRecords",
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Start that call and tell of its end.
    Start(u64, Call),
    /// List the shards and tell of it.
    List,
}

/// A call that is open.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) units: Vec<Users>,
    pub(super) bytes: usize,
    pub(super) operation: &'static str,
    pub(super) begun: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) settings: ProducerSettings,
    pub(super) metrics: OutputMetrics,
    pub(super) gate: Arc<Gate>,
    pub(super) queue: Queue,
    pub(super) shards: Shards,
    pub(super) plan: Plan,
    flights: HashMap<u64, Flight>,
    next_call: u64,
    /// Parts of batches that were refused whole; each goes as a call of its own.
    pub(super) parts: VecDeque<Vec<Users>>,
    /// Records of batches that are not allowed; each is sent by its own call.
    pub(super) singles: VecDeque<Users>,
    pub(super) batch_permission: BatchPermission,
    /// Why batches are not allowed.
    pub(super) batch_refusal: Option<BindingError>,
    pub(super) call_budget: RetryBudget,
    pub(super) entry_budget: RetryBudget,
    pub(super) random: fastrand::Rng,
    /// The last number of each key, where the order is strict.
    pub(super) numbers: LruCache<LaneKey, SequenceNumber>,
    /// Keys that are stopped, and until when.
    pub(super) stopped: LruCache<LaneKey, Instant>,
    pub(super) throughput: Throughput,
    pub(super) call_time: CallTime,
    is_closing: bool,
}

impl Engine {
    /// An engine with nothing to do.
    pub(super) fn new(settings: ProducerSettings, ports: &Ports, gate: Arc<Gate>, now: Instant) -> Self {
        let limits = Limits::of(settings.batching, settings.ordering);
        let can_list = ports.directory.is_some();
        Self {
            metrics: ports.metrics.clone(),
            gate,
            queue: Queue::new(MOST_OF_SHARD),
            shards: Shards::new(&settings, ports.metrics.clone(), can_list, now),
            plan: Plan::of(&settings, limits),
            flights: HashMap::new(),
            next_call: 0,
            parts: VecDeque::new(),
            singles: VecDeque::new(),
            batch_permission: BatchPermission::unknown(),
            batch_refusal: None,
            call_budget: RetryBudget::full(CALL_BURST, now),
            entry_budget: RetryBudget::full(ENTRY_BURST, now),
            random: fastrand::Rng::with_seed(settings.seed),
            numbers: LruCache::sparse(KEYS_KEPT),
            stopped: LruCache::sparse(KEYS_KEPT),
            throughput: Throughput::from(now),
            call_time: CallTime::unknown(settings.batching.max_delay),
            is_closing: false,
            settings,
        }
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Arrived(submission) => self.arrived(submission, now),
            Event::Returned { id, reply } => {
                if let Some(flight) = self.flights.remove(&id) {
                    self.returned(flight, reply, now);
                }
            }
            Event::Listed(result) => {
                if self.shards.listed(result, now) {
                    let shards = &mut self.shards;
                    self.queue.resettle(now, |pending| shards.settle(pending, now));
                }
            }
            Event::Closing => self.is_closing = true,
        }
    }

    /// What is to be done now, whatever happened before.
    pub(super) fn decide(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.expire(now);
        self.sweep(now);
        self.queue.ripen(now);
        while self.flights.len() < self.settings.max_in_flight.max(1) {
            let Some(batch) = self.next_batch(now) else { break };
            self.launch(batch, now, effects);
        }
        if self.queue.book.len() > 0 && self.shards.begin_listing(now) {
            effects.push(Effect::List);
        }
        self.shards.tell(now);
        if let Some(pace) = self.throughput.look(now) {
            self.gate.set_pace(pace);
        }
    }

    /// When to come back if nothing happens before.
    pub(super) fn wake_at(&mut self) -> Option<Instant> {
        let is_open = self.flights.len() < self.settings.max_in_flight.max(1);
        let company = self.company_until().filter(|_| is_open);
        let shards = self.shards.wake_at(self.queue.book.len());
        [self.queue.wake_at(), company, shards].into_iter().flatten().min()
    }

    /// Whether nothing waits and no call is open.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.book.len() == 0 && self.flights.is_empty()
    }

    fn arrived(&mut self, submission: Submission, now: Instant) {
        let shard = self.shards.predict(submission.hash);
        let Submission { record, size, hash, options, arrived, mut waiter, permit } = submission;
        let lane = LaneKey::of(&record, self.settings.ordering);
        let promise_by = self.call_time.promise_by(now, options.deadline);
        let admitted = self.admitted(lane.as_ref(), options.deadline, now).and_then(|()| {
            let turn = self.shards.join(shard.as_ref(), size, now, promise_by);
            turn.map_err(|wait| refusals::no_room(shard.as_ref(), wait))
        });
        let turn = match admitted {
            Ok(turn) => turn,
            Err(refusal) => {
                drop(permit);
                waiter.answer(Err(refusal));
                return self.metrics.ended(RecordState::Refused, 0);
            }
        };
        let pending = Pending {
            record,
            size,
            hash,
            shard,
            lane,
            after: options.after,
            fail_if_throttled: options.fail_if_throttled || self.settings.rate_limit.fail_if_throttled,
            packing: Packing::Free,
            arrived,
            deadline: options.deadline,
            begin_by: self.call_time.begin_by(now, options.deadline),
            due: turn.unwrap_or(now),
            is_limited: turn.is_some(),
            claim: if turn.is_some() { Claim::InLine } else { Claim::None },
            trial: Trial { attempts: 0, parted: 0, first: None, outcome: Outcome::NotDone, last: None },
            stage: Stage::Behind,
            waiter,
            permit,
        };
        self.queue.admit(pending, now);
    }

    fn admitted(&mut self, lane: Option<&LaneKey>, deadline: Instant, now: Instant) -> Result<(), BindingError> {
        if deadline <= now {
            return Err(refusals::never_sent());
        }
        match (self.settings.ordering_on_failure, lane) {
            (OrderingOnFailure::Continue, _) | (OrderingOnFailure::Stop(_), None) => Ok(()),
            (OrderingOnFailure::Stop(_), Some(lane)) => match self.stopped.get(lane) {
                Some(until) if *until > now => Err(refusals::stopped(*until - now)),
                Some(_) | None => Ok(()),
            },
        }
    }

    fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        while let Some(units) = self.next_part(now) {
            let units: Vec<Users> = units.iter().filter_map(|unit| self.still_awaited(unit, now)).collect();
            self.queue.refly(units.iter().flat_map(Users::tickets));
            let batch = reform(&self.queue.book, units, self.settings.aggregation);
            if !batch.units.is_empty() {
                return Some(batch);
            }
        }
        while self.is_time(now) {
            self.skip_gone(now);
            let plan = self.plan_at(now);
            let mut batch = form(&mut self.queue, &mut self.shards, &plan, now);
            for pending in batch.withdrawn.drain(..) {
                let error = refusals::closed(pending.trial.outcome);
                self.conclude(pending, Err(error));
            }
            for (ticket, wait) in batch.late.drain(..) {
                let Some(pending) = self.queue.book.get(ticket) else { continue };
                // A failure of the service says more than the limit that keeps the record from being tried again.
                let last = pending.trial.last.clone();
                let error = last.unwrap_or_else(|| refusals::no_room(pending.shard.as_ref(), wait));
                self.fail(ticket, error, now);
            }
            if !batch.units.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    /// The plan, without batches where they are not allowed.
    fn plan_at(&self, now: Instant) -> Plan {
        if self.batch_permission.may_batch(now) { self.plan } else { self.plan.of_single_records() }
    }

    /// Group commit: with few calls open nobody waits, else until a batch is worth a call.
    fn is_time(&mut self, now: Instant) -> bool {
        let Some(until) = self.company_until() else { return false };
        let (tally, limits) = (self.queue.tally(), self.plan_at(now).limits);
        self.flights.len() < FEW_CALLS
            || self.is_closing
            || tally.records >= limits.records
            || tally.bytes >= limits.bytes
            || tally.full_shards > 0
            || until <= now
    }

    /// How long the first record may wait for others: for the delay that is set, if it has the time.
    fn company_until(&mut self) -> Option<Instant> {
        let since = self.queue.first_since()?;
        let (_, first) = self.queue.first()?;
        Some((since + self.settings.batching.max_delay).min(first.begin_by))
    }

    fn launch(&mut self, mut batch: Batch, now: Instant, effects: &mut Vec<Effect>) {
        let after = self.number_before(&batch);
        self.note_attempt(&batch, now);
        let call =
            if batch.records.len() == 1 { batch.records.pop().map(|record| Call::One(record, after)) } else { None };
        let call = call.unwrap_or(Call::Many(batch.records));
        self.metrics.batched(batch.units.len(), batch.bytes);
        self.call_budget.attempted(now);
        match &call {
            Call::One(..) => {}
            Call::Many(_) => self.batch_permission.batch_begun(now),
        }
        let id = self.next_call;
        self.next_call += 1;
        let operation = call.operation();
        self.flights.insert(id, Flight { units: batch.units, bytes: batch.bytes, operation, begun: now });
        effects.push(Effect::Start(id, call));
    }

    /// The number that a lone record's own must exceed, if any.
    fn number_before(&mut self, batch: &Batch) -> Option<SequenceNumber> {
        let [unit] = &batch.units[..] else { return None };
        let (book, numbers) = (&self.queue.book, &mut self.numbers);
        let users = unit.tickets().iter().filter_map(|ticket| book.get(*ticket));
        let before = |user: &Pending| match (&user.after, &user.lane) {
            (Some(after), _) => Some(after.clone()),
            (None, Some(lane)) => numbers.get(lane).cloned(),
            (None, None) => None,
        };
        users.filter_map(before).max()
    }

    fn note_attempt(&mut self, batch: &Batch, now: Instant) {
        let mut is_repeated = false;
        for ticket in batch.units.iter().flat_map(Users::tickets) {
            let Some(pending) = self.queue.book.get_mut(*ticket) else { continue };
            pending.trial.attempts += 1;
            let claim = std::mem::replace(&mut pending.claim, Claim::None);
            self.shards.sent(pending.shard.as_ref(), pending.size, claim, now);
            pending.waiter.note(Outcome::Unknown);
            self.entry_budget.attempted(now);
            if pending.trial.first.is_some() {
                is_repeated = true;
                if pending.trial.outcome == Outcome::Unknown {
                    self.metrics.duplicate_possible();
                }
                continue;
            }
            pending.trial.first = Some(now);
            self.metrics.queue_waited(now.saturating_duration_since(pending.arrived));
            // It was held until then, and what it waited after that was not for the limit.
            let held = pending.due.saturating_duration_since(pending.arrived);
            if pending.is_limited && !held.is_zero() {
                self.metrics.limiter_waited(held);
            }
        }
        if is_repeated {
            self.metrics.retried(1);
        }
    }
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;

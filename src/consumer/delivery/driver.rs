//! Sends the records of one shard to the app, and those that are given up to the dead letters. It owns the requests in
//! flight; [`Lanes`] decides what is sent next, `attempts` what follows from a failure.

use super::super::budget::ShardBudget;
use super::super::fence::Fence;
use super::super::settings::{DeliverySettings, OnPoison, Partial, WallClock};
use super::attempts::{self, Failure, NextStep};
use super::failure_log::FailureLog;
use super::gate::{AppGate, AppPermit};
use super::lanes::{LaneId, Lanes, Unit};
use crate::domain::{
    Accepted, BindingError, BindingEvent, ComponentName, DeadLetter, DeadLetterStore, DeliveryError, EventBatch,
    EventHandler, GiveUpReason, LeaseCounter, Record, ShardId, cause_line,
};
use crate::telemetry::InputMetrics;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// Where the records of a shard go.
#[derive(Debug, Clone)]
pub(in super::super) struct Destination {
    pub(in super::super) handler: Arc<dyn EventHandler>,
    pub(in super::super) dead_letters: Option<Arc<dyn DeadLetterStore>>,
    pub(in super::super) binding: ComponentName,
    pub(in super::super) stream: Arc<str>,
    pub(in super::super) shard: ShardId,
    pub(in super::super) epoch: LeaseCounter,
}

/// What bounds the delivery of a shard.
#[derive(Debug)]
pub(in super::super) struct Bounds {
    pub(in super::super) settings: Arc<DeliverySettings>,
    pub(in super::super) clock: WallClock,
    pub(in super::super) budget: ShardBudget,
    pub(in super::super) gate: Arc<AppGate>,
    /// Requests that all shards of the input may have in flight.
    pub(in super::super) input_slots: Arc<Semaphore>,
    /// No request begins at this moment or later.
    pub(in super::super) fence: Fence,
    pub(in super::super) seed: u64,
}

/// What happened to records.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Delivered {
    /// These records, by their index, were accepted or stored as dead letters.
    Done(Vec<u64>),
    /// After [`Delivery::drain`]: nothing is in flight any more.
    Drained,
}

pub(in super::super) struct Delivery {
    to: Destination,
    bounds: Bounds,
    metrics: InputMetrics,
    lanes: Lanes,
    calls: FuturesUnordered<BoxFuture<'static, Call>>,
    permit: Permit,
    mode: Mode,
    /// A batch does not wait for more records, because none will be fetched before it is delivered.
    flush: bool,
    lag: Option<Duration>,
    random: fastrand::Rng,
    log: FailureLog,
}

/// A call that has ended.
enum Call {
    Request {
        batch: Vec<(LaneId, Unit)>,
        result: Result<Accepted, DeliveryError>,
    },
    /// Of a record that was given up: stored, or dropped.
    DeadLetter {
        lane: LaneId,
        unit: Box<Unit>,
        result: Result<(), BindingError>,
    },
}

/// The permit for the next request. It is requested only when a batch is due.
enum Permit {
    None,
    Waiting(BoxFuture<'static, Option<AppPermit>>),
    Held(AppPermit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    /// A record was given up, and `onPoison` is `halt-shard`.
    Halted,
    Draining,
    Drained,
}

impl Delivery {
    pub(in super::super) fn new(to: Destination, bounds: Bounds, metrics: InputMetrics) -> Self {
        Self {
            lanes: Lanes::new(&bounds.settings),
            random: fastrand::Rng::with_seed(bounds.seed),
            log: FailureLog::default(),
            calls: FuturesUnordered::new(),
            permit: Permit::None,
            mode: Mode::Running,
            flush: false,
            lag: None,
            to,
            bounds,
            metrics,
        }
    }

    /// Appends records; `first_index` is the index of the first one.
    pub(in super::super) fn push(&mut self, first_index: u64, records: Vec<Record>, lag: Option<Duration>) {
        let now = Instant::now();
        self.lag = lag;
        for (index, record) in (first_index..).zip(records) {
            self.lanes.push(Unit::new(index, record, &self.to.shard, now));
        }
    }

    pub(in super::super) fn budget(&mut self) -> &mut ShardBudget {
        &mut self.bounds.budget
    }

    /// Whether no more records will be fetched before some are delivered.
    pub(in super::super) const fn set_flush(&mut self, flush: bool) {
        self.flush = flush;
    }

    /// Partition keys (or the shard, or records, by the order) that wait because a record failed.
    pub(in super::super) fn parked(&self) -> usize {
        self.lanes.parked()
    }

    /// Requests in flight.
    pub(in super::super) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Begins nothing more; only what is in flight is waited for.
    pub(in super::super) fn drain(&mut self) {
        self.permit = Permit::None;
        if self.mode != Mode::Drained {
            self.mode = Mode::Draining;
        }
    }

    /// Drops everything at once. The app may have received what was in flight.
    pub(in super::super) fn abort(&mut self) {
        self.permit = Permit::None;
        self.calls.clear();
        self.mode = Mode::Drained;
    }

    /// Waits until records are done or a drain has ended. Cancel-safe: calls continue when this is polled again.
    pub(in super::super) async fn next(&mut self) -> Delivered {
        loop {
            if self.mode == Mode::Draining && self.calls.is_empty() {
                self.mode = Mode::Drained;
                return Delivered::Drained;
            }
            let now = Instant::now();
            let next_batch_at = self.next_batch_at(now);
            if next_batch_at.is_some_and(|at| at <= now) {
                if self.begin_batch() {
                    continue;
                }
            } else if matches!(self.permit, Permit::Held(_)) {
                // Others may use it.
                self.permit = Permit::None;
            }
            let is_waiting = matches!(self.permit, Permit::Waiting(_));
            let permit = match &mut self.permit {
                Permit::Waiting(permit) => Some(permit),
                Permit::None | Permit::Held(_) => None,
            };
            let timer = next_batch_at.filter(|_| !is_waiting);
            // Biased: results come before new requests.
            tokio::select! {
                biased;
                Some(call) = self.calls.next(), if !self.calls.is_empty() => {
                    let done = self.ended(call);
                    if !done.is_empty() {
                        return Delivered::Done(done);
                    }
                }
                Some(permit) = OptionFuture::from(permit) => {
                    self.permit = permit.map_or(Permit::None, Permit::Held);
                }
                Some(()) = OptionFuture::from(timer.map(sleep_until)) => {}
                else => std::future::pending::<()>().await,
            }
        }
    }

    /// When the next batch may be sent; `None` if that needs a change first.
    fn next_batch_at(&mut self, now: Instant) -> Option<Instant> {
        let may_begin = self.mode == Mode::Running
            && self.calls.len() < self.bounds.settings.concurrency_per_shard.max(1)
            // At the fence the lease may be lost, and the shard consumer is about to end.
            && now < self.bounds.fence.get();
        if !may_begin {
            return None;
        }
        self.lanes.wake(now);
        self.lanes.next_batch_at(self.flush)
    }

    /// Sends the next batch if there is a permit for it; false if that must be waited for.
    fn begin_batch(&mut self) -> bool {
        let permit = match std::mem::replace(&mut self.permit, Permit::None) {
            Permit::Held(permit) => Some(permit),
            Permit::None => self.bounds.gate.try_acquire(&self.bounds.input_slots),
            waiting @ Permit::Waiting(_) => {
                self.permit = waiting;
                return false;
            }
        };
        let Some(permit) = permit else {
            let (gate, slots) = (Arc::clone(&self.bounds.gate), Arc::clone(&self.bounds.input_slots));
            self.permit = Permit::Waiting(Box::pin(gate.acquire(slots)));
            return true;
        };
        let batch = self.lanes.take_batch();
        let batch = self.give_up_in(batch);
        if batch.is_empty() {
            self.permit = Permit::Held(permit);
            return true;
        }
        self.send(batch, permit);
        true
    }

    fn send(&mut self, mut batch: Vec<(LaneId, Unit)>, permit: AppPermit) {
        let now = self.bounds.clock.now();
        for (_, unit) in &mut batch {
            unit.history.first_attempt.get_or_insert(now);
            unit.history.last_attempt = Some(now);
        }
        let handler = Arc::clone(&self.to.handler);
        let mut request = EventBatch {
            binding: self.to.binding.clone(),
            stream: Arc::clone(&self.to.stream),
            epoch: self.to.epoch,
            lag: self.lag,
            events: Vec::with_capacity(batch.len()),
        };
        self.calls.push(Box::pin(async move {
            // The events move into the request and back, so that nothing is copied.
            let (states, events): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|(lane, unit)| unit.into_parts(lane)).unzip();
            request.events = events;
            let result = handler.handle(&request).await;
            permit.finish(&result);
            let batch = states.into_iter().zip(request.events).map(|(state, event)| state.with_event(event)).collect();
            Call::Request { batch, result }
        }));
    }

    /// Takes the records out of a batch that are not sent (again), and begins to store them as dead letters. Their followers
    /// in the batch go back.
    fn give_up_in(&mut self, batch: Vec<(LaneId, Unit)>) -> Vec<(LaneId, Unit)> {
        let now = self.bounds.clock.now();
        let max_age = self.bounds.settings.max_record_age;
        let reason = |unit: &Unit| {
            let age = unit.event.origin.arrival.map(|arrival| now.as_millis().saturating_sub(arrival.as_millis()));
            let age = age.and_then(|age| u64::try_from(age).ok()).map(Duration::from_millis);
            let is_too_old = age.zip(max_age).is_some_and(|(age, max)| age > max);
            unit.history.given_up.or_else(|| is_too_old.then_some(GiveUpReason::Age))
        };
        if batch.iter().all(|(_, unit)| reason(unit).is_none()) {
            return batch;
        }
        let (mut sent, mut back, mut letters) = (Vec::new(), Vec::new(), Vec::<(LaneId, Unit)>::new());
        for (lane, mut unit) in batch {
            let is_behind = letters.iter().chain(&back).any(|(behind, _)| *behind == lane);
            match reason(&unit) {
                _ if is_behind => back.push((lane, unit)),
                // A lane sends what is before the record first.
                Some(_) if sent.iter().any(|(before, _)| *before == lane) => back.push((lane, unit)),
                Some(reason) => {
                    unit.history.given_up = Some(reason);
                    letters.push((lane, unit));
                }
                None => sent.push((lane, unit)),
            }
        }
        back.into_iter().rev().for_each(|(lane, unit)| self.lanes.put_back(lane, unit));
        for (lane, unit) in letters {
            self.give_up(lane, unit);
        }
        sent
    }

    /// Stores a record of a busy lane as a dead letter, or does what `onPoison` says.
    fn give_up(&mut self, lane: LaneId, unit: Unit) {
        let (Some(store), Some(reason)) = (self.to.dead_letters.clone(), unit.history.given_up) else {
            return self.give_up_without_destination(lane, unit);
        };
        let letter = DeadLetter {
            binding: self.to.binding.clone(),
            stream: Arc::clone(&self.to.stream),
            epoch: self.to.epoch,
            event: BindingEvent { attempt: unit.history.attempts, ..unit.event.clone() },
            reason,
            first_attempt: unit.history.first_attempt,
            last_attempt: unit.history.last_attempt,
            status: unit.history.status,
            error: unit.history.error.clone(),
        };
        self.calls.push(Box::pin(async move {
            let result = store.store(&letter).await;
            Call::DeadLetter { lane, unit: Box::new(unit), result }
        }));
    }

    fn give_up_without_destination(&mut self, lane: LaneId, unit: Unit) {
        let (shard, position) = (&self.to.shard, &unit.event.origin.position);
        let (attempts, error) = (unit.history.attempts, unit.history.error.as_deref().unwrap_or_default());
        let remedy = "set deadLetterBinding or deadLetterFolder, or repair the app and restart";
        match self.bounds.settings.on_poison {
            OnPoison::HaltKey => {
                tracing::error!(%shard, %position, attempts, %error, remedy, "key halted: its record was given up");
                self.lanes.put_back(lane, unit);
                self.lanes.halt(lane);
            }
            OnPoison::HaltShard => {
                tracing::error!(%shard, %position, attempts, %error, remedy, "shard halted: a record was given up");
                self.lanes.put_back(lane, unit);
                self.lanes.halt(lane);
                self.mode = if self.mode == Mode::Running { Mode::Halted } else { self.mode };
            }
            OnPoison::Drop => {
                tracing::error!(%shard, %position, attempts, %error, "record dropped, as onPoison says");
                self.metrics.dropped();
                self.calls.push(Box::pin(std::future::ready(Call::DeadLetter {
                    lane,
                    unit: Box::new(unit),
                    result: Ok(()),
                })));
            }
        }
    }

    /// Applies the end of a call, and returns the records that are done.
    fn ended(&mut self, call: Call) -> Vec<u64> {
        match call {
            Call::Request { batch, result: Ok(Accepted::All) } => self.accepted(batch),
            Call::Request { batch, result: Ok(Accepted::Except(failed)) } => self.partly_accepted(batch, &failed),
            Call::Request { batch, result: Err(error) } => {
                self.failed(batch, &error);
                Vec::new()
            }
            Call::DeadLetter { lane, unit, result: Ok(()) } => {
                if self.to.dead_letters.is_some() {
                    self.metrics.dead_lettered();
                }
                self.bounds.budget.release(unit.size);
                self.lanes.release(lane, None);
                vec![unit.index]
            }
            Call::DeadLetter { lane, mut unit, result: Err(error) } => {
                let pause = self.bounds.settings.retry.bound(unit.history.failures).mul_f64(self.random.f64());
                unit.history.failures = unit.history.failures.saturating_add(1);
                self.log.dead_letter_failed(&self.to.shard, &unit, &error);
                self.lanes.put_back(lane, *unit);
                self.lanes.release(lane, Some(Instant::now() + pause.max(Duration::from_millis(1))));
                Vec::new()
            }
        }
    }

    fn accepted(&mut self, batch: Vec<(LaneId, Unit)>) -> Vec<u64> {
        let done = batch.iter().map(|(_, unit)| unit.index).collect();
        for (lane, unit) in batch {
            self.metrics.delivered();
            self.bounds.budget.release(unit.size);
            // The first call of a lane releases it, further ones change nothing.
            self.lanes.release(lane, None);
        }
        done
    }

    fn partly_accepted(&mut self, batch: Vec<(LaneId, Unit)>, failed: &[usize]) -> Vec<u64> {
        let lowest = failed.iter().min().copied().unwrap_or(0);
        let error = DeliveryError::InvalidReply {
            target: "the app".to_owned(),
            problem: "it reported the record as failed".to_owned(),
        };
        let (mut accepted, mut reported, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for (index, unit) in batch.into_iter().enumerate() {
            match self.bounds.settings.partial {
                _ if index == lowest => reported.push(unit),
                Partial::Lowest if index > lowest => after.push(unit),
                Partial::Exact if failed.contains(&index) => reported.push(unit),
                Partial::Lowest | Partial::Exact => accepted.push(unit),
            }
        }
        // What is put back must be in front of the lane in order, and the pause of the failed record holds for its lane.
        let failed_lanes: Vec<LaneId> = reported.iter().map(|(lane, _)| *lane).collect();
        let mut free = Vec::new();
        for (lane, unit) in after.into_iter().rev() {
            self.lanes.put_back(lane, unit);
            if !failed_lanes.contains(&lane) {
                free.push(lane);
            }
        }
        self.failed_as(reported, &error, Failure::Counted);
        free.into_iter().for_each(|lane| self.lanes.release(lane, None));
        self.accepted(accepted)
    }

    fn failed(&mut self, batch: Vec<(LaneId, Unit)>, error: &DeliveryError) {
        let Some((_, first)) = batch.first() else { return };
        let failure = attempts::classify(error, batch.len(), &first.history, &self.bounds.settings);
        self.failed_as(batch, error, failure);
    }

    /// Puts the records of a failed request back, or gives them up. Each lane waits for the longest pause of its records.
    fn failed_as(&mut self, batch: Vec<(LaneId, Unit)>, error: &DeliveryError, failure: Failure) {
        let (records, random, now) = (batch.len(), self.random.f64(), Instant::now());
        let text = cause_line(error);
        let mut lanes: Vec<(LaneId, Duration)> = Vec::new();
        for (lane, mut unit) in batch.into_iter().rev() {
            self.metrics.retried();
            unit.event.attempt = unit.event.attempt.saturating_add(1);
            unit.history.status = error.status();
            unit.history.error = Some(text.clone());
            let settings = &self.bounds.settings;
            let step = attempts::record_failure(&mut unit.history, failure, error, (records, random), settings);
            let pause = match step {
                NextStep::Retry(pause) => pause,
                // It is taken out of the lane again at once, but not sent.
                NextStep::GiveUp(reason) => {
                    unit.history.given_up = Some(reason);
                    Duration::ZERO
                }
            };
            self.log.delivery_failed(&self.to.shard, &unit, pause, &text);
            self.lanes.put_back(lane, unit);
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, longest)) => *longest = pause.max(*longest),
                None => lanes.push((lane, pause)),
            }
        }
        for (lane, pause) in lanes {
            self.lanes.release(lane, (!pause.is_zero()).then(|| now + pause));
        }
    }
}

#[cfg(test)]
#[path = "tests/driver.rs"]
mod tests;

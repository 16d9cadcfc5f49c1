//! Sends the records of one shard to the app, and those that are given up to the dead letters. It owns the requests in
//! flight; [`Lanes`] decides what is sent next, `attempts` what follows from a failure.

use super::super::budget::ShardBudget;
use super::super::fence::Fence;
use super::super::settings::{DeliverySettings, RecordShaping, WallClock};
use super::super::status::{DeliveryCounts, DeliveryStatus};
use super::admission::{AppAdmission, AppPermit};
use super::failure_log::FailureLog;
use super::lanes::{LaneId, Lanes, Unit};
use super::request::{Request, RequestEnd};
use crate::domain::{BindingError, ComponentName, DeadLetterStore, EventHandler, LeaseCounter, Record, ShardId};
use crate::telemetry::InputMetrics;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Where the records of a shard go.
#[derive(Debug, Clone)]
pub(in super::super) struct Destination {
    pub(in super::super) handler: Arc<dyn EventHandler>,
    pub(in super::super) shaping: RecordShaping,
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
    pub(in super::super) admission: Arc<AppAdmission>,
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
    pub(super) to: Destination,
    pub(super) bounds: Bounds,
    pub(super) metrics: Arc<InputMetrics>,
    pub(super) lanes: Lanes,
    pub(super) calls: FuturesUnordered<BoxFuture<'static, Call>>,
    permit: Permit,
    pub(super) mode: Mode,
    /// A batch does not wait for more records, because none will be fetched before it is delivered.
    flush: bool,
    /// The highest index of a record that was sent.
    pub(super) last_begun: Option<u64>,
    /// Of a drain.
    begin_until: Option<Instant>,
    lag: Option<Duration>,
    /// The bytes of the records of the last fetch, and what they take in memory with their requests.
    last_sizes: (usize, usize),
    pub(super) random: fastrand::Rng,
    pub(super) log: FailureLog,
    status: Option<DeliveryStatus>,
}

/// A call that has ended.
pub(super) enum Call {
    Request(Box<RequestEnd>),
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
pub(super) enum Mode {
    Running,
    /// A record was given up, and `onPoison` is `halt-shard`.
    Halted,
    Draining,
    DrainingHalted,
    Drained,
}

impl Delivery {
    pub(in super::super) fn new(to: Destination, bounds: Bounds, metrics: InputMetrics) -> Self {
        Self {
            lanes: Lanes::new(&bounds.settings),
            random: fastrand::Rng::with_seed(bounds.seed),
            log: FailureLog::default(),
            status: None,
            calls: FuturesUnordered::new(),
            permit: Permit::None,
            mode: Mode::Running,
            flush: false,
            last_begun: None,
            begin_until: None,
            lag: None,
            last_sizes: (1, 1),
            to,
            bounds,
            metrics: Arc::new(metrics),
        }
    }

    /// Appends records; `first_index` is the index of the first one, `reserved` the memory that was reserved for them.
    pub(in super::super) fn push(
        &mut self,
        first_index: u64,
        records: Vec<Record>,
        lag: Option<Duration>,
        reserved: Option<OwnedSemaphorePermit>,
    ) {
        let now = Instant::now();
        self.lag = lag;
        let (mut fetched, mut held) = (0, 0);
        for (index, record) in (first_index..).zip(records) {
            fetched += record.size();
            let body_size = self.to.handler.body_size(&record);
            let unit = Unit::new(index, record, body_size, &self.to.shard, now);
            held += unit.size;
            self.lanes.push(unit);
        }
        if fetched > 0 {
            self.last_sizes = (fetched, held);
        }
        self.bounds.budget.keep(reserved, held);
    }

    /// How many bytes of records to fetch into so much memory, if their requests take as much as those of the last ones.
    pub(in super::super) const fn fetchable(&self, memory: usize) -> usize {
        let (fetched, held) = self.last_sizes;
        memory.saturating_mul(fetched) / held
    }

    pub(in super::super) fn budget(&mut self) -> &mut ShardBudget {
        &mut self.bounds.budget
    }

    /// Whether no more records will be fetched before some are delivered.
    pub(in super::super) const fn set_flush(&mut self, flush: bool) {
        self.flush = flush;
    }

    /// Where the counts and errors of this shard are shown.
    pub(in super::super) fn report_to(&mut self, status: DeliveryStatus) {
        self.status = Some(status);
    }

    /// Shows the counts as they are now.
    pub(in super::super) fn report(&self) {
        if let Some(status) = &self.status {
            status.set(DeliveryCounts {
                parked: self.lanes.parked(),
                in_flight: self.calls.len(),
                buffered_bytes: self.bounds.budget.held(),
                is_halted: matches!(self.mode, Mode::Halted | Mode::DrainingHalted),
            });
        }
    }

    pub(super) fn report_failure(&self, error: &str) {
        if let Some(status) = &self.status {
            status.failed(error, Instant::now());
        }
    }

    /// Begins only records that lie before others which the app may have accepted already, so that progress has no holes
    /// and nothing is repeated. None of them begins at `begin_until` or later, and records that failed are not waited for.
    pub(in super::super) fn drain(&mut self, begin_until: Instant) {
        if matches!(self.mode, Mode::Running | Mode::Halted) {
            self.mode = if self.mode == Mode::Running { Mode::Draining } else { Mode::DrainingHalted };
            let dropped = self.lanes.drop_after(self.last_begun);
            self.bounds.budget.release(dropped);
            self.begin_until = Some(begin_until);
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
            if self.is_drained() {
                self.mode = Mode::Drained;
                self.permit = Permit::None;
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
            // A drain ends then, even if no permit came.
            let drain_at = self.begin_until.filter(|until| self.mode == Mode::Draining && *until > now);
            let timer = timer.into_iter().chain(drain_at).min();
            // Biased: results come before new requests.
            tokio::select! {
                biased;
                Some(call) = self.calls.next(), if !self.calls.is_empty() => {
                    let done = self.ended(call);
                    self.report();
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

    fn is_drained(&self) -> bool {
        let has_more = match self.mode {
            Mode::Draining => self.lanes.has_ready() && self.begin_until.is_none_or(|until| Instant::now() < until),
            Mode::DrainingHalted => false,
            Mode::Running | Mode::Halted | Mode::Drained => return false,
        };
        self.calls.is_empty() && !has_more
    }

    /// When the next batch may be sent; `None` if that needs a change first.
    fn next_batch_at(&mut self, now: Instant) -> Option<Instant> {
        let may_begin = matches!(self.mode, Mode::Running | Mode::Draining)
            && self.calls.len() < self.bounds.settings.concurrency_per_shard.max(1)
            // At the fence the lease may be lost, and the shard consumer is about to end.
            && now < self.bounds.fence.get()
            && self.begin_until.is_none_or(|until| now < until);
        if !may_begin {
            return None;
        }
        if self.mode == Mode::Draining {
            return self.lanes.has_ready().then_some(now);
        }
        self.lanes.wake(now);
        self.lanes.next_batch_at(self.flush)
    }

    /// Sends the next batch if there is a permit for it; false if that must be waited for.
    fn begin_batch(&mut self) -> bool {
        let permit = match std::mem::replace(&mut self.permit, Permit::None) {
            Permit::Held(permit) => Some(permit),
            Permit::None => self.bounds.admission.try_acquire(&self.bounds.input_slots),
            waiting @ Permit::Waiting(_) => {
                self.permit = waiting;
                return false;
            }
        };
        let Some(permit) = permit else {
            let (admission, slots) = (Arc::clone(&self.bounds.admission), Arc::clone(&self.bounds.input_slots));
            self.permit = Permit::Waiting(Box::pin(admission.acquire(slots)));
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

    fn send(&mut self, batch: Vec<(LaneId, Unit)>, permit: AppPermit) {
        self.last_begun = batch.iter().map(|(_, unit)| unit.index).max().max(self.last_begun);
        let request = Request {
            handler: Arc::clone(&self.to.handler),
            shaping: self.to.shaping.clone(),
            binding: self.to.binding.clone(),
            stream: Arc::clone(&self.to.stream),
            epoch: self.to.epoch,
            lag: self.lag,
            max_events: self.bounds.settings.batch_size.max(1),
            max_bytes: self.bounds.settings.batch_bytes,
            clock: self.bounds.clock.clone(),
            fence: self.bounds.fence.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        self.calls.push(Box::pin(async move { Call::Request(Box::new(request.run(batch, permit).await)) }));
        self.report();
    }
}

#[cfg(test)]
#[path = "tests/driver.rs"]
mod tests;

//! Driver of one shard consumer: waits for events, performs effects.
//!
//! At most one read is in flight. The lease has its own task, so a slow app or a slow read never delays a renewal.

use super::budget::{MIN_SHARE, MemoryBudget, ShardBudget};
use super::delivery::{Bounds, Delivery, Destination};
use super::identity::IdentityCheck;
use super::renewer::RenewerSettings;
use super::renewer_task::RenewerHandle;
use super::settings::{ConsumerSettings, Ports};
use super::shard_consumer::ShardConsumer;
use super::shard_end::ListedShard;
use super::shard_events::{Effect, EndReason, Event, Urgency};
use crate::domain::{
    Fetched, LeaseGrant, ReadLimit, RecordFilter, RecordSource, ShardId, StartingPosition, Stop, Timestamp,
};
use crate::telemetry::InputMetrics;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

type Source = Box<dyn RecordSource>;

/// The largest answer of GetRecords.
const MAX_FETCH: usize = 10 << 20;
/// For the first opening of a shard: how long ago the stream may have been identified.
const MAX_IDENTITY_AGE: Duration = Duration::from_secs(2);
/// A source that is not read for so long closes what it keeps open. A shard that holds nothing waits no longer for memory,
/// since what other shards hold may stay for ever: they may be halted.
const SUSPEND_AFTER: Duration = Duration::from_secs(20);

/// What the shard consumers of a worker share.
#[derive(Debug, Clone)]
pub(super) struct WorkerContext {
    pub(super) settings: Arc<ConsumerSettings>,
    pub(super) ports: Ports,
    pub(super) identity: Arc<IdentityCheck>,
    pub(super) metrics: InputMetrics,
    /// Requests to the app that the shards of this input may have in flight.
    pub(super) input_slots: Arc<Semaphore>,
}

/// Checks that the stream is still the one that the lease was created for.
#[derive(Clone)]
struct StreamCheck {
    identity: Arc<IdentityCheck>,
    stream_created: Option<Timestamp>,
}

/// The end of a call that reads.
struct ReadDone {
    /// To continue with; `None` if it must be opened again.
    source: Option<Source>,
    event: Event,
    /// The memory that was reserved for the records of `event`.
    reserved: Option<OwnedSemaphorePermit>,
}

/// In bytes.
struct FetchSize {
    /// To reserve, for records and their requests.
    memory: usize,
    /// Of records alone.
    limit: ReadLimit,
    /// The shard holds no records.
    is_empty: bool,
}

struct ShardDriver {
    ports: Ports,
    stream_check: StreamCheck,
    was_opened: bool,
    shard: ShardId,
    stop: Stop,
    stop_seen: bool,
    urgency_seen: bool,
    force_seen: bool,
    source: Option<Source>,
    /// Since when the source is not read.
    unread_since: Option<Instant>,
    /// A fetch that waits for memory, with its pause.
    wanted: Option<Duration>,
    /// How many records may be fetched now.
    free_window: Arc<AtomicUsize>,
    read: Option<BoxFuture<'static, ReadDone>>,
    reserved: Option<OwnedSemaphorePermit>,
    memory: Arc<MemoryBudget>,
    filter: Option<Arc<dyn RecordFilter>>,
    metrics: InputMetrics,
    delivery: Delivery,
    renewer: RenewerHandle,
}

/// Consumes a shard until its lease is released or lost. `begun`: when the take of the lease was sent. Dropping the future
/// leaves the lease to expire.
pub(super) async fn consume(grant: LeaseGrant, begun: Instant, worker: WorkerContext, stop: Stop) -> EndReason {
    let mut consumer = ShardConsumer::new(grant.lease(), &worker.settings, worker.metrics.clone());
    let mut driver = ShardDriver::new(grant, begun, worker, stop);
    driver.delivery.report_to(consumer.status().delivery());
    let mut event = Event::Woke;
    loop {
        for effect in consumer.apply(event, Instant::now()) {
            if let Some(reason) = driver.perform(effect) {
                return reason;
            }
        }
        driver.renewer.set_caught_up(consumer.caught_up());
        // What was reserved for records that were skipped is returned.
        driver.reserved = None;
        driver.free_window.store(consumer.free_window(), Ordering::Relaxed);
        driver.fetch_if_possible();
        driver.delivery.set_flush(consumer.is_window_closed() || driver.wanted.is_some());
        consumer.status().set_buffered(consumer.window());
        driver.delivery.report();
        event = driver.select(consumer.wake_at()).await;
    }
}

impl ShardDriver {
    fn new(grant: LeaseGrant, begun: Instant, worker: WorkerContext, stop: Stop) -> Self {
        let WorkerContext { settings, ports, identity, metrics, input_slots } = worker;
        let shard = grant.shard().clone();
        let stream_check = StreamCheck { identity, stream_created: grant.lease().stream_created };
        let renewer_settings = RenewerSettings {
            lease_duration: settings.lease_duration,
            checkpoint_interval: settings.checkpoint_interval,
            seed: settings.seed_for(&shard),
        };
        let renewer = ports.renewers.start(grant, begun, &renewer_settings, metrics.clone());
        let to = Destination {
            handler: Arc::clone(&ports.handler),
            shaping: settings.shaping.clone(),
            dead_letters: ports.dead_letters.clone(),
            binding: settings.binding.clone(),
            stream: renewer.lease().stream.clone().unwrap_or_else(|| settings.binding.as_str().into()),
            shard: shard.clone(),
            epoch: renewer.epoch(),
        };
        let memory = Arc::clone(&settings.limits.memory);
        let delivery = settings.delivery.clone();
        let bounds = Bounds {
            budget: ShardBudget::new(Arc::clone(&memory), delivery.max_buffered_bytes),
            settings: Arc::new(delivery),
            clock: settings.clock.clone(),
            admission: Arc::clone(&settings.limits.admission),
            input_slots,
            fence: renewer.fence_reader(),
            seed: settings.seed_for(&shard),
        };
        Self {
            stream_check,
            was_opened: false,
            shard,
            stop,
            stop_seen: false,
            urgency_seen: false,
            force_seen: false,
            source: None,
            unread_since: None,
            wanted: None,
            free_window: Arc::default(),
            read: None,
            reserved: None,
            memory,
            filter: settings.shaping.filter.clone(),
            delivery: Delivery::new(to, bounds, metrics.clone()),
            metrics,
            renewer,
            ports,
        }
    }

    async fn select(&mut self, wake_at: Option<Instant>) -> Event {
        loop {
            // After the process was suspended, calls may be ready before the timer fires.
            if wake_at.is_some_and(|at| Instant::now() >= at) {
                return Event::Woke;
            }
            let suspend_at = self.unread_since.map(|since| since + SUSPEND_AFTER);
            // Biased: stop and lease come before results, so that no new call begins after them.
            tokio::select! {
                biased;
                () = self.stop.forced(), if !self.force_seen => {
                    (self.stop_seen, self.urgency_seen, self.force_seen) = (true, true, true);
                    return Event::Forced;
                }
                () = self.stop.urgent(), if !self.urgency_seen => {
                    (self.stop_seen, self.urgency_seen) = (true, true);
                    return Event::StopRequested(Urgency::Urgent);
                }
                () = self.stop.finishing(), if !self.stop_seen => {
                    self.stop_seen = true;
                    return Event::StopRequested(Urgency::Retire);
                }
                Some(()) = OptionFuture::from(wake_at.map(sleep_until)) => return Event::Woke,
                event = self.renewer.next() => return Event::Renewer(event),
                delivered = self.delivery.next() => return Event::Delivered(delivered),
                Some(done) = OptionFuture::from(self.read.as_mut()) => {
                    self.read = None;
                    self.unread_since = done.source.is_some().then(Instant::now);
                    (self.source, self.reserved) = (done.source, done.reserved);
                    return done.event;
                }
                Some(()) = OptionFuture::from(suspend_at.map(sleep_until)) => self.suspend(),
                () = self.memory.share_grew(), if self.wanted.is_some() => return Event::Woke,
            }
        }
    }

    fn suspend(&mut self) {
        self.unread_since = None;
        if let Some(source) = &mut self.source {
            tracing::info!(shard = %self.shard, "reading paused: the app has not accepted what was fetched");
            source.suspend();
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<EndReason> {
        match effect {
            Effect::Open { position, after } => {
                self.source = None;
                // Just before the first opening, the coordinator identified the stream. A later opening follows a failure,
                // which may mean that the stream was replaced.
                let max_age = if self.was_opened { Duration::ZERO } else { MAX_IDENTITY_AGE };
                self.was_opened = true;
                let (ports, stream_check, shard) = (self.ports.clone(), self.stream_check.clone(), self.shard.clone());
                self.set_read(async move {
                    pause(after).await;
                    match stream_check.failure(max_age).await {
                        None => open(ports, shard, position).await,
                        Some(event) => ReadDone { source: None, event, reserved: None },
                    }
                });
            }
            Effect::Fetch { after } => self.wanted = Some(after),
            Effect::ListShards => {
                // The call keeps the source, because reading may continue after it.
                let source = self.source.take();
                self.set_read(list(self.ports.clone(), self.stream_check.clone(), self.shard.clone(), source));
            }
            Effect::StopReading => {
                (self.read, self.source, self.wanted, self.unread_since) = (None, None, None, None);
            }
            Effect::Deliver { first_index, records, lag } => {
                self.delivery.push(first_index, records, lag, self.reserved.take());
            }
            Effect::DrainDelivery(begin_until) => self.delivery.drain(begin_until),
            Effect::AbortDelivery => self.delivery.abort(),
            Effect::Progress(checkpoint) => self.renewer.progress(checkpoint),
            Effect::StoreReset(start) => self.renewer.reset(start),
            Effect::VerifyLease => self.renewer.verify(),
            Effect::Finish(children) => self.renewer.finish(children),
            Effect::Release(until) => self.renewer.release(until),
            Effect::End(reason) => return Some(reason),
        }
        None
    }

    fn set_read(&mut self, call: impl Future<Output = ReadDone> + Send + 'static) {
        self.unread_since = None;
        self.read = Some(Box::pin(call));
    }

    /// Begins the fetch that waits for memory, once the shard may hold more.
    fn fetch_if_possible(&mut self) {
        let budget = self.delivery.budget();
        let (memory, is_empty) = (budget.allowance().min(MAX_FETCH), budget.held() == 0);
        if memory == 0 || self.wanted.is_none() {
            return;
        }
        if let (Some(after), Some(source)) = (self.wanted.take(), self.source.take()) {
            let limit = ReadLimit::new(self.delivery.fetchable(memory), Arc::clone(&self.free_window));
            let (size, reservable) = (FetchSize { memory, limit, is_empty }, memory);
            let (memory, metrics, filter) = (Arc::clone(&self.memory), self.metrics.clone(), self.filter.clone());
            self.set_read(async move {
                let mut done = fetch(source, after, size, &memory, &metrics).await;
                if let (Some(filter), Event::Fetched(Ok(Fetched::Batch(batch)))) = (filter, &mut done.event) {
                    filter.mark(&mut batch.records, reservable).await;
                }
                done
            });
        }
    }
}

impl StreamCheck {
    /// The event to report instead of reading, if the stream was replaced or could not be identified. An identification may
    /// be as old as `max_age`.
    async fn failure(&self, max_age: Duration) -> Option<Event> {
        let now = Instant::now();
        match self.identity.replacement(self.stream_created, now.checked_sub(max_age).unwrap_or(now)).await {
            Ok(replacement) => replacement.map(Event::Replaced),
            Err(error) => Some(Event::Opened(Err(error))),
        }
    }
}

async fn open(ports: Ports, shard: ShardId, position: StartingPosition) -> ReadDone {
    match ports.retrieval.open(&shard, &position).await {
        Ok(source) => ReadDone { source: Some(source), event: Event::Opened(Ok(())), reserved: None },
        Err(error) => ReadDone { source: None, event: Event::Opened(Err(error)), reserved: None },
    }
}

/// What a fetch may return.
async fn fetch(
    mut source: Source,
    after: Duration,
    size: FetchSize,
    memory: &MemoryBudget,
    metrics: &InputMetrics,
) -> ReadDone {
    pause(after).await;
    let mut limit = size.limit;
    let mut reservation = std::pin::pin!(memory.reserve(size.memory));
    let reserved = match reservation.as_mut().now_or_never() {
        Some(reserved) => reserved,
        None => {
            metrics.memory_wait();
            match tokio::time::timeout(SUSPEND_AFTER, &mut reservation).await {
                Ok(reserved) => reserved,
                Err(_) if size.is_empty => {
                    limit.bytes = limit.bytes.min(MIN_SHARE);
                    None
                }
                Err(_) => {
                    source.suspend();
                    reservation.await
                }
            }
        }
    };
    let result = source.next(limit).await;
    ReadDone { source: Some(source), event: Event::Fetched(result), reserved }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn list(ports: Ports, stream_check: StreamCheck, shard: ShardId, source: Option<Source>) -> ReadDone {
    let listing = ports.directory.list().await;
    match stream_check.failure(Duration::ZERO).await {
        None => {}
        Some(event @ Event::Replaced(_)) => return ReadDone { source: None, event, reserved: None },
        Some(_) => return ReadDone { source, event: Event::Listed(ListedShard::Unknown), reserved: None },
    }
    let found = match listing {
        Ok(listing) => match listing.shards.iter().find(|listed| listed.id == shard) {
            Some(listed) if listed.is_open => ListedShard::Open,
            Some(_) => ListedShard::Closed,
            None => ListedShard::Absent,
        },
        Err(error) => {
            // The failed read before it was logged, and the coordinator lists the shards too.
            tracing::debug!(%shard, %error, "shards could not be listed");
            ListedShard::Unknown
        }
    };
    ReadDone { source, event: Event::Listed(found), reserved: None }
}

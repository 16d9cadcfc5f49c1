//! One worker for each input binding: drives the coordinator and owns the shard consumers.

use super::app_watch::AppWatch;
use super::coordinator::Coordinator;
use super::error::ConsumerError;
use super::failing_calls::PREPARE_FAILED;
use super::identity::IdentityCheck;
use super::lease_scan::{self, Change};
use super::retention::AgeAlarm;
use super::settings::{ConsumerSettings, Ports};
use super::shard_consumer::FORCED_RELEASE_LIMIT;
use super::shard_driver::{WorkerContext, consume};
use super::shard_events::EndReason;
use super::worker_events::{Effect, Event};
use crate::domain::{DrainLimits, ShardId, Stop, cause_line};
use crate::resilience::Backoff;
use crate::tasks::{Ended, Supervisor};
use crate::telemetry::{InputMetrics, LogLimit};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::BoxStream;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

/// A shard consumer that has not ended so long after the drain limit is aborted.
const ABORT_GRACE: Duration = Duration::from_millis(250);
/// How often the metrics are set that grow with time.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the lags are compared with the retention period, and at most logged.
const AGE_INTERVAL: Duration = Duration::from_secs(60);

/// Reads a stream together with other workers of the same lease table.
#[derive(Debug)]
pub struct Worker {
    context: WorkerContext,
}

struct Driver {
    context: WorkerContext,
    /// Follows the caller's stop, and can be requested by the worker itself.
    stop: Stop,
    /// Follows `stop`; forced alone when the leases are released because the app is down.
    consumers_stop: Stop,
    app_watch: AppWatch,
    stop_seen: bool,
    urgency_seen: bool,
    force_seen: bool,
    abort_at: Option<Instant>,
    scan: Option<BoxFuture<'static, Event>>,
    changes: Option<BoxStream<'static, Change>>,
    listing: Option<BoxFuture<'static, Event>>,
    consumers: Supervisor<(ShardId, EndReason)>,
    metrics_tick: Interval,
    age_alarm: AgeAlarm,
    age_check_at: Instant,
}

impl Worker {
    #[must_use]
    pub fn new(settings: ConsumerSettings, ports: Ports, metrics: InputMetrics) -> Self {
        let (directory, state) = (Arc::clone(&ports.directory), Arc::clone(&settings.stream_state));
        let identity = Arc::new(IdentityCheck::new(directory, state, settings.seed));
        let input_slots = Arc::new(Semaphore::new(settings.delivery.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self { context: WorkerContext { settings: Arc::new(settings), ports, identity, metrics, input_slots } }
    }

    /// Delivers records until a stop is requested. Then it drains within the drain limit: it finishes the records in
    /// flight, stores progress and releases the leases. All tasks that it started are joined. Dropping the future aborts
    /// the shard consumers and leaves their leases to expire.
    ///
    /// # Errors
    /// When the lease store or the stream cannot be used, or the stream was replaced by another of the same name.
    pub async fn run(self, stop: Stop) -> Result<(), ConsumerError> {
        let WorkerContext { settings, metrics, .. } = &self.context;
        settings.stream_state.mark_started(Instant::now());
        if !self.prepare(&stop).await? {
            return Ok(());
        }
        let mut coordinator = Coordinator::new(Arc::clone(settings), metrics.clone());
        let stop = stop.child();
        let app_watch = AppWatch::new(settings, Arc::clone(&self.context.ports.handler));
        let mut driver = Driver {
            context: self.context,
            consumers_stop: stop.child(),
            stop,
            app_watch,
            stop_seen: false,
            urgency_seen: false,
            force_seen: false,
            abort_at: None,
            scan: None,
            changes: None,
            listing: None,
            consumers: Supervisor::new(),
            metrics_tick: interval(METRICS_INTERVAL),
            age_alarm: AgeAlarm::default(),
            age_check_at: Instant::now() + AGE_INTERVAL,
        };
        driver.metrics_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = Some(Event::Woke);
        while let Some(event) = next {
            for effect in coordinator.apply(event, Instant::now()) {
                if let Some(result) = driver.perform(effect) {
                    return result;
                }
            }
            next = driver.select(coordinator.wake_at(Instant::now())).await;
        }
        (driver.scan, driver.changes, driver.listing) = (None, None, None);
        let aborted = driver.consumers.abort_and_join().await;
        for shard in &aborted {
            tracing::warn!(shard, "shard consumer aborted; its lease will expire");
        }
        driver.context.metrics.set_leases_held(0);
        driver.context.settings.status.update(&driver.context.metrics, Instant::now());
        // Why it stopped matters more than that something did not end in time.
        match coordinator.failure.take() {
            Some(failure) => Err(failure),
            None if aborted.is_empty() => Ok(()),
            None => Err(ConsumerError::Aborted),
        }
    }

    /// Prepares the lease store; false when a stop was requested before that was done.
    async fn prepare(&self, stop: &Stop) -> Result<bool, ConsumerError> {
        let WorkerContext { settings, ports, .. } = &self.context;
        let (mut waits, log_limit) = (Backoff::millis(200, 10_000).waits(settings.seed), LogLimit::default());
        loop {
            // Biased: a stop needs no leases.
            let result = tokio::select! {
                biased;
                () = stop.finishing() => return Ok(false),
                result = ports.leases.prepare() => result,
            };
            let error = match result {
                Ok(()) => {
                    settings.status.call_succeeded(PREPARE_FAILED);
                    return Ok(true);
                }
                Err(error) if error.kind().may_retry() => error,
                Err(error) => {
                    let error = ConsumerError::from(error);
                    settings.stream_state.refuse(cause_line(&error));
                    return Err(error);
                }
            };
            let wait = waits.next_wait();
            settings.status.failed(&error, Instant::now());
            settings.status.call_failed(PREPARE_FAILED, cause_line(&error), Instant::now());
            if let Some(more) = log_limit.next(Instant::now()) {
                tracing::warn!(?wait, %error, source = error.source(), more, "{PREPARE_FAILED}");
            } else {
                tracing::debug!(?wait, %error, source = error.source(), "{PREPARE_FAILED}");
            }
            tokio::select! {
                biased;
                () = stop.finishing() => return Ok(false),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Driver {
    /// The next event; `None` when all that is left must be aborted.
    async fn select(&mut self, wake_at: Option<Instant>) -> Option<Event> {
        loop {
            // Biased: a stop comes before results.
            return tokio::select! {
                biased;
                () = self.stop.forced(), if !self.force_seen => {
                    self.force_seen = true;
                    // The consumers release their leases without a drain.
                    self.abort_by(FORCED_RELEASE_LIMIT + ABORT_GRACE);
                    continue;
                }
                () = self.stop.urgent(), if self.stop_seen && !self.urgency_seen => {
                    self.urgency_seen = true;
                    self.abort_by(self.context.settings.drain_limits.urgent + ABORT_GRACE);
                    continue;
                }
                Some(()) = OptionFuture::from(self.abort_at.map(sleep_until)) => None,
            () = self.stop.finishing(), if !self.stop_seen => {
                self.stop_seen = true;
                Some(Event::StopRequested)
            }
            Some(ended) = self.consumers.next() => Some(consumer_ended(ended)),
            Some(change) = OptionFuture::from(self.changes.as_mut().map(StreamExt::next)) => Some(match change {
                Some(change) => Event::Changed(Box::new(change)),
                None => {
                    self.changes = None;
                    Event::ChangesDone
                }
            }),
            Some(event) = OptionFuture::from(self.scan.as_mut()) => {
                self.scan = None;
                Some(event)
            }
            Some(event) = OptionFuture::from(self.listing.as_mut()) => {
                self.listing = None;
                Some(event)
            }
            Some(()) = OptionFuture::from(wake_at.map(sleep_until)) => Some(Event::Woke),
            () = self.app_watch.is_up_again() => {
                self.consumers_stop = self.stop.child();
                Some(Event::AppUp)
            }
            now = self.metrics_tick.tick() => {
                self.context.settings.status.update(&self.context.metrics, now);
                self.check_age(now);
                match self.app_watch.is_down_too_long(now) {
                    true => Some(Event::AppDown),
                    false => continue,
                }
            }
            };
        }
    }

    fn abort_by(&mut self, limit: Duration) {
        let abort_at = Instant::now() + limit;
        self.abort_at = Some(self.abort_at.map_or(abort_at, |at| at.min(abort_at)));
    }

    fn check_age(&mut self, now: Instant) {
        let settings = &self.context.settings;
        let Some(retention) = settings.stream_state.retention().filter(|_| now >= self.age_check_at) else { return };
        self.age_check_at = now + AGE_INTERVAL;
        for change in self.age_alarm.check(&settings.status.lags(now), retention) {
            change.log(retention);
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Result<(), ConsumerError>> {
        let WorkerContext { settings, ports, identity, .. } = &self.context;
        match effect {
            Effect::Scan => {
                let ports = ports.clone();
                self.scan = Some(Box::pin(async move { Event::Scanned(lease_scan::scan(ports).await) }));
            }
            Effect::List { with_identity } => {
                let (ports, identity) = (ports.clone(), Arc::clone(identity));
                let list = async move { Event::Listed(lease_scan::list(ports, identity, with_identity).await) };
                self.listing = Some(Box::pin(list));
            }
            Effect::Change(changes) => {
                self.changes = Some(lease_scan::change(ports.clone(), settings.worker.clone(), changes));
            }
            Effect::Start(grant, begun) => {
                let shard = grant.shard().clone();
                tracing::info!(%shard, checkpoint = ?grant.lease().checkpoint, "lease was taken");
                self.context.metrics.lease_taken();
                let consumer = consume(*grant, begun, self.context.clone(), self.consumers_stop.child());
                let name = shard.as_str().to_owned();
                self.consumers.spawn(name, async move { (shard, consumer.await) });
            }
            Effect::StopConsumers => {
                if !self.stop.is_finishing() {
                    self.stop.finish();
                }
                // Consumers end at the drain limit. One that does not is aborted.
                let DrainLimits { urgent, retire } = settings.drain_limits;
                let limit = if self.stop.is_urgent() { urgent } else { retire.saturating_add(urgent) };
                self.abort_by(limit + ABORT_GRACE);
            }
            Effect::ReleaseLeases => self.consumers_stop.now(),
            Effect::End(result) => return Some(result),
        }
        None
    }
}

/// The task is named after its shard, so the shard of a task that panicked is known.
fn consumer_ended(ended: Ended<(ShardId, EndReason)>) -> Event {
    match ended.result {
        Ok((shard, reason)) => Event::ConsumerEnded(shard, reason),
        Err(failure) => {
            tracing::error!(shard = ended.name, %failure, "shard consumer failed; its lease will expire");
            Event::ConsumerEnded(ShardId::new(ended.name), EndReason::Failed)
        }
    }
}

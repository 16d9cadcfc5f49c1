//! One worker for each input binding: drives the coordinator and owns the shard consumers.

use super::coordinator::{Coordinator, Effect, Event};
use super::cycle;
use super::error::ConsumerError;
use super::identity::IdentityCheck;
use super::lanes::consume;
use super::settings::{ConsumerSettings, Ports};
use super::shard_events::Ending;
use super::vitals::Vitals;
use crate::domain::{ShardId, Stop};
use crate::resilience::Backoff;
use crate::tasks::{Ended, Supervisor};
use crate::telemetry::InputMetrics;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long after the drain limit a consumer that did not end is cut.
const GIVE_UP: Duration = Duration::from_millis(250);

/// Reads a stream together with other workers of the same lease table.
#[derive(Debug)]
pub struct Worker {
    settings: Arc<ConsumerSettings>,
    ports: Ports,
    identity: Arc<IdentityCheck>,
    vitals: Vitals,
}

struct Driver {
    worker: Worker,
    /// Follows the caller's, and can be asked alone when the worker must end by itself.
    stop: Stop,
    stop_seen: bool,
    give_up_at: Option<Instant>,
    /// A scan or a round of actions.
    lane: Option<BoxFuture<'static, Event>>,
    listing: Option<BoxFuture<'static, Event>>,
    consumers: Supervisor<(ShardId, Ending)>,
}

impl Worker {
    /// A worker that does nothing yet.
    #[must_use]
    pub fn new(settings: ConsumerSettings, ports: Ports, metrics: InputMetrics) -> Self {
        let identity = IdentityCheck::new(Arc::clone(&ports.directory), Arc::clone(&settings.history), settings.seed);
        Self { settings: Arc::new(settings), ports, identity: Arc::new(identity), vitals: Vitals::new(metrics) }
    }

    /// Delivers records until told to stop; then drains within the drain limit: the record in hand is finished,
    /// progress stored, leases released. Joins all that it started. Dropping the future aborts the consumers and
    /// leaves their leases to expire.
    ///
    /// # Errors
    /// When the lease store or the stream cannot be used, or the stream was replaced by another of the same name.
    pub async fn run(self, stop: Stop) -> Result<(), ConsumerError> {
        self.settings.history.begin(Instant::now());
        if !self.prepare(&stop).await? {
            return Ok(());
        }
        let mut coordinator = Coordinator::new(Arc::clone(&self.settings), self.vitals.metrics.clone());
        let mut driver = Driver {
            worker: self,
            stop: stop.child(),
            stop_seen: false,
            give_up_at: None,
            lane: None,
            listing: None,
            consumers: Supervisor::new(),
        };
        let mut event = Some(Event::Woke);
        while let Some(happened) = event {
            for effect in coordinator.apply(happened, Instant::now()) {
                if let Some(result) = driver.perform(effect) {
                    return result;
                }
            }
            event = driver.select(coordinator.wake_at(Instant::now())).await;
        }
        (driver.lane, driver.listing) = (None, None);
        let cut = driver.consumers.abort_and_join().await;
        for name in &cut {
            tracing::warn!(task = name, "shard consumer was cut, its lease will expire");
        }
        driver.worker.vitals.metrics.set_leases_held(0);
        if cut.is_empty() { Ok(()) } else { Err(ConsumerError::Cut) }
    }

    /// Makes the lease store usable; false when a stop was asked before it was.
    async fn prepare(&self, stop: &Stop) -> Result<bool, ConsumerError> {
        let mut waits = Backoff::millis(200, 10_000).waits(self.settings.seed);
        loop {
            // Biased: a stop needs no leases.
            let result = tokio::select! {
                biased;
                () = stop.asked() => return Ok(false),
                result = self.ports.leases.prepare() => result,
            };
            let error = match result {
                Ok(()) => return Ok(true),
                Err(error) if error.kind().may_retry() => error,
                Err(error) => return Err(error.into()),
            };
            let wait = waits.next_wait();
            tracing::warn!(?wait, %error, "lease store was not ready");
            tokio::select! {
                biased;
                () = stop.asked() => return Ok(false),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Driver {
    /// The next event; `None` when everything left must be cut.
    async fn select(&mut self, wake_at: Option<Instant>) -> Option<Event> {
        let give_up_at = self.give_up_at;
        // Biased: orders before work.
        tokio::select! {
            biased;
            () = self.stop.forced() => None,
            () = sleep_until(give_up_at) => None,
            () = self.stop.asked(), if !self.stop_seen => {
                self.stop_seen = true;
                Some(Event::StopAsked)
            }
            Some(ended) = self.consumers.next() => Some(consumer_ended(ended)),
            event = lane(&mut self.lane) => Some(event),
            event = lane(&mut self.listing) => Some(event),
            () = sleep_until(wake_at) => Some(Event::Woke),
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Result<(), ConsumerError>> {
        let Worker { settings, ports, identity, vitals } = &self.worker;
        match effect {
            Effect::Scan => {
                let ports = ports.clone();
                self.lane = Some(Box::pin(async move { Event::Viewed(cycle::scan(ports).await) }));
            }
            Effect::List { wants_identity } => {
                let (ports, identity) = (ports.clone(), Arc::clone(identity));
                let list = async move { Event::Listed(cycle::list(ports, identity, wants_identity).await) };
                self.listing = Some(Box::pin(list));
            }
            Effect::Act(actions) => {
                let (ports, worker) = (ports.clone(), settings.worker.clone());
                self.lane = Some(Box::pin(async move { Event::Acted(cycle::act(ports, worker, actions).await) }));
            }
            Effect::Start(grant, begun) => {
                let shard = grant.shard().clone();
                tracing::info!(%shard, checkpoint = ?grant.lease().checkpoint, "lease was taken");
                let whole = (Arc::clone(settings), ports.clone(), Arc::clone(identity), vitals.clone());
                let consumer = consume(grant, begun, whole, self.stop.child());
                let named = shard.as_str().to_owned();
                self.consumers.spawn(named, async move { (shard, consumer.await) });
            }
            Effect::StopConsumers => {
                self.stop.finish();
                // Consumers end by themselves at the drain limit; this is for one that does not.
                self.give_up_at = Some(Instant::now() + settings.drain_limit + GIVE_UP);
            }
            Effect::End(result) => return Some(result),
        }
        None
    }
}

/// A task bears the name of its shard, so one that panicked is known too.
fn consumer_ended(ended: Ended<(ShardId, Ending)>) -> Event {
    match ended.result {
        Ok((shard, ending)) => Event::ConsumerEnded(shard, ending),
        Err(failure) => {
            tracing::error!(shard = ended.name, %failure, "shard consumer failed, its lease will expire");
            Event::ConsumerEnded(ShardId::new(ended.name), Ending::Failed)
        }
    }
}

/// Waits for the call in the lane; for ever when there is none. Cancel-safe: the call stays in its lane.
async fn lane(lane: &mut Option<BoxFuture<'static, Event>>) -> Event {
    match lane {
        Some(pending) => {
            let event = pending.await;
            *lane = None;
            event
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

//! Driver of one shard consumer: waits for events, performs effects.
//!
//! At most one call of each kind (fetch, delivery, lease) is in flight. The grant moves into the lease call and comes back
//! with its result, so a renewal and a checkpoint cannot race, and a slow app never delays a renewal.

use super::delivery::{Delivery, Destination};
use super::identity::IdentityCheck;
use super::lag::InputLag;
use super::settings::{ConsumerSettings, Ports};
use super::shard_consumer::ShardConsumer;
use super::shard_end::ListedShard;
use super::shard_events::{Effect, EndReason, Event, LeaseCall, LeaseCallResult};
use crate::domain::{LeaseGrant, LeaseStore, RecordSource, ShardId, StartingPosition, Stop, Timestamp};
use futures_util::future::{BoxFuture, OptionFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A call in flight, if there is one.
type Call<T> = Option<BoxFuture<'static, T>>;
type Source = Box<dyn RecordSource>;

/// The largest answer of GetRecords.
const MAX_FETCH: usize = 10 << 20;
/// For the first opening of a shard: how long ago the stream may have been identified.
const MAX_IDENTITY_AGE: Duration = Duration::from_secs(2);

/// What the shard consumers of a worker share.
#[derive(Debug, Clone)]
pub(super) struct WorkerContext {
    pub(super) settings: Arc<ConsumerSettings>,
    pub(super) ports: Ports,
    pub(super) identity: Arc<IdentityCheck>,
    pub(super) lag: InputLag,
}

/// Checks that the stream is still the one that the lease was created for.
#[derive(Clone)]
struct StreamCheck {
    identity: Arc<IdentityCheck>,
    stream_created: Option<Timestamp>,
}

struct ShardDriver {
    ports: Ports,
    stream_check: StreamCheck,
    was_opened: bool,
    shard: ShardId,
    stop: Stop,
    stop_seen: bool,
    source: Option<Source>,
    fetch: Call<(Option<Source>, Event)>,
    delivery: Delivery,
    grant: Option<LeaseGrant>,
    lease: Call<(Option<LeaseGrant>, Event)>,
}

/// Consumes a shard until its lease is released or lost. `begun`: when the take of the lease was sent. Dropping the future
/// leaves the lease to expire.
pub(super) async fn consume(grant: LeaseGrant, begun: Instant, worker: WorkerContext, stop: Stop) -> EndReason {
    let WorkerContext { settings, ports, identity, lag } = worker;
    let mut consumer = ShardConsumer::new(grant.lease(), &settings, lag.clone(), begun);
    let shard = grant.shard().clone();
    let to = Destination {
        handler: Arc::clone(&ports.handler),
        binding: settings.binding.clone(),
        stream: grant.lease().stream.clone().unwrap_or_else(|| "".into()),
        shard: shard.clone(),
        epoch: grant.lease().counter,
    };
    let delivery = Delivery::new(to, lag, settings.retry.waits(settings.seed_for(&shard)), consumer.fence());
    let mut driver = ShardDriver {
        ports,
        stream_check: StreamCheck { identity, stream_created: grant.lease().stream_created },
        was_opened: false,
        shard,
        stop,
        stop_seen: false,
        source: None,
        fetch: None,
        delivery,
        grant: Some(grant),
        lease: None,
    };
    let mut event = Event::Woke;
    loop {
        for effect in consumer.apply(event, Instant::now()) {
            if let Some(reason) = driver.perform(effect) {
                return reason;
            }
        }
        event = driver.select(consumer.wake_at()).await;
    }
}

impl ShardDriver {
    async fn select(&mut self, wake_at: Instant) -> Event {
        // After the process was suspended, calls may be ready before the timer fires. The fence must be checked first.
        if Instant::now() >= wake_at {
            return Event::Woke;
        }
        // Biased: stop and fence come before results, so that no new call begins after them.
        tokio::select! {
            biased;
            () = self.stop.forced() => Event::Forced,
            () = self.stop.finishing(), if !self.stop_seen => {
                self.stop_seen = true;
                Event::StopRequested
            }
            () = tokio::time::sleep_until(wake_at) => Event::Woke,
            Some((grant, event)) = OptionFuture::from(self.lease.as_mut()) => {
                (self.grant, self.lease) = (grant, None);
                event
            }
            event = self.delivery.next() => event,
            Some((source, event)) = OptionFuture::from(self.fetch.as_mut()) => {
                (self.source, self.fetch) = (source, None);
                event
            }
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
                self.fetch = Some(Box::pin(async move {
                    pause(after).await;
                    match stream_check.failure(max_age).await {
                        None => open(ports, shard, position).await,
                        Some(event) => (None, event),
                    }
                }));
            }
            Effect::Fetch { after } => {
                self.fetch =
                    self.source.take().map(|source| -> BoxFuture<'static, _> { Box::pin(fetch(source, after)) });
            }
            Effect::ListShards => {
                // The call keeps the source, because reading may continue after it.
                self.fetch = Some(Box::pin(list(
                    self.ports.clone(),
                    self.stream_check.clone(),
                    self.shard.clone(),
                    self.source.take(),
                )));
            }
            Effect::StopReading => {
                self.fetch = None;
                self.source = None;
            }
            Effect::Deliver(records) => self.delivery.push(records),
            Effect::SetFence(fence) => self.delivery.set_fence(fence),
            Effect::DrainDelivery => self.delivery.drain(),
            Effect::AbortDelivery => self.delivery.abort(),
            Effect::Lease(call) => {
                let store = Arc::clone(&self.ports.leases);
                // The grant is here whenever no lease call is in flight. Without it, the consumer would end at its fence.
                self.lease =
                    self.grant.take().map(|grant| -> BoxFuture<'static, _> { Box::pin(write(store, grant, call)) });
            }
            Effect::End(reason) => return Some(reason),
        }
        None
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

async fn open(ports: Ports, shard: ShardId, position: StartingPosition) -> (Option<Source>, Event) {
    match ports.retrieval.open(&shard, &position).await {
        Ok(source) => (Some(source), Event::Opened(Ok(()))),
        Err(error) => (None, Event::Opened(Err(error))),
    }
}

async fn fetch(mut source: Source, after: Duration) -> (Option<Source>, Event) {
    pause(after).await;
    let result = source.next(MAX_FETCH).await;
    (Some(source), Event::Fetched(result))
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn list(
    ports: Ports,
    stream_check: StreamCheck,
    shard: ShardId,
    source: Option<Source>,
) -> (Option<Source>, Event) {
    let listing = ports.directory.list().await;
    match stream_check.failure(Duration::ZERO).await {
        None => {}
        Some(event @ Event::Replaced(_)) => return (None, event),
        Some(_) => return (source, Event::Listed(ListedShard::Unknown)),
    }
    let found = match listing {
        Ok(listing) => match listing.shards.iter().find(|listed| listed.id == shard) {
            Some(listed) if listed.is_open => ListedShard::Open,
            Some(_) => ListedShard::Closed,
            None => ListedShard::Absent,
        },
        Err(error) => {
            tracing::warn!(%shard, %error, "shards could not be listed");
            ListedShard::Unknown
        }
    };
    (source, Event::Listed(found))
}

async fn write(store: Arc<dyn LeaseStore>, mut grant: LeaseGrant, call: LeaseCall) -> (Option<LeaseGrant>, Event) {
    let begun = Instant::now();
    let result = match call {
        LeaseCall::Renew => LeaseCallResult::Renewed(store.renew(&mut grant).await),
        LeaseCall::Checkpoint(checkpoint) => {
            let result = store.checkpoint(&mut grant, &checkpoint).await;
            LeaseCallResult::Checkpointed(checkpoint, result)
        }
        LeaseCall::StoreChildren(children) => {
            LeaseCallResult::ChildrenStored(store.store_children(&mut grant, &children).await)
        }
        LeaseCall::Release => {
            let result = LeaseCallResult::Released(store.release(grant).await);
            return (None, Event::LeaseCallDone { begun, result, handed_off: false });
        }
    };
    let handed_off = grant.is_handed_off();
    (Some(grant), Event::LeaseCallDone { begun, result, handed_off })
}

//! Driver of one shard consumer: waits for events in three lanes, performs effects.
//!
//! Each lane (fetch, delivery, lease) holds at most one call. The grant travels inside the lease lane's call and comes
//! back with its answer, so a renewal and a checkpoint cannot race, and a slow app never starves a renewal.

use super::delivery::{Addressee, Delivery};
use super::end_check::ListedShard;
use super::identity::{IdentityCheck, Verdict};
use super::settings::{ConsumerSettings, Ports};
use super::shard_consumer::ShardConsumer;
use super::shard_events::{Effect, Ending, Event, LeaseAnswer, LeaseCall};
use super::vitals::Vitals;
use crate::domain::{LeaseError, LeaseGrant, LeaseStore, RecordSource, ShardId, StartingPosition, Stop, Timestamp};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

type Lane<T> = Option<BoxFuture<'static, T>>;
type Source = Box<dyn RecordSource>;

/// A stream that was identified so long ago need not be identified again for a first opening.
const RECENT: Duration = Duration::from_secs(2);

/// Compares the stream with the one that the lease was made for.
#[derive(Clone)]
struct Leased {
    identity: Arc<IdentityCheck>,
    stream_created: Option<Timestamp>,
}

struct Lanes {
    ports: Ports,
    leased: Leased,
    was_opened: bool,
    shard: ShardId,
    stop: Stop,
    stop_seen: bool,
    source: Option<Source>,
    fetch: Lane<(Option<Source>, Event)>,
    delivery: Delivery,
    grant: Option<LeaseGrant>,
    lease: Lane<(Option<LeaseGrant>, Event)>,
}

/// Consumes a shard until its lease ends one way or another. Dropping the future leaves the lease to expire.
pub(super) async fn consume(
    grant: LeaseGrant,
    begun: Instant,
    worker: (Arc<ConsumerSettings>, Ports, Arc<IdentityCheck>, Vitals),
    stop: Stop,
) -> Ending {
    let (settings, ports, identity, vitals) = worker;
    let mut consumer = ShardConsumer::new(grant.lease(), &settings, vitals.clone(), begun);
    let shard = grant.shard().clone();
    let to = Addressee { handler: Arc::clone(&ports.handler), binding: settings.binding.clone(), shard: shard.clone() };
    let delivery = Delivery::new(to, vitals, settings.retry.waits(settings.seed_for(&shard)), consumer.fence());
    let leased = Leased { identity, stream_created: grant.lease().stream_created };
    let mut lanes = Lanes {
        ports,
        leased,
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
            if let Some(ending) = lanes.perform(effect) {
                return ending;
            }
        }
        event = lanes.select(consumer.wake_at()).await;
    }
}

impl Lanes {
    async fn select(&mut self, wake_at: Instant) -> Event {
        // A process that was frozen may find other lanes ready before its timers fire; the clock comes first.
        if Instant::now() >= wake_at {
            return Event::Woke;
        }
        // Biased: orders and the fence before work, so that nothing begins after them.
        tokio::select! {
            biased;
            () = self.stop.forced() => Event::Forced,
            () = self.stop.asked(), if !self.stop_seen => {
                self.stop_seen = true;
                Event::StopAsked
            }
            () = tokio::time::sleep_until(wake_at) => Event::Woke,
            (grant, event) = call(&mut self.lease) => {
                self.grant = grant;
                event
            }
            delivered = self.delivery.next() => Event::Delivered(delivered),
            (source, event) = call(&mut self.fetch) => {
                self.source = source;
                event
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Ending> {
        match effect {
            Effect::Open { position, after } => {
                self.source = None;
                // A first opening follows an identification by the coordinator; a later one follows a failure, and failures
                // are what a replaced stream looks like.
                let tolerance = if self.was_opened { Duration::ZERO } else { RECENT };
                self.was_opened = true;
                let (ports, leased, shard) = (self.ports.clone(), self.leased.clone(), self.shard.clone());
                self.fetch = Some(Box::pin(async move {
                    pause(after).await;
                    match leased.check(tolerance).await {
                        None => open(ports, shard, position).await,
                        Some(event) => (None, event),
                    }
                }));
            }
            Effect::Fetch { after } => {
                self.fetch =
                    self.source.take().map(|source| -> BoxFuture<'static, _> { Box::pin(fetch(source, after)) })
            }
            Effect::ListShards => {
                // The source waits in the call: it may be read on afterwards.
                self.fetch = Some(Box::pin(list(
                    self.ports.clone(),
                    self.leased.clone(),
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
            Effect::DropDelivery => self.delivery.drop_all(),
            Effect::Lease(call) => {
                let store = Arc::clone(&self.ports.leases);
                // Without a grant nothing can be written; the consumer would end at its fence.
                self.lease =
                    self.grant.take().map(|grant| -> BoxFuture<'static, _> { Box::pin(write(store, grant, call)) });
            }
            Effect::End(ending) => return Some(ending),
        }
        None
    }
}

/// Waits for the call in a lane; for ever when there is none. Cancel-safe: the call stays in its lane.
async fn call<T>(lane: &mut Lane<T>) -> T {
    match lane {
        Some(pending) => {
            let done = pending.await;
            *lane = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Leased {
    /// What to report instead of reading: the stream was replaced, or could not be identified. An answer that is not older
    /// than `tolerance` is good enough.
    async fn check(&self, tolerance: Duration) -> Option<Event> {
        let now = Instant::now();
        match self.identity.verify(self.stream_created, now.checked_sub(tolerance).unwrap_or(now)).await {
            Ok(Verdict::Same) => None,
            Ok(Verdict::Replaced { leased, found }) => Some(Event::Replaced { leased, found }),
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
    let result = source.next().await;
    (Some(source), Event::Fetched(result))
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn list(ports: Ports, leased: Leased, shard: ShardId, source: Option<Source>) -> (Option<Source>, Event) {
    let listing = ports.directory.list().await;
    match leased.check(Duration::ZERO).await {
        None => {}
        Some(event @ Event::Replaced { .. }) => return (None, event),
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
    let answer = match call {
        LeaseCall::Renew => LeaseAnswer::Renewed(store.renew(&mut grant).await),
        LeaseCall::Checkpoint(checkpoint) => {
            let result: Result<(), LeaseError> = store.checkpoint(&mut grant, &checkpoint).await;
            LeaseAnswer::Checkpointed(checkpoint, result)
        }
        LeaseCall::NoteChildren(children) => {
            LeaseAnswer::ChildrenNoted(store.note_children(&mut grant, &children).await)
        }
        LeaseCall::Release => {
            let answer = LeaseAnswer::Released(store.release(grant).await);
            return (None, Event::Leased { begun, answer, handed_off: false });
        }
    };
    let handed_off = grant.is_handed_off();
    (Some(grant), Event::Leased { begun, answer, handed_off })
}

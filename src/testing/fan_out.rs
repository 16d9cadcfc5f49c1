//! A model of enhanced fan-out: one registered consumer of a [`MemoryStream`], with the rules and faults of the service.

use super::fan_out_source::FanOutSource;
use super::memory_stream::MemoryStream;
use super::stream_faults::{ReadFault, StreamFaults};
use super::stream_ports::{ReadFrom, read_from, shard_state};
use crate::aws::kinesis::SubscriptionPace;
use crate::domain::{
    FailureKind, Fetched, Record, RecordSource, Retrieval, RetrievalError, SequenceNumber, ShardId, StartingPosition,
    StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The service refuses a subscription that comes so soon after the last one of the shard.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// At most so many records are in one event, and an aggregate is not parted.
const MAX_RECORDS: usize = 10;
/// Between two looks at the shard.
const STEP: Duration = Duration::from_millis(200);
/// Without records there is an event after this time.
const IDLE_EVENT: Duration = Duration::from_secs(5);

/// The registered consumer, as the service keeps it for all workers. Clones share it.
#[derive(Debug, Clone)]
pub struct ModelFanOut {
    stream: MemoryStream,
    /// How long a subscription lasts; 5 minutes at AWS.
    lifetime: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    shards: BTreeMap<ShardId, Current>,
    subscriptions: u64,
    /// Subscriptions that a worker attempted although it knew of its own one less than five seconds before.
    too_early: u64,
}

/// The subscription of a shard that the service serves.
#[derive(Debug, Clone)]
struct Current {
    id: u64,
    begun: Instant,
    /// A process that does not belong to us takes the shard over again and again until then.
    foreign_until: Option<Instant>,
    /// The retrieval that got the reply.
    known_to: Option<u64>,
}

/// What a subscription sends.
#[derive(Debug)]
pub(super) struct ShardEvent {
    pub(super) records: Vec<Record>,
    pub(super) continuation: Option<SequenceNumber>,
    pub(super) behind: Duration,
    pub(super) children: Vec<ShardId>,
}

#[derive(Debug)]
pub(super) enum FanOutError {
    /// `ResourceInUseException`.
    InUse,
    /// `InvalidArgumentException`: the continuation number was refused.
    Refused,
    Other(RetrievalError),
}

/// What goes wrong with one subscription, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Closed(Instant),
    Silent(Instant),
}

#[derive(Debug)]
pub(super) struct Subscription {
    service: ModelFanOut,
    faults: StreamFaults,
    id: u64,
    shard: ShardId,
    opened_in: StreamIdentity,
    from: ReadFrom,
    ends_at: Instant,
    trouble: Trouble,
    last_event: Instant,
}

impl ModelFanOut {
    #[must_use]
    pub fn new(stream: &MemoryStream, lifetime: Duration) -> Self {
        Self { stream: stream.clone(), lifetime, state: Arc::default() }
    }

    /// The port of one worker.
    #[must_use]
    pub fn port(&self, faults: &StreamFaults, seed: u64) -> Arc<dyn Retrieval> {
        Arc::new(Port {
            service: self.clone(),
            faults: faults.clone(),
            id: seed,
            paces: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        })
    }

    /// A foreign process subscribes to a shard as the same consumer, and does so again and again for `duration`.
    pub fn take_over(&self, shard: &ShardId, duration: Duration) {
        let now = Instant::now();
        self.with(|state| {
            let current = state.begin(shard, now);
            current.foreign_until = Some(now + duration);
        });
    }

    /// No foreign process subscribes from now on.
    pub fn end_take_overs(&self) {
        self.with(|state| state.shards.values_mut().for_each(|current| current.foreign_until = None));
    }

    /// How often a worker subscribed within five seconds after a subscription of its own.
    #[must_use]
    pub fn early_subscriptions(&self) -> u64 {
        self.with(|state| state.too_early)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The request arrives at the service.
    pub(super) fn subscribe(
        &self,
        faults: &StreamFaults,
        (shard, position): (&ShardId, &StartingPosition),
        (port, random): (u64, u32),
    ) -> Result<(Subscription, Timestamp), FanOutError> {
        let now = Instant::now();
        let (from, opened_in) = self
            .stream
            .with(|stream| {
                let from = read_from(stream, shard, position).map_err(FanOutError::Other)?;
                let is_record = |number: &SequenceNumber| {
                    let records = stream.shard(shard).map(|state| state.records.as_slice()).unwrap_or_default();
                    records.iter().any(|record| record.position.sequence == *number)
                };
                match position {
                    StartingPosition::After(number) if random == 0 && !is_record(number) => Err(FanOutError::Refused),
                    _ => Ok(from),
                }
            })
            .map(|from| (from, self.stream.identity()))?;
        let id = self.with(|state| {
            if let Some(current) = state.shards.get(shard) {
                let is_recent = now < current.begun + MIN_INTERVAL;
                let is_foreign = current.foreign_until.is_some_and(|until| now < until);
                state.too_early += u64::from(is_recent && current.known_to == Some(port));
                if is_recent || is_foreign {
                    return None;
                }
            }
            Some(state.begin(shard, now).id)
        });
        let Some(id) = id else { return Err(FanOutError::InUse) };
        let subscription = Subscription {
            service: self.clone(),
            faults: faults.clone(),
            id,
            shard: shard.clone(),
            opened_in,
            from,
            ends_at: now + self.lifetime,
            trouble: match random {
                1 | 2 => Trouble::Closed(now + self.lifetime / 4 * random),
                3 => Trouble::Silent(now + self.lifetime / 8),
                _ => Trouble::None,
            },
            last_event: now,
        };
        Ok((subscription, self.stream.now()))
    }

    /// A worker got the reply to its subscription.
    pub(super) fn known(&self, subscription: &Subscription, port: u64) {
        self.with(|state| {
            let current = state.shards.get_mut(&subscription.shard).filter(|current| current.id == subscription.id);
            if let Some(current) = current {
                current.known_to = Some(port);
            }
        });
    }
}

impl State {
    /// Begins a subscription, which ends an earlier one.
    fn begin(&mut self, shard: &ShardId, now: Instant) -> &mut Current {
        self.subscriptions += 1;
        let new = Current { id: self.subscriptions, begun: now, foreign_until: None, known_to: None };
        let current = self.shards.entry(shard.clone()).or_insert_with(|| new.clone());
        *current = new;
        current
    }
}

impl Subscription {
    /// The next event; `None` after its lifetime. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Option<ShardEvent>, FanOutError> {
        loop {
            sleep(STEP).await;
            let now = Instant::now();
            let trouble = if self.faults.is_faulty() { self.trouble } else { Trouble::None };
            match trouble {
                // Not even its end is sent.
                Trouble::Silent(from) if now >= from => continue,
                Trouble::Closed(at) if now >= at => return Err(closed()),
                Trouble::None | Trouble::Closed(_) | Trouble::Silent(_) => {}
            }
            let current = self.service.with(|state| state.shards.get(&self.shard).map(|current| current.id));
            if current != Some(self.id) {
                return Err(FanOutError::InUse);
            }
            if now >= self.ends_at {
                return Ok(None);
            }
            match self.faults.active() {
                Some(ReadFault::Partition) => continue,
                Some(ReadFault::ServerError) => return Err(closed()),
                Some(ReadFault::Throttled | ReadFault::Denied) | None => {}
            }
            if let Some(event) = self.event(now)? {
                self.last_event = now;
                return Ok(Some(event));
            }
        }
    }

    /// An event, if there is something to send.
    fn event(&mut self, now: Instant) -> Result<Option<ShardEvent>, FanOutError> {
        let (stream, shard) = (&self.service.stream, &self.shard);
        if stream.identity() != self.opened_in {
            let what = format!("shard {shard}");
            let error = RetrievalError::NotFound { what, source: "its stream was deleted".into() };
            return Err(FanOutError::Other(error));
        }
        let (fetched, newest) = stream.with(|stream| {
            let fetched = shard_state(stream, shard).and_then(|state| self.from.read(state, MAX_RECORDS, false));
            (fetched, stream.next_number)
        });
        let fetched = fetched.map_err(FanOutError::Other)?;
        let is_idle = matches!(&fetched, Fetched::Batch(batch) if batch.records.is_empty());
        if is_idle && now < self.last_event + IDLE_EVENT {
            return Ok(None);
        }
        Ok(Some(match self.faults.strip_end_fields(shard, fetched) {
            Fetched::Batch(batch) => {
                let last = batch.records.last().map(|record| record.position.sequence.clone());
                // Without records it belongs to no record, and lies beyond all records so far.
                let continuation = last.or_else(|| newest.to_string().parse().ok());
                if let Some(number) = &continuation {
                    self.from = ReadFrom::After(number.clone());
                }
                let behind = batch.behind.unwrap_or_default();
                ShardEvent { records: batch.records, continuation, behind, children: Vec::new() }
            }
            Fetched::ShardEnded { children } => {
                ShardEvent { records: Vec::new(), continuation: None, behind: Duration::ZERO, children }
            }
        }))
    }
}

fn closed() -> FanOutError {
    let (doing, source) = ("reading a subscription".to_owned(), "injected fault: connection closed".into());
    FanOutError::Other(RetrievalError::Unavailable { doing, kind: FailureKind::Transient, source })
}

/// One worker's connection to the consumer.
#[derive(Debug)]
struct Port {
    service: ModelFanOut,
    faults: StreamFaults,
    id: u64,
    /// They outlive the sources.
    paces: Mutex<BTreeMap<ShardId, Arc<Mutex<SubscriptionPace>>>>,
    random: Mutex<fastrand::Rng>,
}

#[async_trait]
impl Retrieval for Port {
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        let new = || Arc::new(Mutex::new(SubscriptionPace::new(MIN_INTERVAL, Instant::now())));
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = Arc::clone(paces.entry(shard.clone()).or_insert_with(new));
        let random = self.random.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let link = (self.service.clone(), self.faults.clone(), self.id);
        Ok(Box::new(FanOutSource::new(link, shard.clone(), pace, (position.clone(), random))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ReadLimit;

    #[tokio::test(start_paused = true)]
    async fn a_subscription_is_refused_for_five_seconds_then_taken_over_and_nothing_is_skipped() {
        let stream = MemoryStream::new(1);
        let (service, faults) = (ModelFanOut::new(&stream, Duration::from_secs(8)), StreamFaults::none());
        let shard = stream.open_shards().remove(0);
        let put = |text: &'static str| stream.put("key", text).unwrap().position;
        let mut source = service.port(&faults, 1).open(&shard, &StartingPosition::TrimHorizon).await.unwrap();
        let mut read = Vec::new();
        let mut expected = Vec::new();
        for text in ["one", "two", "three", "four"] {
            expected.push(put(text));
            // Longer than a subscription lasts, and after it a foreign process is faster.
            while read.len() < expected.len() {
                if let Fetched::Batch(batch) = source.next(ReadLimit::bytes(usize::MAX)).await.unwrap() {
                    read.extend(batch.records.into_iter().map(|record| record.position));
                }
            }
            service.take_over(&shard, Duration::ZERO);
            sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(read, expected);
        assert_eq!(service.early_subscriptions(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_refuses_early_subscriptions_and_counts_those_of_one_worker() {
        let stream = MemoryStream::new(1);
        let (service, faults) = (ModelFanOut::new(&stream, Duration::from_secs(300)), StreamFaults::none());
        let shard = stream.open_shards().remove(0);
        let subscribe = || service.subscribe(&faults, (&shard, &StartingPosition::TrimHorizon), (1, u32::MAX));
        let (first, _) = subscribe().unwrap();
        service.known(&first, 1);
        assert!(matches!(subscribe(), Err(FanOutError::InUse)));
        assert_eq!(service.early_subscriptions(), 1);
        sleep(MIN_INTERVAL).await;
        assert!(subscribe().is_ok());
        assert_eq!(service.early_subscriptions(), 1);
    }
}

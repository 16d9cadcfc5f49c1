//! Settings and ports of a worker.

use super::limits::SharedLimits;
use super::renewer_task::Renewers;
use super::status::InputStatus;
use super::stream_state::StreamState;
use crate::domain::{
    ComponentName, DeadLetterStore, DrainLimits, EventHandler, InitialPosition, LeaseStore, RecordFilter,
    RecordTransform, Retrieval, ShardId, StreamDirectory, Timestamp, WorkerId,
};
use crate::resilience::Backoff;
use crate::telemetry::{ShapingMetrics, ShapingResult};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone)]
pub struct Ports {
    pub directory: Arc<dyn StreamDirectory>,
    pub retrieval: Arc<dyn Retrieval>,
    pub leases: Arc<dyn LeaseStore>,
    /// Renew the leases that are held.
    pub renewers: Renewers,
    /// Delivers events to the app.
    pub handler: Arc<dyn EventHandler>,
    /// Where records that are given up are kept.
    pub dead_letters: Option<Arc<dyn DeadLetterStore>>,
}

/// Which records of a shard are delivered one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Those of one partition key.
    #[default]
    Key,
    /// All.
    Shard,
    /// None: they are delivered, and repeated, in any order.
    None,
}

/// What follows when the app reports that it accepted only a part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partial {
    /// The first record that it reports, and all after it in the batch, are sent again (Lambda's rule).
    #[default]
    Lowest,
    /// Only the records that it reports are sent again.
    Exact,
}

/// What happens to a record that is given up while there is no [`DeadLetterStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPoison {
    /// It stays, and so do the records of its key. The others are delivered.
    #[default]
    HaltKey,
    /// The whole shard stays.
    HaltShard,
    /// It is dropped, logged and counted.
    Drop,
}

/// What follows when records may have aged out unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    #[default]
    Continue,
    /// The shard is not read until an operator acts.
    Halt,
}

/// What follows when Kinesis rejects a stored position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidCheckpoint {
    #[default]
    TrimHorizon,
    /// The shard is not read until an operator acts.
    Halt,
    Latest,
}

/// How records are delivered.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    pub order: Order,
    /// Requests to the app that are in flight at the same time for one shard.
    pub concurrency_per_shard: usize,
    /// The same for all shards of the input in this process.
    pub concurrency: usize,
    /// Records from the first that is not accepted to the last that was fetched, per shard. Bounds the duplicates after a
    /// crash.
    pub max_in_flight_records: usize,
    /// Memory for the records of one shard that were fetched and are not accepted.
    pub max_buffered_bytes: usize,
    /// Records in one request.
    pub batch_size: usize,
    /// Bytes of data in one request. A single record may be larger.
    pub batch_bytes: usize,
    /// How long a request waits for more records.
    pub batch_window: Duration,
    /// Whether a batch that failed is halved to find the record that fails.
    pub bisect_on_error: bool,
    /// Pauses between the deliveries of one record.
    pub retry: Backoff,
    /// Deliveries of a record that counted; then it is given up. `None` is no limit.
    pub max_attempts: Option<u32>,
    /// A record that arrived earlier in the stream is given up. `None` is no limit.
    pub max_record_age: Option<Duration>,
    /// A record that the app refuses with one of these statuses is given up.
    pub permanent_statuses: Vec<u16>,
    pub on_poison: OnPoison,
    pub partial: Partial,
    /// After the app was down for this time, the shards are released, so that a worker with a healthy app takes them.
    /// `None` keeps them.
    pub app_down_release: Option<Duration>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            order: Order::Key,
            concurrency_per_shard: 10,
            concurrency: 1_000,
            max_in_flight_records: 10_000,
            max_buffered_bytes: 16 << 20,
            batch_size: 1,
            batch_bytes: 6 << 20,
            batch_window: Duration::ZERO,
            bisect_on_error: false,
            retry: Backoff::millis(100, 30_000),
            max_attempts: None,
            max_record_age: None,
            permanent_statuses: Vec::new(),
            on_poison: OnPoison::HaltKey,
            partial: Partial::Lowest,
            app_down_release: None,
        }
    }
}

/// What happens to records before the app receives them; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct RecordShaping {
    /// Chooses the records that the app receives. Without it these are all.
    pub filter: Option<Arc<dyn RecordFilter>>,
    /// Changes records before they are sent to the app.
    pub transform: Option<Arc<dyn RecordTransform>>,
    /// Counts what happened to records.
    pub metrics: Option<Arc<ShapingMetrics>>,
}

impl RecordShaping {
    pub(super) fn count(&self, result: ShapingResult, records: usize) {
        if let Some(metrics) = &self.metrics {
            (0..records).for_each(|_| metrics.count(result));
        }
    }
}

#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Named in every event.
    pub binding: ComponentName,
    /// Unique among running workers.
    pub worker: WorkerId,
    /// Names the lease table in logs and errors.
    pub lease_table: Arc<str>,
    /// Shared by all workers that the input runs one after another.
    pub stream_state: Arc<StreamState>,
    /// Where to start while there are no leases.
    pub initial_position: InitialPosition,
    /// Another worker may take a lease that was not renewed for this time. Leases are renewed each third of it. All workers
    /// of a lease table must use the same value.
    pub lease_duration: Duration,
    /// The longest time that accepted records wait for their checkpoint while the lease is held.
    pub checkpoint_interval: Duration,
    /// How long a drain after a stop may take. Three quarters of the limit of an urgent one are for the records in flight,
    /// the rest for the lease; the limit of a retirement is for the records in flight alone.
    pub drain_limits: DrainLimits,
    /// The limit of an urgent drain, after another worker requested the lease.
    pub handoff_limit: Duration,
    /// Pauses between the deliveries of one record, and between attempts to read a shard.
    pub retry: Backoff,
    pub delivery: DeliverySettings,
    pub shaping: RecordShaping,
    pub on_gap: OnGap,
    pub on_invalid_checkpoint: OnInvalidCheckpoint,
    pub clock: WallClock,
    /// Shown to operators.
    pub status: InputStatus,
    /// Shared with the other inputs of the process.
    pub limits: SharedLimits,
    /// Seed of every random choice.
    pub seed: u64,
}

impl ConsumerSettings {
    /// The defaults: a lease table named like the binding, LATEST, 10 s leases, a checkpoint each second, 20 s drain,
    /// retries after 100 ms to 30 s, a seed from the worker's id.
    #[must_use]
    pub fn for_binding(binding: ComponentName, worker: WorkerId) -> Self {
        let seed = fnv1a(worker.as_str());
        Self {
            lease_table: binding.as_str().into(),
            binding,
            worker,
            stream_state: Arc::default(),
            initial_position: InitialPosition::Latest,
            lease_duration: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(1),
            drain_limits: DrainLimits { urgent: Duration::from_secs(20), retire: Duration::from_secs(60) },
            handoff_limit: Duration::from_secs(20),
            retry: Backoff::millis(100, 30_000),
            delivery: DeliverySettings::default(),
            shaping: RecordShaping::default(),
            on_gap: OnGap::default(),
            on_invalid_checkpoint: OnInvalidCheckpoint::default(),
            clock: WallClock::system(),
            status: InputStatus::default(),
            limits: SharedLimits::default(),
            seed,
        }
    }

    /// Differs from shard to shard, so that their random pauses differ too.
    pub(super) fn seed_for(&self, shard: &ShardId) -> u64 {
        self.seed ^ fnv1a(shard.as_str())
    }
}

/// The time of day. Tests set their own, so that it agrees with their stream.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "records have a time of arrival by the wall clock")]
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Not cryptographic; it only has to give different seeds for different names.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

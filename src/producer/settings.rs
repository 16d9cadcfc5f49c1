//! Settings of one producer. Names in backticks are fields of the component.

use crate::aggregation::JoinForm;
use crate::resilience::RetryPolicy;
use std::time::Duration;

/// Records in one `PutRecords` (AWS, API reference, `PutRecords`).
pub(super) const MAX_RECORDS: usize = 500;
/// Bytes in one `PutRecords`, partition keys included (AWS, API reference, `PutRecords`).
pub(super) const MAX_BYTES: usize = 10 << 20;
/// So many bytes for one shard close a batch, so that a busy shard is not hit by bursts (as in the collector of the
/// Kinesis Producer Library).
pub(super) const MAX_SHARD_BYTES: usize = 256 << 10;
/// The default of `aggregationMaxSize`, which is that of the Kinesis Producer Library's `AggregationMaxSize`.
pub const DEFAULT_AGGREGATE_SIZE: usize = 51_200;

#[derive(Debug, Clone)]
pub struct ProducerSettings {
    pub batching: Batching,
    /// `maxInFlight`: calls open at once; at least 1. Default 32.
    pub max_in_flight: usize,
    /// `ordering`
    pub ordering: Ordering,
    /// `orderingOnFailure`
    pub ordering_on_failure: OrderingOnFailure,
    /// `aggregation`
    pub aggregation: Aggregation,
    /// `aggregationMaxSize`: payload and partition key of a record that holds several, in bytes; at most
    /// `max_record_size`. Default 51,200.
    pub max_aggregate_size: usize,
    pub rate_limit: RateLimit,
    pub retry: RetryPolicy,
    pub queue: QueueBounds,
    /// `maxRecordSize`: payload and partition key together, in bytes. Default 1 MiB; a stream can be configured for up
    /// to 10 MiB.
    pub max_record_size: usize,
    /// By how much the writer makes records larger; not at all by default.
    pub growth: Growth,
    /// Time limit of one call. Default 5 s.
    pub attempt_timeout: Duration,
    /// Of the random numbers for jitter.
    pub seed: u64,
}

/// The most bytes by which a writer that compresses records makes one larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Growth {
    /// For each record.
    pub record: usize,
    /// For each begun [`BLOCK`](Self::BLOCK) of it; an empty record has one.
    pub block: usize,
}

impl Growth {
    /// The most that a block of deflate holds as it is (RFC 1951, 3.2.4).
    pub const BLOCK: usize = 65_535;

    /// For a record of so many bytes.
    #[must_use]
    pub const fn of(self, size: usize) -> usize {
        let blocks = if size == 0 { 1 } else { size.div_ceil(Self::BLOCK) };
        self.record.saturating_add(self.block.saturating_mul(blocks))
    }

    /// What a record of so many bytes may become.
    #[must_use]
    pub const fn grown(self, size: usize) -> usize {
        size.saturating_add(self.of(size))
    }
}

/// How records share calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// False for `disableBatching`: then each record is sent by its own call.
    pub is_enabled: bool,
    /// `batchingMaxMessages`: records in one call, 1 to 500. Default 500.
    pub max_records: usize,
    /// `batchingMaxSize`: bytes in one call, keys included, at most 10 MiB. Default 10 MiB.
    pub max_bytes: usize,
    /// `batchingMaxPublishDelay`: how long the first record waits for others (linger) while calls are in flight.
    /// Default 5 ms.
    pub max_delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// Order of arrival, best effort.
    #[default]
    None,
    /// Per partition key or explicit hash key: a record is sent after the one before it is completed.
    Key,
    /// As `Key`, by `PutRecord` with the sequence number of the record before, so that sequence numbers strictly
    /// increase.
    Strict,
}

/// What happens to later records of a key when one failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderingOnFailure {
    /// They are sent.
    #[default]
    Continue,
    /// They are refused (`Conflict`) for this long (`orderingStopWindow`).
    Stop(Duration),
}

/// Which records are packed together, and in which form: `Key` and `Shard` in that of the Kinesis Producer Library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    #[default]
    None,
    /// Records of one partition key.
    Key,
    /// Records that belong to one shard by the last listing of the shards.
    Shard,
    /// Records of one partition key and explicit hash key, in a form that needs no library to be read. The payload of each
    /// record must be a [`JoinForm::member`].
    Joined(JoinForm),
}

/// The write limits of each shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// `rateLimitMode`
    pub mode: RateLimitMode,
    /// `maxRecordsPerShardPerSecond`, default 1,000.
    pub records_per_second: u32,
    /// `maxBytesPerShardPerSecond`, default 1 MiB.
    pub bytes_per_second: u32,
    /// `shards`: how many there are, where they cannot be listed.
    pub shards: Option<u32>,
    /// `shardMapRefreshInterval`, default 5 min.
    pub refresh_every: Duration,
    /// `failIfThrottled`: whether a throttle is returned to the caller without a retry.
    pub fail_if_throttled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitMode {
    Off,
    /// Exactly as configured.
    Fixed,
    /// Lowered after throttles, since others write to the same shards, and raised again with time.
    #[default]
    Adaptive,
}

impl RateLimitMode {
    /// As in the component file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Fixed => "fixed",
            Self::Adaptive => "adaptive",
        }
    }
}

/// Bounds of the queue of one producer. Beyond them callers are refused at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// `maxQueueBytes`, default 64 MiB.
    pub bytes: usize,
    /// `maxQueueRecords`, default 50,000.
    pub records: usize,
}

impl ProducerSettings {
    /// So many bytes for one shard close a batch.
    pub(super) fn max_shard_bytes(&self) -> usize {
        match self.aggregation {
            Aggregation::None => MAX_SHARD_BYTES,
            Aggregation::Key | Aggregation::Shard | Aggregation::Joined(_) => {
                self.max_aggregate_size.max(MAX_SHARD_BYTES)
            }
        }
    }
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            batching: Batching::default(),
            max_in_flight: 32,
            ordering: Ordering::None,
            ordering_on_failure: OrderingOnFailure::Continue,
            aggregation: Aggregation::None,
            max_aggregate_size: DEFAULT_AGGREGATE_SIZE,
            rate_limit: RateLimit::default(),
            retry: RetryPolicy::default(),
            queue: QueueBounds::default(),
            max_record_size: 1 << 20,
            growth: Growth::default(),
            attempt_timeout: Duration::from_secs(5),
            seed: 0,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        let max_delay = Duration::from_millis(5);
        Self { is_enabled: true, max_records: MAX_RECORDS, max_bytes: MAX_BYTES, max_delay }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            mode: RateLimitMode::Adaptive,
            records_per_second: 1_000,
            bytes_per_second: 1 << 20,
            shards: None,
            refresh_every: Duration::from_secs(300),
            fail_if_throttled: false,
        }
    }
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self { bytes: 64 << 20, records: 50_000 }
    }
}

//! What one producer is told; nothing is read from elsewhere.

use crate::resilience::RetryPolicy;
use std::time::Duration;

/// AWS takes this many records in one `PutRecords` (API reference, `PutRecords`).
pub(super) const MOST_RECORDS: usize = 500;
/// AWS takes this many bytes in one `PutRecords`, keys included (API reference, `PutRecords`).
pub(super) const MOST_BYTES: usize = 10 << 20;

/// Settings of one producer.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// How records share calls.
    pub batching: Batching,
    /// `maxInFlight`: calls open at once; at least 1. Default 32.
    pub max_in_flight: usize,
    /// `ordering`
    pub ordering: Ordering,
    /// `orderingOnFailure`
    pub ordering_on_failure: OrderingOnFailure,
    /// `aggregation`
    pub aggregation: Aggregation,
    /// The limits of each shard.
    pub rate_limit: RateLimit,
    /// How failed attempts are repeated.
    pub retry: RetryPolicy,
    /// What may wait.
    pub queue: QueueBounds,
    /// `maxRecordSize`: largest record, payload and key together, in bytes. Default 1 MiB; a stream takes up to 10 MiB
    /// if it is told to.
    pub max_record_size: usize,
    /// Bound of one call of the service. Default 5 s.
    pub attempt_timeout: Duration,
    /// Drives jitter.
    pub seed: u64,
}

/// How records share calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// `disableBatching` turned round: without it each record is a call of its own.
    pub is_enabled: bool,
    /// `batchingMaxMessages`: records in one call, 1 to 500. Default 500.
    pub max_records: usize,
    /// `batchingMaxSize`: bytes in one call, keys included, at most 10 MiB. Default 10 MiB.
    pub max_bytes: usize,
    /// `batchingMaxPublishDelay`: how long the oldest record waits for company while calls are open. Default 5 ms.
    pub max_delay: Duration,
}

/// Which order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// Order of arrival, best effort.
    #[default]
    None,
    /// Per partition key or explicit hash key: a record is sent once the one before it is settled.
    Key,
    /// As `Key`, by `PutRecord` with the number of the record before, so that numbers grow strictly.
    Strict,
}

/// What becomes of later records of a key when one failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderingOnFailure {
    /// They go on.
    #[default]
    Continue,
    /// They are refused (`Conflict`) for this long (`orderingStopWindow`).
    Stop(Duration),
}

/// Which records are packed together in the format of the Kinesis Producer Library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// None.
    #[default]
    None,
    /// Those of one partition key.
    Key,
    /// Those that lead to one shard by what is known of the shards.
    Shard,
}

/// The limits of each shard.
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
    /// `failIfThrottled`: the first throttle is the answer.
    pub fail_if_throttled: bool,
}

/// How a shard's limit is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitMode {
    /// Not at all.
    Off,
    /// As written.
    Fixed,
    /// Lowered by throttles, since others write to the same shards, and raised again with time.
    #[default]
    Adaptive,
}

/// What may wait in one producer; beyond it callers are refused at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// `maxQueueBytes`, default 64 MiB.
    pub bytes: usize,
    /// `maxQueueRecords`, default 50,000.
    pub records: usize,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            batching: Batching::default(),
            max_in_flight: 32,
            ordering: Ordering::None,
            ordering_on_failure: OrderingOnFailure::Continue,
            aggregation: Aggregation::None,
            rate_limit: RateLimit::default(),
            retry: RetryPolicy::default(),
            queue: QueueBounds::default(),
            max_record_size: 1 << 20,
            attempt_timeout: Duration::from_secs(5),
            seed: 0,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        let max_delay = Duration::from_millis(5);
        Self { is_enabled: true, max_records: MOST_RECORDS, max_bytes: MOST_BYTES, max_delay }
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

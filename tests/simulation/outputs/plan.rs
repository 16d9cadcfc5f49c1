//! The configuration of one run, drawn from its seed.

use bindd::aggregation::JoinForm;
use bindd::producer::{
    Aggregation, Batching, DEFAULT_AGGREGATE_SIZE, Growth, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds,
    RateLimit, RateLimitMode, RetryPolicy,
};
use bindd::resilience::Backoff;
use bindd::testing::{SinkFaults, SinkSettings};
use bytes::Bytes;
use std::time::Duration;

/// With `None` there are no faults, no limits and no short timeouts: every record must be stored exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultMode {
    None,
    Faulty,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) faults: FaultMode,
    pub(crate) producer: ProducerSettings,
    pub(crate) sink: SinkSettings,
    /// Whether the producer gets a shard directory.
    pub(crate) has_directory: bool,
    /// Records have no partition key.
    pub(crate) is_keyless: bool,
    pub(crate) callers: u64,
    pub(crate) rounds: u64,
    /// Partition keys of each caller, in addition to the shared ones.
    pub(crate) keys: u64,
    /// The usual size of a payload, in bytes.
    pub(crate) size: usize,
    /// One in so many records ends its batch; 0 for none.
    pub(crate) ends: usize,
    /// The longest pause between two rounds of a caller.
    pub(crate) pause: Duration,
    pub(crate) resharding: Option<Duration>,
    /// When the producer is closed; `None` for after the last caller.
    pub(crate) closes_after: Option<Duration>,
}

impl Plan {
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Self {
        let faults = if random.u32(0..5) == 0 { FaultMode::None } else { FaultMode::Faulty };
        let has_faults = faults == FaultMode::Faulty;
        let is_keyless = random.u32(0..10) == 0;
        // Few records, but near the size limit of a call.
        let is_bulky = random.u32(0..25) == 0;
        let max_record_size = if is_bulky { 1 << 20 } else { random.usize(600..5_000) };
        let producer = producer(random, faults, is_keyless, max_record_size);
        Self {
            faults,
            sink: sink(random, faults, max_record_size),
            producer,
            has_directory: random.u32(0..4) > 0,
            is_keyless,
            callers: if is_bulky { 4 } else { random.u64(1..20) },
            rounds: random.u64(1..8),
            keys: random.u64(1..4),
            size: if is_bulky { 400_000 } else { random.usize(20..300) },
            ends: if random.bool() { random.usize(1..20) } else { 0 },
            pause: Duration::from_millis(random.u64(0..500)),
            resharding: (has_faults && random.bool()).then(|| Duration::from_millis(random.u64(100..2_000))),
            closes_after: (has_faults && random.bool()).then(|| Duration::from_millis(random.u64(0..3_000))),
        }
    }
}

impl Plan {
    pub(crate) fn ends_batch(&self, id: usize) -> bool {
        self.ends > 0 && id.is_multiple_of(self.ends)
    }

    /// The payload of a record, of about `size` bytes.
    pub(crate) fn data(&self, mark: &[u8], id: usize, size: usize) -> Bytes {
        let (start, end): (&[u8], &[u8]) = match self.producer.aggregation {
            Aggregation::Joined(JoinForm::JsonArray) => (b"[\"", b"\"]"),
            Aggregation::None | Aggregation::Key | Aggregation::Shard | Aggregation::Joined(JoinForm::Lines) => {
                (b"", b"")
            }
        };
        let mut data = [start, mark, format!(":{id}:").as_bytes()].concat();
        data.resize(data.len().max(size.saturating_sub(end.len())), b'.');
        data.extend_from_slice(end);
        data.into()
    }
}

fn producer(
    random: &mut fastrand::Rng,
    faults: FaultMode,
    is_keyless: bool,
    max_record_size: usize,
) -> ProducerSettings {
    let ordering = match random.u32(0..3) {
        _ if is_keyless => Ordering::None,
        0 => Ordering::None,
        1 => Ordering::Key,
        _ => Ordering::Strict,
    };
    let aggregation = match random.u32(0..6) {
        _ if is_keyless || ordering == Ordering::Strict => Aggregation::None,
        0 => Aggregation::None,
        1 => Aggregation::Key,
        2 => Aggregation::Joined(JoinForm::Lines),
        3 => Aggregation::Joined(JoinForm::JsonArray),
        _ => Aggregation::Shard,
    };
    let has_faults = faults == FaultMode::Faulty;
    let small_queue = QueueBounds {
        bytes: random.usize(max_record_size..200_000.max(2 * max_record_size)),
        records: random.usize(1..100),
    };
    ProducerSettings {
        batching: batching(random, max_record_size),
        max_in_flight: random.usize(1..33),
        ordering,
        ordering_on_failure: match random.u32(0..4) {
            0 => OrderingOnFailure::Stop(Duration::from_millis(random.u64(1..5_000))),
            _ => OrderingOnFailure::Continue,
        },
        aggregation,
        max_aggregate_size: if random.bool() { DEFAULT_AGGREGATE_SIZE } else { random.usize(1..3_000) },
        rate_limit: if has_faults { rate_limit(random) } else { RateLimit::default() },
        retry: if has_faults { retry(random) } else { RetryPolicy::default() },
        queue: if has_faults && random.u32(0..3) == 0 { small_queue } else { QueueBounds::default() },
        max_record_size,
        growth: Growth::default(),
        attempt_timeout: Duration::from_millis(random.u64(300..5_000)),
        seed: random.u64(..),
    }
}

fn batching(random: &mut fastrand::Rng, max_record_size: usize) -> Batching {
    let usual = Batching { is_enabled: random.u32(0..8) > 0, ..Batching::default() };
    if random.bool() {
        return usual;
    }
    let max_delay = Duration::from_millis(random.u64(0..50));
    Batching {
        max_records: random.usize(1..20),
        max_bytes: random.usize(max_record_size..4 * max_record_size),
        max_delay,
        ..usual
    }
}

fn rate_limit(random: &mut fastrand::Rng) -> RateLimit {
    let modes = [RateLimitMode::Off, RateLimitMode::Fixed, RateLimitMode::Adaptive];
    let usual = RateLimit::default();
    let is_slow = random.u32(0..3) == 0;
    RateLimit {
        mode: modes[random.usize(0..3)],
        records_per_second: if is_slow { random.u32(1..60) } else { usual.records_per_second },
        bytes_per_second: if is_slow { random.u32(500..20_000) } else { usual.bytes_per_second },
        shards: random.bool().then(|| random.u32(1..5)),
        refresh_every: Duration::from_millis(random.u64(200..60_000)),
        fail_if_throttled: random.u32(0..6) == 0,
    }
}

fn retry(random: &mut fastrand::Rng) -> RetryPolicy {
    RetryPolicy {
        max_retries: (random.u32(0..3) == 0).then(|| random.u32(0..4)),
        backoff: Backoff::millis(random.u64(5..60), random.u64(60..2_000)),
        max_elapsed: (random.u32(0..4) == 0).then(|| Duration::from_millis(random.u64(1..4_000))),
    }
}

fn sink(random: &mut fastrand::Rng, faults: FaultMode, max_record_size: usize) -> SinkSettings {
    let has_faults = faults == FaultMode::Faulty;
    let max_latency = Duration::from_millis(random.u64(0..60));
    let faults = if has_faults {
        SinkFaults { calls: random.u32(0..150), entries: random.u32(0..200), max_latency }
    } else {
        SinkFaults { max_latency, ..SinkFaults::default() }
    };
    let is_slow = has_faults && random.u32(0..3) == 0;
    let is_narrow = has_faults && random.u32(0..6) == 0;
    SinkSettings {
        shards: random.u32(1..5),
        records_per_second: if is_slow { random.u32(5..100) } else { 100_000 },
        bytes_per_second: if is_slow { random.u32(2_000..50_000) } else { 1 << 30 },
        max_record_size,
        max_call_size: if is_narrow { random.usize(max_record_size / 2..2 * max_record_size) } else { 10 << 20 },
        may_list: random.u32(0..5) > 0,
        may_batch: random.u32(0..6) > 0,
        faults,
        seed: random.u64(..),
    }
}

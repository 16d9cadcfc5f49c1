//! The fields of the output side of a `bindings.aws.kinesis` file, read and checked.

use super::super::retry::RetryConfig;
use super::super::shaping::Expression;
use super::batching_spec::{read_aggregate_size, read_aggregation, read_batching, read_flush};
use super::key_spec::{read_hash_key, read_partition_key};
use super::keys::{HashKeySource, KeySource};
use super::payload::{Compression, PayloadForm};
use crate::aggregation::JoinForm;
use crate::domain::ComponentName;
use crate::manifest::Reader;
use crate::producer::{
    Aggregation, Growth, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds, RateLimit, RateLimitMode,
};
use std::ops::RangeInclusive;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// `backoffInitialInterval` where the file gives none.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// `orderingStopWindow` where the file gives none.
const DEFAULT_STOP_WINDOW: Duration = Duration::from_secs(30);
const DEFAULT_BULK_ITEMS: usize = 10_000;

/// The output side of a Kinesis component.
#[derive(Debug, Clone)]
pub struct OutputSpec {
    /// Settings of the producer; `seed` is set at connect.
    pub producer: ProducerSettings,
    /// `partitionKey`, `partitionKeyFrom`, `partitionKeyExpression`, `recordDistribution`
    pub partition_key: KeySource,
    /// `explicitHashKey`, `explicitHashKeyFrom`, `explicitHashKeyExpression`
    pub explicit_hash_key: HashKeySource,
    /// `rawPayload` and `decodeBase64`
    pub form: PayloadForm,
    /// `compression`, default `none`.
    pub compression: Compression,
    /// `batchingFlushExpression`: whether a record ends its batch.
    pub flush: Option<Expression>,
    /// `requestTimeout`: limit of one invocation with queue, rate limit and retries. Default 10 s, at most
    /// `maxRequestTimeout`.
    pub request_timeout: Duration,
    /// `maxRequestTimeout`: the largest `timeout` that a request may have. Default 1 min, or `requestTimeout` if that
    /// is longer.
    pub max_request_timeout: Duration,
    /// `maxBulkItems`: items in one `bulkCreate`. Default 10,000.
    pub max_bulk_items: usize,
    /// `deadLetterBinding`: the component that receives records that finally failed.
    pub dead_letter: Option<ComponentName>,
    /// `allowRawBody`: a body of `application/octet-stream` is the record itself.
    pub allow_raw_body: bool,
    /// As in daprd, no other operation than `create` is offered.
    pub only_create: bool,
    /// `returnResult`: answer 200 with the result in the body instead of 204.
    pub return_result: bool,
}

impl OutputSpec {
    pub(super) fn read(reader: &mut Reader<'_>, dead_letter: Option<ComponentName>) -> Self {
        let retry = RetryConfig::read(reader, FIRST_WAIT);
        let mut producer = read_producer(reader, retry);
        let partition_key = read_partition_key(reader, &producer);
        let compression = reader.one_of("compression", &Compression::WORDS).unwrap_or_default();
        if matches!(producer.aggregation, Aggregation::Joined(_)) {
            // The producer knows the size before the compression.
            let max = producer.max_record_size;
            producer.growth = compression.growth();
            producer.max_record_size = max.saturating_sub(producer.growth.of(max));
        }
        Self {
            explicit_hash_key: read_hash_key(reader, &partition_key),
            partition_key,
            flush: read_flush(reader, &producer),
            producer,
            form: PayloadForm::for_component(flag(reader, "rawPayload"), flag(reader, "decodeBase64")),
            compression,
            request_timeout: retry.request_timeout,
            max_request_timeout: retry.max_request_timeout,
            max_bulk_items: count(reader, "maxBulkItems", 1..=100_000, DEFAULT_BULK_ITEMS),
            dead_letter,
            allow_raw_body: flag(reader, "allowRawBody"),
            only_create: reader.is_dapr_compat(),
            return_result: flag(reader, "returnResult"),
        }
    }

    /// Whether programs run for each record, beside a transform: for its keys, or the end of its batch.
    pub(super) const fn runs_programs(&self) -> bool {
        self.flush.is_some()
            || matches!(self.partition_key, KeySource::Expression(_))
            || matches!(self.explicit_hash_key, HashKeySource::Expression(_))
    }

    /// Whether the output sends records of several requests in one call, and so needs `PutRecords`.
    #[must_use]
    pub fn shares_calls(&self) -> bool {
        self.producer.batching.is_enabled && self.producer.ordering != Ordering::Strict
    }

    /// How records are joined, if `aggregation` says so.
    pub(super) const fn join_form(&self) -> Option<JoinForm> {
        match self.producer.aggregation {
            Aggregation::None | Aggregation::Key | Aggregation::Shard => None,
            Aggregation::Joined(form) => Some(form),
        }
    }

    /// Whether rate limits or aggregation need the list of shards. If `ListShards` is denied, the output works with what
    /// responses and errors of Kinesis show.
    #[must_use]
    pub fn uses_shard_list(&self) -> bool {
        self.producer.rate_limit.mode != RateLimitMode::Off || self.producer.aggregation == Aggregation::Shard
    }
}

fn read_producer(reader: &mut Reader<'_>, retry: RetryConfig) -> ProducerSettings {
    let default = ProducerSettings::default();
    let ordering =
        reader.one_of("ordering", &[("none", Ordering::None), ("key", Ordering::Key), ("strict", Ordering::Strict)]);
    let ordering = ordering.unwrap_or_default();
    let queue = read_queue(reader);
    let max_record_size = reader.size("maxRecordSize", 1..=10 * MIB).unwrap_or(default.max_record_size);
    if max_record_size > queue.bytes {
        reader.fault("maxQueueBytes", "the queue cannot hold one record of `maxRecordSize`", "raise it");
    }
    let batching = read_batching(reader, retry.request_timeout);
    let aggregation = read_aggregation(reader, ordering, batching);
    ProducerSettings {
        aggregation,
        max_aggregate_size: read_aggregate_size(reader, aggregation, max_record_size),
        batching,
        max_in_flight: count(reader, "maxInFlight", 1..=1_000, default.max_in_flight),
        ordering,
        ordering_on_failure: read_ordering_on_failure(reader, ordering),
        rate_limit: read_rate_limit(reader),
        retry: retry.policy,
        queue,
        max_record_size,
        growth: Growth::default(),
        attempt_timeout: retry.attempt_timeout,
        seed: 0,
    }
}

fn read_queue(reader: &mut Reader<'_>) -> QueueBounds {
    let default = QueueBounds::default();
    QueueBounds {
        bytes: reader.size("maxQueueBytes", KIB..=64 << 30).unwrap_or(default.bytes),
        records: count(reader, "maxQueueRecords", 1..=10_000_000, default.records),
    }
}

fn read_ordering_on_failure(reader: &mut Reader<'_>, ordering: Ordering) -> OrderingOnFailure {
    #[derive(Clone, Copy)]
    enum OnFailure {
        Continue,
        Stop,
    }
    let on_failure =
        reader.one_of("orderingOnFailure", &[("continue", OnFailure::Continue), ("stop", OnFailure::Stop)]);
    let window = reader.duration("orderingStopWindow", MILLISECOND..=24 * HOUR);
    let is_ordered = match ordering {
        Ordering::None => false,
        Ordering::Key | Ordering::Strict => true,
    };
    match on_failure {
        Some(OnFailure::Stop) => {
            if !is_ordered {
                let remedy = "write `ordering: key` or `strict`, or leave it out";
                reader.fault("orderingOnFailure", "`stop` has no effect without an `ordering`", remedy);
            }
            OrderingOnFailure::Stop(window.unwrap_or(DEFAULT_STOP_WINDOW))
        }
        Some(OnFailure::Continue) | None => {
            if reader.is_given("orderingStopWindow") {
                let remedy = "write `orderingOnFailure: stop`, or leave it out";
                reader.fault("orderingStopWindow", "it has an effect only with `orderingOnFailure: stop`", remedy);
            }
            OrderingOnFailure::Continue
        }
    }
}

fn read_rate_limit(reader: &mut Reader<'_>) -> RateLimit {
    let default = RateLimit::default();
    let words = [RateLimitMode::Off, RateLimitMode::Fixed, RateLimitMode::Adaptive].map(|mode| (mode.as_str(), mode));
    let mode = reader.one_of("rateLimitMode", &words).unwrap_or_default();
    let records = reader.number("maxRecordsPerShardPerSecond", 1..=1_000_000).and_then(|max| u32::try_from(max).ok());
    let bytes = reader.size("maxBytesPerShardPerSecond", KIB..=1 << 30).and_then(|max| u32::try_from(max).ok());
    if mode == RateLimitMode::Off {
        for field in ["maxRecordsPerShardPerSecond", "maxBytesPerShardPerSecond"] {
            if reader.is_given(field) {
                reader.fault(field, "it has no effect with `rateLimitMode: off`", "leave one of them out");
            }
        }
    }
    RateLimit {
        mode,
        records_per_second: records.unwrap_or(default.records_per_second),
        bytes_per_second: bytes.unwrap_or(default.bytes_per_second),
        shards: reader.number("shards", 1..=100_000).and_then(|shards| u32::try_from(shards).ok()),
        refresh_every: duration(reader, "shardMapRefreshInterval", SECOND..=24 * HOUR, default.refresh_every),
        fail_if_throttled: flag(reader, "failIfThrottled"),
    }
}

fn flag(reader: &mut Reader<'_>, name: &'static str) -> bool {
    reader.boolean(name).unwrap_or(false)
}

fn duration(
    reader: &mut Reader<'_>,
    name: &'static str,
    range: RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    reader.duration(name, range).unwrap_or(default)
}

fn count(reader: &mut Reader<'_>, name: &'static str, range: RangeInclusive<u64>, default: usize) -> usize {
    reader.number(name, range).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

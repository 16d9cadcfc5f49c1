//! The fields of the output side of a `bindings.aws.kinesis` file, read and checked.

use super::super::retry::RetryConfig;
use super::super::shaping::Expression;
use super::batching_spec::{read_aggregate_size, read_aggregation, read_batching, read_flush};
use super::keys::{HashKeySource, KeySource, hash_key};
use super::payload::{Compression, PayloadForm};
use super::pointer::Pointer;
use crate::aggregation::JoinForm;
use crate::domain::{ComponentName, PartitionKey};
use crate::manifest::Reader;
use crate::producer::{
    Aggregation, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds, RateLimit, RateLimitMode,
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
    /// `partitionKey`, `partitionKeyFrom`, `recordDistribution`
    pub partition_key: KeySource,
    /// `explicitHashKey`, `explicitHashKeyFrom`
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
            producer.max_record_size = max.saturating_sub(compression.max_growth(max));
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
    let words = [("off", RateLimitMode::Off), ("fixed", RateLimitMode::Fixed), ("adaptive", RateLimitMode::Adaptive)];
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

/// daprd documents `partitionKey` for the component, but takes only that of the request.
fn constant_key(reader: &mut Reader<'_>) -> Option<PartitionKey> {
    let key = reader.parsed("partitionKey", |text| {
        text.parse::<PartitionKey>().map_err(|error| (error.to_string(), "shorten it".to_owned()))
    });
    if reader.is_dapr_compat() && key.is_some() {
        reader.notice("partitionKey", "it has no effect, as in daprd; requests may have one in their metadata");
        return None;
    }
    key
}

fn read_partition_key(reader: &mut Reader<'_>, producer: &ProducerSettings) -> KeySource {
    let constant = constant_key(reader);
    let pointer_field = reader.name_or_alias("partitionKeyFrom", "partitionKeyPath");
    let pointer = read_pointer(reader, pointer_field, "partitionKey");
    let words = [("partition-key", false), ("auto", true)];
    let is_auto = reader.one_of("recordDistribution", &words).unwrap_or(false);
    if !is_auto {
        let source = match (constant, pointer) {
            (Some(key), _) => KeySource::Constant(key),
            (None, Some(pointer)) => KeySource::Pointer(pointer),
            (None, None) => KeySource::Random,
        };
        notice_random_keys(reader, &source, producer.aggregation);
        return source;
    }
    let ignored = [
        "partitionKey",
        "partitionKeyFrom",
        "partitionKeyPath",
        "explicitHashKey",
        "explicitHashKeyFrom",
        "explicitHashKeyPath",
    ];
    for field in ignored {
        if reader.is_given(field) {
            let problem = "with `recordDistribution: auto` records have no keys";
            reader.fault(field, problem, "leave it out, or leave `recordDistribution` out");
        }
    }
    let needs_keys =
        [("ordering", producer.ordering != Ordering::None), ("aggregation", producer.aggregation != Aggregation::None)];
    for (field, _) in needs_keys.iter().filter(|(_, needs)| *needs) {
        let problem = "it needs keys, and with `recordDistribution: auto` there are none";
        reader.fault(field, problem, "leave one of them out");
    }
    KeySource::None
}

/// Records with different keys are not aggregated by key.
fn notice_random_keys(reader: &mut Reader<'_>, source: &KeySource, aggregation: Aggregation) {
    let is_by_key = match aggregation {
        Aggregation::Key | Aggregation::Joined(_) => true,
        Aggregation::None | Aggregation::Shard => false,
    };
    if is_by_key && *source == KeySource::Random {
        let text = "it needs records with the same key, and without `partitionKey` or `partitionKeyFrom` those whose \
                    request names none get a random one";
        reader.notice("aggregation", text);
    }
}

fn read_hash_key(reader: &mut Reader<'_>, partition_key: &KeySource) -> HashKeySource {
    let constant = reader.parsed("explicitHashKey", |text| {
        hash_key(text)
            .ok_or_else(|| ("this is not a hash key".to_owned(), "write a decimal number below 2^128".to_owned()))
    });
    let pointer_field = reader.name_or_alias("explicitHashKeyFrom", "explicitHashKeyPath");
    let pointer = read_pointer(reader, pointer_field, "explicitHashKey");
    match (partition_key, constant, pointer) {
        (KeySource::None, _, _) | (_, None, None) => HashKeySource::None,
        (_, Some(key), _) => HashKeySource::Constant(key),
        (_, None, Some(pointer)) => HashKeySource::Pointer(pointer),
    }
}

/// Reads a JSON pointer. It excludes the constant of the same key.
fn read_pointer(reader: &mut Reader<'_>, field: &'static str, constant: &str) -> Option<Pointer> {
    let pointer = reader.parsed(field, |text| {
        let remedy = || "write one such as `/order/customer`".to_owned();
        text.parse::<Pointer>().map_err(|error| (error.to_string(), remedy()))
    });
    if reader.is_given(field) && reader.is_given(constant) {
        let problem = format!("`{constant}` is given too, and only one of them can be used");
        reader.fault(field, problem, "leave one of them out");
    }
    pointer
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

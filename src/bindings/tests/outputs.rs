//! Fields of the output side of Kinesis components.

use super::super::kinesis::{Compression, HashKeySource, KeySource, OutputSpec, PayloadForm};
use super::tests::{check_text, component};
use super::{CheckResult, Spec};
use crate::aggregation::JoinForm;
use crate::producer::{
    Aggregation, Batching, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds, RateLimitMode,
};
use crate::resilience::Backoff;
use std::time::Duration;

fn kinesis(items: &[(&str, &str)]) -> CheckResult {
    let items = [&[("streamName", "orders")], items].concat();
    check_text(&component("out", "bindings.aws.kinesis", &items))
}

fn output(items: &[(&str, &str)]) -> OutputSpec {
    let result = kinesis(items);
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{}\n{:?}", result.faults, result.notices);
    match result.components.into_iter().next().unwrap().spec {
        Spec::Kinesis(spec) => spec.output,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_file_gets_the_defaults_of_the_producer() {
    let spec = output(&[]);
    assert_eq!(format!("{:?}", spec.producer), format!("{:?}", ProducerSettings::default()));
    assert_eq!((spec.partition_key, spec.explicit_hash_key), (KeySource::Random, HashKeySource::None));
    assert_eq!((spec.form, spec.compression, spec.max_bulk_items), (PayloadForm::Text, Compression::None, 10_000));
    assert_eq!((spec.request_timeout, spec.max_request_timeout), (Duration::from_secs(10), Duration::from_secs(60)));
    assert!(spec.dead_letter.is_none() && !spec.allow_raw_body && !spec.return_result);
}

#[test]
fn a_full_file_is_read() {
    let spec = output(&[
        ("batchingMaxMessages", "100"),
        ("batchingMaxSize", "5Mi"),
        ("batchingMaxPublishDelay", "20ms"),
        ("maxInFlight", "8"),
        ("ordering", "key"),
        ("orderingOnFailure", "stop"),
        ("orderingStopWindow", "1m"),
        ("aggregation", "key"),
        ("partitionKeyPath", "/order/customer"),
        ("explicitHashKey", "17"),
        ("recordDistribution", "partition-key"),
        ("rateLimitMode", "fixed"),
        ("maxRecordsPerShardPerSecond", "500"),
        ("maxBytesPerShardPerSecond", "512Ki"),
        ("shards", "4"),
        ("shardMapRefreshInterval", "1m"),
        ("failIfThrottled", "true"),
        ("maxRetries", "0"),
        ("backOffInitialInterval", "10ms"),
        ("backoffMaxInterval", "1s"),
        ("backoffMaxElapsedTime", "3s"),
        ("requestTimeout", "4s"),
        ("maxRequestTimeout", "8s"),
        ("attemptTimeout", "2s"),
        ("maxQueueBytes", "32Mi"),
        ("maxQueueRecords", "1000"),
        ("maxRecordSize", "10Mi"),
        ("maxBulkItems", "50"),
        ("decodeBase64", "true"),
        ("compression", "gzip"),
        ("allowRawBody", "true"),
        ("returnResult", "true"),
    ]);
    let settings = spec.producer;
    let max_delay = Duration::from_millis(20);
    assert_eq!(settings.batching, Batching { is_enabled: true, max_records: 100, max_bytes: 5 << 20, max_delay });
    assert_eq!((settings.max_in_flight, settings.ordering), (8, Ordering::Key));
    assert_eq!(settings.ordering_on_failure, OrderingOnFailure::Stop(Duration::from_secs(60)));
    assert_eq!(settings.aggregation, Aggregation::Key);
    let limit = settings.rate_limit;
    assert_eq!((limit.mode, limit.records_per_second, limit.bytes_per_second), (RateLimitMode::Fixed, 500, 512 << 10));
    assert_eq!((limit.shards, limit.refresh_every, limit.fail_if_throttled), (Some(4), Duration::from_secs(60), true));
    assert_eq!((settings.retry.max_retries, settings.retry.backoff), (Some(0), Backoff::millis(10, 1_000)));
    assert_eq!(settings.retry.max_elapsed, Some(Duration::from_secs(3)));
    assert_eq!(settings.queue, QueueBounds { bytes: 32 << 20, records: 1_000 });
    assert_eq!((settings.max_record_size, settings.attempt_timeout), (10 << 20, Duration::from_secs(2)));
    assert_eq!(spec.partition_key, KeySource::Pointer("/order/customer".parse().unwrap()));
    assert_eq!((spec.explicit_hash_key, spec.max_bulk_items), (HashKeySource::Constant(17), 50));
    assert_eq!((spec.form, spec.compression), (PayloadForm::Base64, Compression::Gzip));
    assert_eq!((spec.request_timeout, spec.max_request_timeout), (Duration::from_secs(4), Duration::from_secs(8)));
    assert!(spec.allow_raw_body && spec.return_result);
}

#[test]
fn values_that_mean_no_limit_are_read_as_such() {
    let spec = output(&[("maxRetries", "-1"), ("backoffMaxElapsedTime", "0"), ("disableBatching", "yes")]);
    assert_eq!((spec.producer.retry.max_retries, spec.producer.retry.max_elapsed), (None, None));
    assert!(!spec.producer.batching.is_enabled);
    let slow = output(&[("backoffInitialInterval", "5s")]).producer.retry.backoff;
    assert_eq!(slow, Backoff::millis(5_000, 5_000), "the default of the cap is raised");
    assert_eq!(output(&[("recordDistribution", "auto")]).partition_key, KeySource::None);
}

#[test]
fn records_are_combined_in_the_form_that_the_file_names() {
    let spec = output(&[("aggregation", "lines"), ("partitionKey", "k"), ("batchingFlushExpression", ".end")]);
    assert_eq!(spec.producer.aggregation, Aggregation::Joined(JoinForm::Lines));
    assert!(spec.flush.is_some() && spec.producer.max_aggregate_size == 51_200);
    let spec = output(&[("aggregation", "json-array"), ("partitionKey", "k"), ("AggregationMaxSize", "1048576")]);
    assert_eq!(spec.producer.aggregation, Aggregation::Joined(JoinForm::JsonArray));
    assert_eq!((spec.producer.max_aggregate_size, spec.producer.max_record_size), (1 << 20, 1 << 20));
    let spec = output(&[("aggregation", "lines"), ("partitionKey", "k"), ("compression", "gzip")]);
    let below = (1 << 20) - spec.producer.max_record_size;
    assert_eq!(below, spec.producer.growth.of(1 << 20), "a record may grow by compression");
    assert_eq!(below, 18 + 17 * 5);
}

#[test]
fn records_with_random_keys_are_never_combined_and_a_notice_says_so() {
    for aggregation in ["key", "lines", "json-array"] {
        let result = kinesis(&[("aggregation", aggregation)]);
        assert!(result.faults.is_empty() && result.notices.len() == 1, "{}\n{:?}", result.faults, result.notices);
        assert!(result.notices[0].to_string().contains("random"), "{}", result.notices[0]);
    }
    assert!(kinesis(&[("aggregation", "shard")]).notices.is_empty(), "a shard has many keys");
}

#[test]
fn fields_that_contradict_each_other_are_a_fault() {
    for (items, field, part) in [
        (&[("backoffInitialInterval", "5s"), ("backoffMaxInterval", "1s")][..], "backoffMaxInterval", "below"),
        (&[("partitionKey", "a"), ("partitionKeyFrom", "/a")], "partitionKeyFrom", "`partitionKey` is given too"),
        (
            &[("explicitHashKey", "1"), ("explicitHashKeyPath", "/a")],
            "explicitHashKeyPath",
            "`explicitHashKey` is given",
        ),
        (&[("partitionKeyFrom", "/a"), ("partitionKeyPath", "/b")], "partitionKeyPath", "means the same"),
        (&[("aggregation", "key"), ("disableBatching", "true")], "aggregation", "without batching"),
        (&[("aggregation", "shard"), ("ordering", "strict")], "aggregation", "strict"),
        (&[("aggregation", "lines"), ("ordering", "strict")], "aggregation", "sends each record alone"),
        (&[("aggregation", "json-array"), ("recordDistribution", "auto")], "aggregation", "it needs keys"),
        (&[("aggregation", "json_array")], "aggregation", "did you mean `json-array`?"),
        (&[("aggregationMaxSize", "50Ki")], "aggregationMaxSize", "no effect without `aggregation`"),
        (&[("aggregation", "shard"), ("aggregationMaxSize", "2Mi")], "aggregationMaxSize", "above `maxRecordSize`"),
        (&[("batchingFlushExpression", ".a |")], "batchingFlushExpression", "line 1, column "),
        (
            &[("batchingFlushExpression", ".a"), ("disableBatching", "true")],
            "batchingFlushExpression",
            "no effect with `disableBatching`",
        ),
        (&[("batchingFlushExpression", ".a"), ("ordering", "strict")], "batchingFlushExpression", "no batches to end"),
        (&[("disableBatching", "true"), ("batchingMaxSize", "1Mi")], "batchingMaxSize", "no effect"),
        (&[("orderingOnFailure", "stop")], "orderingOnFailure", "without an `ordering`"),
        (&[("ordering", "key"), ("orderingStopWindow", "1s")], "orderingStopWindow", "only with"),
        (&[("rateLimitMode", "off"), ("maxRecordsPerShardPerSecond", "5")], "maxRecordsPerShardPerSecond", "no effect"),
        (&[("requestTimeout", "5ms")], "batchingMaxPublishDelay", "not below `requestTimeout`"),
        (&[("maxRecordSize", "4Mi"), ("maxQueueBytes", "2Mi")], "maxQueueBytes", "cannot hold one record"),
        (&[("recordDistribution", "auto"), ("partitionKey", "a")], "partitionKey", "records have no keys"),
        (&[("recordDistribution", "auto"), ("ordering", "key")], "ordering", "there are none"),
        (&[("batchingMaxMessages", "501")], "batchingMaxMessages", "from 1 to 500"),
        (&[("batchingMaxSize", "11Mi")], "batchingMaxSize", "is out of range"),
        (&[("maxRecordSize", "lots")], "maxRecordSize", "is not a size"),
        (&[("maxRetries", "-2")], "maxRetries", "-1 for no limit"),
        (&[("partitionKeyFrom", "order.customer")], "partitionKeyFrom", "begins with `/`"),
        (&[("explicitHashKey", "0x1")], "explicitHashKey", "not a hash key"),
        (&[("ordering", "keys")], "ordering", "did you mean `key`?"),
        (&[("compression", "zstd")], "compression", "`none`, `gzip`"),
        (&[("deadLetterBinding", "a/b c")], "deadLetterBinding", "not the name"),
    ] {
        let faults = kinesis(items).faults;
        assert_eq!(faults.len(), 1, "{items:?}: {faults}");
        let shown = faults.to_string();
        assert!(shown.contains(&format!("field `{field}`")) && shown.contains(part), "{items:?}: {shown}");
    }
}

#[test]
fn names_of_other_tools_get_the_name_to_write() {
    for (foreign, advice) in [
        ("partition_key", "`partitionKey`"),
        ("hash_key", "`explicitHashKey`"),
        ("max_in_flight", "`maxInFlight`"),
        ("batching.count", "`batchingMaxMessages`"),
        ("batching.byte_size", "`batchingMaxSize`"),
        ("batching.period", "`batchingMaxPublishDelay`"),
        ("max_retries", "`maxRetries`"),
        ("backoff.initial_interval", "`backoffInitialInterval`"),
        ("recordMaxBufferedTime", "`batchingMaxPublishDelay`"),
        ("CollectionMaxCount", "`batchingMaxMessages`"),
        ("AggregationEnabled", "`aggregation: shard`"),
        ("batching.check", "`batchingFlushExpression`"),
        ("batching.processors", "`aggregation: lines` or `json-array`"),
        ("credentials.from_ec2_role", "`credentialSource: imds`"),
    ] {
        let result = kinesis(&[(foreign, "1")]);
        assert!(result.faults.is_empty() && result.notices.len() == 1, "{foreign}");
        let notice = result.notices[0].to_string();
        assert!(
            notice.contains(&format!("unknown field `{foreign}`, a name of another tool: write {advice}")),
            "{notice}"
        );
    }
    let result = check_text(&component("out", "bindings.aws.kinesis", &[("stream", "orders")]));
    assert!(result.faults.to_string().contains("field `streamName`: the field is missing"));
    assert!(result.notices[0].to_string().contains("write `streamName`"));
}

#[test]
fn a_dead_letter_binding_must_be_another_output_and_must_not_form_a_loop() {
    let stream = |name: &str, more: &[(&str, &str)]| {
        component(name, "bindings.aws.kinesis", &[&[("streamName", "orders")], more].concat())
    };
    let to = |target| [("deadLetterBinding", target)];
    let table = component("rows", "bindings.aws.dynamodb", &[("table", "letters")]);
    let valid = stream("a", &to("b")) + &stream("b", &to("rows")) + &table;
    assert!(check_text(&valid).faults.is_empty(), "{}", check_text(&valid).faults);
    for (text, count, part) in [
        (stream("a", &to("gone")), 1, "there is no component `gone`"),
        (stream("a", &to("a")), 1, "its dead letters come back to `a`"),
        (stream("a", &to("b")) + &stream("b", &to("a")), 2, "its dead letters come back to `b`"),
        (stream("a", &to("in")) + &stream("in", &[("direction", "input")]), 1, "`in` has no output side"),
        (stream("a", &to("b")) + &stream("b", &[("ordering", "x")]), 1, "field `ordering`"),
        (stream("a", &[("deadLetterBinding", "gone"), ("ordering", "x")]), 2, "there is no component `gone`"),
        (component("a", "bindings.aws.kinesis", &to("gone")), 2, "there is no component `gone`"),
        (
            stream("a", &to("in")) + &stream("in", &[("direction", "input"), ("mode", "x")]),
            2,
            "`in` has no output side",
        ),
        (stream("a", &to("b")) + &component("b", "state.redis", &[]), 1, "there is no component `b`"),
        (stream("a", &to("b")) + &component("b", "bindings.kafka", &[]), 1, "there is no component `b`"),
        (stream("a", &to("b")) + &component("b", "bindings.aws.kinesys", &[]), 1, "unknown kind"),
    ] {
        let faults = check_text(&text).faults;
        assert_eq!(faults.len(), count, "{faults}");
        assert!(faults.to_string().contains(part), "{faults}");
    }
}

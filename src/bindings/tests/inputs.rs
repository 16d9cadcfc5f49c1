//! Fields of the input side of Kinesis components that say how records are delivered.

use super::super::kinesis::{DeadLetterTarget, InputSpec};
use super::tests::{check_text, component};
use super::{CheckResult, Spec};
use crate::consumer::{DeliverySettings, OnGap, OnInvalidCheckpoint, OnPoison, Order};
use crate::domain::{BodyFormat, Decompress, EventContentType, PartialFailures};
use std::time::Duration;

const KIND: &str = "bindings.aws.kinesis";
const INPUT: [(&str, &str); 2] = [("streamName", "orders"), ("direction", "input")];

fn checked(items: &[(&str, &str)]) -> CheckResult {
    check_text(&component("in", KIND, &[&INPUT, items].concat()))
}

fn input(items: &[(&str, &str)]) -> InputSpec {
    let result = checked(items);
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{}\n{:?}", result.faults, result.notices);
    match result.components.into_iter().next().unwrap().spec {
        Spec::Kinesis(spec) => spec.input,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_file_delivers_as_dapr_does() {
    let InputSpec { delivery, checkpoint_interval, on_gap, on_invalid_checkpoint, .. } = input(&[]);
    assert_eq!(format!("{:?}", delivery.settings), format!("{:?}", DeliverySettings::default()));
    assert_eq!(
        (delivery.body, delivery.partial, delivery.decompress),
        (BodyFormat::Raw, PartialFailures::Off, Decompress::Off)
    );
    assert_eq!((delivery.content_type, delivery.dead_letter), (EventContentType::Json, None));
    assert_eq!(checkpoint_interval, Duration::from_secs(1));
    assert_eq!((on_gap, on_invalid_checkpoint), (OnGap::Continue, OnInvalidCheckpoint::TrimHorizon));
}

#[test]
fn a_full_file_is_read() {
    let spec = input(&[
        ("order", "none"),
        ("concurrencyPerShard", "20"),
        ("concurrency", "200"),
        ("maxInFlightRecords", "5000"),
        ("maxBufferedBytes", "8Mi"),
        ("checkpointInterval", "500ms"),
        ("batchSize", "250"),
        ("batchBytes", "1Mi"),
        ("batchWindow", "5s"),
        ("bodyFormat", "lambda"),
        ("partial", "exact"),
        ("bisectOnError", "true"),
        ("maxAttempts", "7"),
        ("maxRecordAge", "12h"),
        ("permanentStatus", "409, 410,422,409"),
        ("deadLetterFolder", "/var/lib/letters"),
        ("decompress", "auto"),
        ("onGap", "halt"),
        ("onInvalidCheckpoint", "latest"),
        ("appDownRelease", "2m"),
    ]);
    let settings = &spec.delivery.settings;
    assert_eq!((settings.order, settings.concurrency_per_shard, settings.concurrency), (Order::None, 20, 200));
    assert_eq!((settings.max_in_flight_records, settings.max_buffered_bytes), (5_000, 8 << 20));
    assert_eq!((settings.batch_size, settings.batch_bytes), (250, 1 << 20));
    assert_eq!((settings.batch_window, settings.bisect_on_error), (Duration::from_secs(5), true));
    assert_eq!((settings.max_attempts, settings.max_record_age), (Some(7), Some(Duration::from_secs(12 * 3_600))));
    assert_eq!(settings.permanent_statuses, [409, 410, 422]);
    assert_eq!(settings.app_down_release, Some(Duration::from_secs(120)));
    assert_eq!((spec.delivery.body, spec.delivery.partial), (BodyFormat::Lambda, PartialFailures::Exact));
    assert_eq!(spec.delivery.decompress, Decompress::Auto);
    assert_eq!(spec.delivery.dead_letter, Some(DeadLetterTarget::Folder("/var/lib/letters".into())));
    assert_eq!((spec.on_gap, spec.on_invalid_checkpoint), (OnGap::Halt, OnInvalidCheckpoint::Latest));
    assert_eq!(spec.checkpoint_interval, Duration::from_millis(500));
}

#[test]
fn defaults_follow_the_format() {
    for (format, size, partial) in [
        ("raw", 1, PartialFailures::Off),
        ("cloudevents", 1, PartialFailures::Off),
        ("lambda", 100, PartialFailures::Lowest),
        ("cloudevents-batch", 100, PartialFailures::Exact),
        ("ndjson", 100, PartialFailures::Off),
    ] {
        let delivery = input(&[("bodyFormat", format)]).delivery;
        assert_eq!((delivery.settings.batch_size, delivery.partial), (size, partial), "{format}");
    }
    let none = input(&[("maxAttempts", "-1"), ("maxRecordAge", "-1")]).delivery.settings;
    assert_eq!((none.max_attempts, none.max_record_age), (None, None));
    let poison = |word| input(&[("onPoison", word), ("maxAttempts", "3")]).delivery.settings.on_poison;
    assert_eq!(
        [poison("halt-key"), poison("halt-shard"), poison("drop-counted")],
        [OnPoison::HaltKey, OnPoison::HaltShard, OnPoison::Drop]
    );
    let content_type = |text| input(&[("contentType", text)]).delivery.content_type;
    assert_eq!(content_type("auto"), EventContentType::Auto);
    assert_eq!(content_type("text/csv; header=present"), EventContentType::Fixed("text/csv; header=present".into()));
}

#[test]
fn fields_that_are_wrong_or_have_no_effect_are_faults() {
    let batch = ("bodyFormat", "lambda");
    let limit = ("maxAttempts", "3");
    /// Fields, the one with the fault, and a part of the message.
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, &'c str);
    let cases: [Case<'_>; 34] = [
        (&[("order", "keys")], "order", "did you mean `key`?"),
        (
            &[("order", "shard"), ("concurrencyPerShard", "2")],
            "concurrencyPerShard",
            "one request of a shard after the other",
        ),
        (&[("concurrencyPerShard", "1001")], "concurrencyPerShard", "from 1 to 1000"),
        (&[("concurrency", "0")], "concurrency", "from 1 to"),
        (&[("maxInFlightRecords", "0")], "maxInFlightRecords", "from 1 to"),
        (&[("maxBufferedBytes", "1Ki")], "maxBufferedBytes", "is out of range"),
        (&[("checkpointInterval", "5ms")], "checkpointInterval", "is out of range"),
        (&[("batchSize", "2")], "batchSize", "carries one record; write `bodyFormat: lambda`"),
        (&[("batchSize", "10"), ("bodyFormat", "cloudevents")], "batchSize", "carries one record"),
        (&[("batchWindow", "1s")], "batchWindow", "carries one record"),
        (&[("batchBytes", "1Mi")], "batchBytes", "carries one record"),
        (&[("bisectOnError", "true")], "bisectOnError", "carries one record"),
        (&[batch, ("batchSize", "1"), ("bisectOnError", "true")], "bisectOnError", "no effect with `batchSize: 1`"),
        (&[batch, ("batchSize", "10001")], "batchSize", "from 1 to 10000"),
        (&[batch, ("batchWindow", "301s")], "batchWindow", "is out of range"),
        (&[batch, ("maxInFlightRecords", "50")], "batchSize", "above `maxInFlightRecords`"),
        (&[batch, ("batchBytes", "2Mi"), ("maxBufferedBytes", "1Mi")], "batchBytes", "above `maxBufferedBytes`"),
        (&[("bodyFormat", "json")], "bodyFormat", "`ndjson`"),
        (&[("partial", "exact")], "partial", "carries one record"),
        (&[batch, ("contentType", "text/plain")], "contentType", "its own content type"),
        (&[("contentType", "json")], "contentType", "not a media type"),
        (&[("contentType", "text/plain; a=ä")], "contentType", "not a media type"),
        (&[("maxAttempts", "0")], "maxAttempts", "-1 is no limit"),
        (&[("maxRecordAge", "9000h")], "maxRecordAge", "out of range"),
        (&[("permanentStatus", "409,503")], "permanentStatus", "asks for a later attempt"),
        (&[("permanentStatus", "409, 200")], "permanentStatus", "`200` is not the status of a refusal"),
        (&[("permanentStatus", "409, 410,")], "permanentStatus", "`409, 410,` has an empty entry"),
        (&[("onPoison", "halt-key")], "onPoison", "no record is ever given up"),
        (
            &[("onPoison", "halt-key"), limit, ("deadLetterFolder", "/x")],
            "onPoison",
            "no effect with `deadLetterFolder`",
        ),
        (&[("decompress", "zstd")], "decompress", "`gzip`"),
        (&[("onGap", "stop")], "onGap", "write one of"),
        (&[("route", "http://localhost/orders")], "route", "not a path"),
        (&[("route", "../orders")], "route", "not a path"),
        (&[("appDownRelease", "10ms")], "appDownRelease", "is out of range"),
    ];
    for (items, field, part) in cases {
        let faults = checked(items).faults;
        assert_eq!(faults.len(), 1, "{items:?}: {faults}");
        let shown = faults.to_string();
        assert!(shown.contains(&format!("field `{field}`")) && shown.contains(part), "{items:?}: {shown}");
    }
}

#[test]
fn a_dead_letter_binding_serves_the_input_too() {
    let target = component("letters", KIND, &[("streamName", "letters"), ("direction", "output")]);
    let own = [&INPUT[..], &[("deadLetterBinding", "letters"), ("maxAttempts", "3")]].concat();
    let with_folder = [&own[..], &[("deadLetterFolder", "/x")]].concat();
    let result = check_text(&(component("in", KIND, &with_folder) + &target));
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{}\n{:?}", result.faults, result.notices);
    let Spec::Kinesis(spec) = &result.components[0].spec else { panic!("{:?}", result.components) };
    let both = DeadLetterTarget::Binding { target: "letters".parse().unwrap(), oversize: Some("/x".into()) };
    assert_eq!(spec.input.delivery.dead_letter, Some(both));

    let problem = |own: &[(&str, &str)], target: &str| {
        let result = check_text(&(component("in", KIND, own) + target));
        let notices: Vec<String> = result.notices.iter().map(ToString::to_string).collect();
        (result.faults.to_string(), notices.join("\n"))
    };
    let without_limit = [&INPUT[..], &[("deadLetterBinding", "letters")]].concat();
    // A Resiliency policy may give records up.
    let (faults, notices) = problem(&without_limit, &target);
    assert!(faults.is_empty() && notices.contains("only with a retry policy of a Resiliency document"), "{notices}");
    let folder_only = [&INPUT[..], &[("deadLetterFolder", "/x")]].concat();
    let (faults, notices) = problem(&folder_only, "");
    assert!(faults.is_empty() && notices.contains("field `deadLetterFolder`: it has an effect only"), "{notices}");
    assert!(problem(&own, "").0.contains("there is no component `letters`"));
    let table = component("letters", "bindings.aws.dynamodb", &[("table", "letters")]);
    let [stream, _] = INPUT;
    let as_output = [stream, ("direction", "output"), ("deadLetterBinding", "letters"), ("maxAttempts", "3")];
    let as_output = as_output.to_vec();
    for (own, target, limit) in [
        (&own, &target, Some("records of up to 1024 KiB (its `maxRecordSize`)")),
        (&own, &table, Some("items of up to 400 KiB")),
        (&with_folder, &table, None),
        (&as_output, &table, None),
    ] {
        let (faults, notices) = problem(own, target);
        let notice = notices.lines().find(|line| line.contains("add `deadLetterFolder`"));
        assert_eq!((faults.as_str(), notice.is_some()), ("", limit.is_some()), "{own:?} {notices}");
        assert!(notice.zip(limit).is_none_or(|(notice, limit)| notice.contains(limit)), "{notices}");
    }
}

#[test]
fn dead_letters_that_the_input_reads_again_are_a_fault_or_a_notice() {
    let target = |stream: &str, region: &str| {
        component("letters", KIND, &[("streamName", stream), ("direction", "output"), ("region", region)])
    };
    let own = |direction| {
        let items =
            [("streamName", "orders"), ("region", "eu-west-1"), ("deadLetterBinding", "letters"), ("maxAttempts", "3")];
        component("in", KIND, &[&items[..], direction].concat())
    };
    let again = "component `letters` writes to the stream that the input reads";
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    for (direction, stream, region, is_fault, is_notice) in [
        (&[("direction", "input")][..], "orders", "eu-west-1", true, false),
        (&[("direction", "input, output")], arn, "eu-west-1", true, false),
        (&[], "orders", "eu-west-1", false, true),
        (&[("direction", "output")], "orders", "eu-west-1", false, false),
        (&[("direction", "input")], "orders", "eu-north-1", false, false),
        (&[("direction", "input")], "letters", "eu-west-1", false, false),
    ] {
        let result = check_text(&(own(direction) + &target(stream, region)));
        let notices = result.notices.iter().any(|notice| notice.to_string().contains(again));
        let faults = result.faults.to_string();
        assert_eq!(
            (faults.contains(again), notices),
            (is_fault, is_notice),
            "{direction:?} {stream} {region}: {faults}"
        );
    }
}

#[test]
fn names_of_lambda_and_the_kcl_get_the_name_to_write() {
    for (foreign, advice) in [
        ("MaximumBatchingWindowInSeconds", "`batchWindow`"),
        ("ParallelizationFactor", "`concurrencyPerShard`"),
        ("MaximumRetryAttempts", "`maxAttempts`"),
        ("MaximumRecordAgeInSeconds", "`maxRecordAge`"),
        ("BisectBatchOnFunctionError", "`bisectOnError`"),
        ("FunctionResponseTypes", "`partial: lowest`"),
        ("StartingPosition", "`initialPosition`"),
        ("DestinationConfig", "`deadLetterBinding`"),
        ("failoverTimeMillis", "`leaseDuration`"),
        ("checkpoint_limit", "`maxInFlightRecords`"),
        ("commit_period", "`checkpointInterval`"),
    ] {
        let result = checked(&[(foreign, "1")]);
        assert!(result.faults.is_empty() && result.notices.len() == 1, "{foreign}");
        let notice = result.notices[0].to_string();
        assert!(notice.contains("a name of another tool: write") && notice.contains(advice), "{notice}");
    }
}

#[test]
fn a_transform_gives_records_up_so_that_it_needs_no_other_limit() {
    for more in [("onPoison", "halt-shard"), ("deadLetterFolder", "/var/lib/letters")] {
        input(&[("transform", ".order"), more]);
    }
    assert!(!checked(&[("filter", "{\"data\": [{\"exists\": true}]}"), ("onPoison", "halt-shard")]).faults.is_empty());
}

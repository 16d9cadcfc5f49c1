//! Files as an operator would write them, checked against the catalog.

use super::super::kinesis::{Mode, PayloadForm};
use super::{CheckResult, Spec, check};
use crate::domain::{Direction, InitialPosition, Timestamp};
use crate::manifest::{Environment, LoadRequest, load};
use secrecy::ExposeSecret;
use std::num::NonZeroUsize;
use std::time::Duration;

pub(super) struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

#[test]
fn the_list_of_kinds_is_that_of_the_types_that_files_may_have() {
    let kinds: Vec<String> = super::KINDS.iter().map(|kind| format!("`{}`", kind.type_name)).collect();
    assert_eq!(kinds.join(", "), crate::manifest::served_bindings());
}

/// Checks the components of one file.
pub(super) fn check_text(text: &str) -> CheckResult {
    check_text_as(Some("shop"), text)
}

/// As the app with this id.
pub(super) fn check_text_as(app_id: Option<&str>, text: &str) -> CheckResult {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    check(load(&LoadRequest { paths: &paths, app_id, namespace: None, environment: &Empty }))
}

/// A document of a file. `more` are further lines of `spec`.
fn document(name: &str, kind: &str, more: &str, items: &[(&str, &str)]) -> String {
    let items: Vec<_> = items.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
    let items = serde_json::Value::from(items);
    format!(
        "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n{more}  \
         metadata: {items}\n"
    )
}

pub(super) fn component(name: &str, kind: &str, items: &[(&str, &str)]) -> String {
    document(name, kind, "  version: v1\n", items)
}

pub(super) fn check_component(kind: &str, more: &str, items: &[(&str, &str)]) -> CheckResult {
    check_text(&document("x", kind, more, items))
}

pub(super) fn kinesis(items: &[(&str, &str)]) -> CheckResult {
    check_component("bindings.aws.kinesis", "  version: v1\n", items)
}

fn kinesis_spec(items: &[(&str, &str)]) -> super::super::kinesis::Spec {
    let result = kinesis(items);
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{}\n{:?}", result.faults, result.notices);
    match result.components.into_iter().next().unwrap().spec {
        Spec::Kinesis(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_kinesis_file_is_read() {
    let spec = kinesis_spec(&[
        ("streamname", "orders"),
        ("consumerName", "till"),
        ("mode", "extended"),
        ("region", "eu-central-1"),
        ("endpoint", "http://localhost:4566"),
        ("accessKey", "AK"),
        ("secretKey", "SK"),
        ("sessionToken", "ST"),
        ("partitionKey", "p"),
        ("direction", "Input, output"),
        ("route", "in/orders"),
        ("maxConnections", "8"),
        ("connectTimeout", "2"),
        ("connectionIdleTimeout", "1m"),
        ("leaseDuration", "500ms"),
        ("requestTimeout", "3s"),
        ("leaseTable", "leases"),
        ("leaseEndpoint", "http://127.0.0.1:8000"),
        ("rawPayload", "yes"),
        ("decodeBase64", "off"),
        ("initialPosition", "at_timestamp"),
        ("initialTimestamp", "2026-01-31T08:00:00Z"),
    ]);
    assert_eq!(
        (spec.stream.name(), spec.input.consumer_name.as_deref(), spec.input.mode),
        ("orders", Some("till"), Mode::Extended)
    );
    assert_eq!((spec.direction, spec.input.route.as_deref()), (Direction::Both, Some("/in/orders")));
    let credentials = spec.connection.credentials.unwrap();
    assert_eq!((credentials.access_key.as_str(), credentials.secret_key.expose_secret()), ("AK", "SK"));
    assert_eq!(spec.connection.max_connections, NonZeroUsize::new(8));
    assert_eq!(spec.connection.connect_timeout, Duration::from_secs(2));
    assert_eq!(
        (spec.input.lease_duration, spec.output.request_timeout),
        (Duration::from_millis(500), Duration::from_secs(3))
    );
    assert_eq!(spec.output.form, PayloadForm::Content);
    let timestamp = Timestamp::from_millis(1_769_846_400_000);
    assert_eq!(spec.input.initial_position, InitialPosition::AtTimestamp(timestamp));
}

#[test]
fn a_short_kinesis_file_gets_the_defaults() {
    let spec =
        kinesis_spec(&[("streamName", "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"), ("tcpKeepAlive", "0")]);
    assert_eq!((spec.stream.name(), spec.connection.region.as_deref()), ("orders", Some("eu-west-1")));
    assert_eq!(
        (spec.input.mode, spec.direction, spec.input.initial_position),
        (Mode::Shared, Direction::Unstated, InitialPosition::Latest)
    );
    assert_eq!(
        (spec.input.lease_duration, spec.output.request_timeout),
        (Duration::from_secs(10), Duration::from_secs(10))
    );
    assert!(spec.connection.credentials.is_none());
}

#[test]
fn every_fault_of_a_file_is_reported_at_once() {
    let long = "k".repeat(257);
    let result = kinesis(&[
        ("streamName", "a b"),
        ("mode", "Extended"),
        ("direction", "inputs"),
        ("region", "Frankfurt"),
        ("endpoint", "localhost:4566"),
        ("accessKey", "AK"),
        ("partitionKey", &long),
        ("leaseDuration", "100ms"),
        ("initialPosition", "at_timestamp"),
        ("rawPayload", "maybe"),
        ("maxConnections", "-1"),
        ("consumerNme", "x"),
        ("leaseTable", "a"),
        ("route", "a b"),
    ]);
    assert!(result.components.is_empty());
    let shown = result.faults.to_string();
    for part in [
        "field `streamName`: `a b`: a stream name has 1 to 128",
        "field `mode`: `Extended` is not known; did you mean `extended`?",
        "field `direction`: `inputs`: this is not a direction; did you mean `input`?",
        "field `region`: `Frankfurt`",
        "field `endpoint`: `localhost:4566`",
        "field `secretKey`: the field is missing, although `accessKey` is given",
        "field `partitionKey`",
        "field `leaseDuration`: `100ms` is out of range",
        "field `initialTimestamp`: `at_timestamp` needs",
        "field `rawPayload`: `maybe` is not a boolean",
        "field `maxConnections`: `-1`",
        "field `leaseTable`",
        "field `route`",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert_eq!(result.faults.len(), 13, "{shown}");
    assert_eq!(result.notices.len(), 1);
    assert!(result.notices[0].to_string().contains("unknown field `consumerNme`, did you mean `consumerName`?"));
}

#[test]
fn a_missing_stream_and_a_region_that_contradicts_the_arn_are_faults() {
    assert!(kinesis(&[]).faults.to_string().contains("field `streamName`: the field is missing"));
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    let shown = kinesis(&[("streamName", arn), ("region", "us-east-1")]).faults.to_string();
    assert!(shown.contains("field `region`: the region differs from `eu-west-1`"), "{shown}");
    let shown = kinesis(&[("streamName", "s"), ("initialTimestamp", "5")]).faults.to_string();
    assert!(shown.contains("only with `at_timestamp`"), "{shown}");
}

#[test]
fn dynamodb_files_are_read() {
    let kind = "Bindings.AWS.DynamoDB";
    for table in ["orders", "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"] {
        let result = check_component(kind, "", &[("table", table)]);
        assert!(result.faults.is_empty(), "{}", result.faults);
        let component = &result.components[0];
        assert_eq!(
            (component.type_name.as_ref(), component.direction(), component.route()),
            ("bindings.aws.dynamodb", Direction::Unstated, None)
        );
        let Spec::DynamoDb(spec) = &component.spec else { panic!("{component:?}") };
        assert_eq!((spec.table.as_str(), spec.connection.endpoint.as_deref()), (table, None));
        assert_eq!(spec.connection.region.is_some(), table != "orders");
    }
    for (items, part) in [
        (vec![("table", "ab")], "3 to 255"),
        (vec![], "field `table`: the field is missing"),
        (vec![("table", "arn:aws:dynamodb:eu-west-1:1:table/orders")], "not the ARN of a table"),
        (vec![("table", "arn:aws:dynamodb:*:123456789012:table/orders")], "does not name one region"),
        (vec![("table", "orders"), ("direction", "input")], "has no input"),
    ] {
        let result = check_component(kind, "", &items);
        assert_eq!(result.faults.len(), 1, "{}", result.faults);
        assert!(result.faults.to_string().contains(part), "{part}: {}", result.faults);
    }
}

#[test]
fn the_etag_attribute_must_not_be_used_for_anything_else() {
    let shown = |items: &[(&str, &str)]| check_component("bindings.aws.dynamodb", "", items).faults.to_string();
    let key = shown(&[("table", "orders"), ("partitionKeyName", "id"), ("etagAttributeName", "id")]);
    assert!(key.contains("field `etagAttributeName`: it is an attribute of the table's key"), "{key}");
    let ttl = shown(&[("table", "orders"), ("ttlAttributeName", "x"), ("etagAttributeName", "x")]);
    assert!(ttl.contains("field `etagAttributeName`: it is also the `ttlAttributeName`"), "{ttl}");
    assert_eq!(shown(&[("table", "orders"), ("partitionKeyName", "id"), ("etagAttributeName", "version")]), "");
}

#[test]
fn a_table_has_the_retry_fields_of_a_stream() {
    let fields =
        [("table", "orders"), ("maxRetries", "-1"), ("backoffMaxElapsedTime", "0"), ("maxResponseSize", "2Mi")];
    let result = check_component("bindings.aws.dynamodb", "", &fields);
    assert!(result.faults.is_empty(), "{}", result.faults);
    let Spec::DynamoDb(spec) = &result.components[0].spec else { panic!("a table") };
    let (retry, size) = (spec.options.retry.policy, spec.options.max_response_size);
    assert_eq!((retry.max_retries, retry.max_elapsed, size), (None, None, 2 << 20));
    assert_eq!(retry.backoff, crate::resilience::Backoff::millis(25, 2_000));
}

fn notices(result: &CheckResult) -> String {
    assert!(result.faults.is_empty(), "{}", result.faults);
    result.notices.iter().map(|notice| format!("{notice}\n")).collect()
}

#[test]
fn exec_and_statements_are_useful_only_together() {
    let shown = |items: &[(&str, &str)]| {
        notices(&check_component("bindings.aws.dynamodb", "", &[&[("table", "orders")], items].concat()))
    };
    let statements = ("statements", r#"{"all": "SELECT * FROM orders"}"#);
    let exec = ("allowedOperations", "get,exec");
    assert!(shown(&[exec]).contains("field `allowedOperations`: it names `exec`"), "{}", shown(&[exec]));
    assert!(shown(&[exec, ("statements", "{}")]).contains("field `allowedOperations`: it names `exec`"));
    assert!(shown(&[statements]).contains("field `statements`: they have no effect"), "{}", shown(&[statements]));
    assert_eq!(shown(&[exec, statements]) + &shown(&[]) + &shown(&[("allowedOperations", "get")]), "");
}

#[test]
fn a_setting_that_the_http_client_does_not_have_gets_a_notice() {
    let shown =
        notices(&check_component("bindings.aws.kinesis", "", &[("streamName", "orders"), ("tcpKeepAlive", "15s")]));
    assert!(shown.contains("field `tcpKeepAlive`: it has no effect") && shown.lines().count() == 1, "{shown}");
}

#[test]
fn of_two_contradicting_timeouts_the_smaller_counts_with_a_notice() {
    for (kind, name) in [("bindings.aws.dynamodb", "table"), ("bindings.aws.kinesis", "streamName")] {
        let checked = |items: &[(&str, &str)]| check_component(kind, "", &[&[(name, "orders")], items].concat());
        let shown = notices(&checked(&[("requestTimeout", "9s"), ("maxRequestTimeout", "3s")]));
        assert!(shown.contains("field `requestTimeout`: it is above `maxRequestTimeout`, so the smaller counts, 3s"));
        let shown = notices(&checked(&[("attemptTimeout", "20s")]));
        assert!(shown.contains("field `attemptTimeout`: it is above `requestTimeout`, so the smaller counts, 10s"));
        // A default that is out of range is adapted without a notice.
        assert_eq!(
            notices(&checked(&[("requestTimeout", "2s")])) + &notices(&checked(&[("maxRequestTimeout", "2s")])),
            ""
        );
    }
    let spec = kinesis_spec(&[("streamName", "orders"), ("maxRequestTimeout", "3s")]);
    assert_eq!(spec.output.request_timeout, Duration::from_secs(3));
}

#[test]
fn fields_of_a_disabled_side_give_a_notice() {
    let items =
        [("streamName", "s"), ("leaseDuration", "1s"), ("ordering", "key"), ("MODE", "shared"), ("maxRetries", "1")];
    let shown = |direction: &'static str| notices(&kinesis(&[&items[..], &[("direction", direction)]].concat()));
    let (input, output) = (shown("input"), shown("output"));
    assert!(input.contains("field `direction`: `input` leaves the output side out"), "{input}");
    assert!(input.contains("`maxRetries`, `ordering`\n") && input.lines().count() == 1, "{input}");
    assert!(output.contains("field `direction`: `output` leaves the input side out"), "{output}");
    assert!(output.contains("`mode`, `leaseDuration`\n") && output.lines().count() == 1, "{output}");
    assert_eq!(shown("input,output") + &notices(&kinesis(&items)), "");
}

#[test]
fn types_and_versions_are_checked() {
    let fault = |kind: &str, more: &str| {
        let result = check_component(kind, more, &[("streamName", "s"), ("table", "tab")]);
        assert!(result.components.is_empty());
        assert_eq!(result.faults.len(), 1, "{}", result.faults);
        result.faults.to_string()
    };
    assert!(
        fault("bindings.aws.kinesys", "")
            .contains("unknown kind `bindings.aws.kinesys`; did you mean `bindings.aws.kinesis`?")
    );
    assert!(fault("bindings.kinesis", "").contains("unknown kind `bindings.kinesis`; "));
    assert!(fault("nonsense", "").contains("`nonsense` is not a type of component"));
    assert!(fault("binding.aws.kinesis", "").contains("did you mean `bindings.aws.kinesis`?"));
    assert!(fault("bindings.aws.kinesis", "  version: v2\n").contains("no version `v2`; write `v1`"));
    for (kind, notes) in [
        ("state.redis", 1),
        ("pubsub.kafka", 1),
        ("bindings.kafka", 1),
        ("bindings.aws.s3", 1),
        ("secretstores.hashicorp.vault", 1),
        ("secretstores.local.env", 0),
    ] {
        let result = check_component(kind, "", &[]);
        assert!(result.components.is_empty() && result.faults.is_empty(), "{}", result.faults);
        assert_eq!(result.notices.len(), notes, "{:?}", result.notices);
    }
}

#[test]
fn faults_of_a_component_that_ignores_errors_are_notices() {
    let result = check_component("bindings.aws.kinesis", "  ignoreErrors: true\n  version: v9\n", &[("mode", "x")]);
    assert!(result.components.is_empty() && result.faults.is_empty(), "{}", result.faults);
    assert_eq!(result.notices.len(), 3, "{:?}", result.notices);
}

#[test]
fn an_unresolved_reference_neither_hides_nor_causes_other_faults() {
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: x}\nspec:\n  type: bindings.aws.kinesis\n  \
                metadata: [{name: streamName, envRef: GONE}, {name: accessKey, value: AK}, \
                {name: secretKey, envRef: GONE}, {name: mode, value: nonsense}]\n";
    let result = check_text(text);
    let fields: Vec<_> = result.faults.iter().filter_map(|fault| fault.field.as_deref()).collect();
    assert_eq!(fields, ["streamName", "secretKey", "mode"], "{}", result.faults);
    assert!(result.components.is_empty() && result.notices.is_empty());
}

#[test]
fn an_endpoint_with_a_password_is_not_repeated() {
    let shown = kinesis(&[("streamName", "s"), ("endpoint", "ftp://me:s3cret@host")]).faults.to_string();
    assert!(shown.contains("field `endpoint`: the value: this is not an http or https URL"), "{shown}");
}

#[test]
fn faults_of_a_disabled_component_are_notices() {
    let wrong = [("streamName", "no such name!"), ("consumerName", "c"), ("region", "moon")];
    let faulty = check_component("bindings.aws.kinesis", "  version: v9\n  disabled: true\n", &wrong);
    let notices: Vec<String> = faulty.notices.iter().map(ToString::to_string).collect();
    assert!(faulty.faults.is_empty() && faulty.components.is_empty() && faulty.left_out.is_empty(), "{notices:?}");
    assert_eq!(faulty.faulty_disabled.len(), 1);
    for part in ["field `spec.version`", "field `streamName`", "field `region`"] {
        let is_about = |notice: &&String| notice.contains(part) && notice.ends_with("while the component is disabled");
        assert_eq!(notices.iter().filter(is_about).count(), 1, "{part}: {notices:?}");
    }
    // The store is needed by nothing that runs.
    let text = document("x", "bindings.aws.dynamodb", "  disabled: true\n", &[])
        .replace("metadata: []", "metadata: [{name: table, secretKeyRef: {name: a}}]\nauth: {secretStore: s}")
        + &component("s", "secretstores.local.file", &[("secretsFile", "/nowhere/x.json")]);
    for (text, count) in [(text.clone(), 0), (text.replace("disabled: true", "disabled: false"), 2)] {
        let result = check_text(&text);
        assert_eq!(result.faults.len(), count, "{}", result.faults);
    }
}

use super::super::super::retry::RetryConfig;
use super::super::super::retry::RetryRunner;
use super::super::options::Options;
use super::super::options::Ttl;
use super::super::request::METADATA_KEYS;
use super::super::table_key::KeyCache;
use super::*;
use crate::aws::{ConnectionSettings, StaticCredentials, connect};
use crate::domain::{DataForm, Metadata, Outcome};
use crate::resilience::{Backoff, Idempotency, RetryPolicy};
use crate::telemetry::Metrics;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(2);

fn options() -> Options {
    let statements = [("remove", "DELETE FROM rows WHERE id = '1'"), ("all", "SELECT * FROM rows")];
    Options {
        key: None,
        codec: super::super::codec::ItemCodec::default(),
        ttl: Some(Ttl { attribute: "ends".to_owned(), default_seconds: None, hide_expired: true }),
        etag_attribute: None,
        consistent_read: false,
        max_page_items: 100,
        max_response_size: 1 << 20,
        allowed: Operation::ALL.to_vec(),
        return_consumed_capacity: false,
        repeat_ambiguous: Idempotency::NotIdempotent,
        statements: statements.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        max_in_flight: 2,
        max_bulk_items: 100,
        retry: RetryConfig {
            request_timeout: TIMEOUT,
            max_request_timeout: TIMEOUT,
            attempt_timeout: TIMEOUT,
            policy: RetryPolicy { max_retries: None, backoff: Backoff::millis(5, 50), max_elapsed: None },
        },
    }
}

/// An output whose connection makes one call at a time. Nothing listens at its address.
async fn output(metrics: &Metrics) -> Output {
    let keys = StaticCredentials { access_key: "key".to_owned(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: Some(keys),
        max_connections: NonZeroUsize::new(1),
        ..ConnectionSettings::default()
    };
    let connection = connect(&settings).await.unwrap();
    let options = options();
    let runner = RetryRunner { policy: options.retry.policy, metrics: metrics.output("rows") };
    let client = connection.dynamodb_within(TIMEOUT);
    let (table, keys) = ("rows".to_owned(), Arc::new(KeyCache::new(None)));
    let context = TableContext { connection, client, table, options, runner, keys, shaper: None };
    let offered = Operation::ALL.map(|operation| operation.as_str().into()).to_vec();
    let metadata_check = MetadataCheck::new("rows", METADATA_KEYS);
    Output { single_attempt: context.single_attempt(), context, offered, metadata_check }
}

async fn invoke(output: &Output, operation: &str, data: &'static str) -> Result<InvokeResponse, BindingError> {
    let (operation, data) = (operation.to_owned(), data.as_bytes().into());
    output.invoke(InvokeRequest { operation, data, form: DataForm::Json, metadata: Metadata::default() }).await
}

fn assert_not_sent(error: &BindingError) {
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone), "{error}");
    assert!(error.message().contains("`maxConnections`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_no_free_connection_is_not_done_at_its_deadline() {
    for (operation, data, writes) in [
        ("create", r#"{"id":"1"}"#, 1),
        ("update", r#"{"key":{"id":"1"},"set":{"a":1}}"#, 1),
        ("delete", r#"{"key":{"id":"1"}}"#, 1),
        ("transact", r#"{"items":[{"delete":{"key":{"id":"1"}}},{"put":{"item":{"id":"2"}}}]}"#, 2),
        ("exec", r#"{"statement":"remove"}"#, 1),
        ("get", r#"{"key":{"id":"1"}}"#, 0),
        ("query", r#"{"keyCondition":"id = :i","values":{":i":"1"}}"#, 0),
        ("list", "{}", 0),
        ("transactGet", r#"{"items":[{"key":{"id":"1"}}]}"#, 0),
        ("exec", r#"{"statement":"all"}"#, 0),
    ] {
        let metrics = Metrics::new();
        let output = output(&metrics).await;
        let _other = output.context.connection.permit().await;
        let until = Instant::now() + TIMEOUT;
        assert_not_sent(&invoke(&output, operation, data).await.unwrap_err());
        assert!(Instant::now() <= until, "{operation}");
        assert_only_refused(&metrics, writes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_elements_of_a_bulk_that_finds_no_free_connection_are_not_done() {
    for (operation, data, writes) in [
        ("bulkCreate", r#"{"items":[{"id":"1"},{"id":"2"}]}"#, 2),
        ("bulkDelete", r#"{"keys":[{"id":"1"},{"id":"2"}]}"#, 2),
        ("bulkGet", r#"{"keys":[{"id":"1"},{"id":"2"}]}"#, 0),
    ] {
        let metrics = Metrics::new();
        let output = output(&metrics).await;
        let _other = output.context.connection.permit().await;
        let until = Instant::now() + TIMEOUT;
        let response = invoke(&output, operation, data).await.unwrap();
        assert!(Instant::now() <= until, "{operation}");
        let results: Vec<serde_json::Value> = serde_json::from_slice(&response.data.unwrap()).unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!((&result["status"], result.get("ambiguous")), (&429.into(), None), "{result}");
            assert!(result["error"].as_str().unwrap().contains("`maxConnections`"), "{result}");
        }
        assert_only_refused(&metrics, writes);
    }
}

#[tokio::test(start_paused = true)]
async fn reading_the_key_waits_for_a_connection_no_longer_than_it_may() {
    let output = output(&Metrics::new()).await;
    let _other = output.context.connection.permit().await;
    let until = Instant::now() + TIMEOUT;
    assert_not_sent(&output.context.describe_key(until).await.unwrap_err());
    assert!(Instant::now() < until);
}

/// No call was made, and each write counts as refused.
fn assert_only_refused(metrics: &Metrics, writes: usize) {
    let page = metrics.page().unwrap();
    assert!(!page.contains("bindd_output_calls_total{"), "{page}");
    for (state, count) in [("refused", writes), ("failed", 0), ("orphaned", 0), ("stored", 0)] {
        let line = format!(r#"bindd_output_records_total{{component="rows",state="{state}"}} {count}"#);
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}

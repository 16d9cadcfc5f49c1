//! Policies of `Resiliency` documents over real sockets: one layer retries, and nothing is lost.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, Event, RecordingApp};
use bindd::settings::{Mode, Settings};
use bindd::testing::{BackendSettings, Faults, NullBackend};
use std::fmt::Write as _;
use std::path::Path;
use tempfile::TempDir;

fn unavailable() -> Faults {
    Faults { call_unavailable: 1.0, ..Faults::default() }
}

/// A `Resiliency` document with these policies for all components, by the names of default policies.
fn document(name: &str, policies: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {{name: {name}}}\nspec:\n  policies: {policies}\n"
    )
}

fn output(folder: &Path, name: &str, kind: &str, fields: &[(&str, &str)]) {
    let mut text =
        format!("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n");
    text.push_str("  version: v1\n  metadata:\n");
    let keys = [("region", "us-east-1"), ("accessKey", "test"), ("secretKey", "test"), ("direction", "output")];
    for (field, value) in keys.iter().chain(fields) {
        writeln!(text, "    - {{name: {field}, value: {value:?}}}").unwrap();
    }
    std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
}

/// A sidecar with a Kinesis and a DynamoDB output to a service that fails, and these policies.
async fn with_outputs(policies: &str, max_retries: &str) -> (NullBackend, TempDir, Sidecar) {
    let backend = NullBackend::start(BackendSettings::default()).await.unwrap();
    let (folder, url) = (TempDir::new().unwrap(), backend.url());
    let own = [
        ("endpoint", url.as_str()),
        ("maxRetries", max_retries),
        ("backoffInitialInterval", "1ms"),
        ("backoffMaxInterval", "2ms"),
        ("requestTimeout", "100s"),
        ("maxRequestTimeout", "100s"),
        ("attemptTimeout", "60s"),
    ];
    output(folder.path(), "orders", "bindings.aws.kinesis", &[&own[..], &[("streamName", "orders")]].concat());
    output(folder.path(), "rows", "bindings.aws.dynamodb", &[&own[..], &[("table", "rows")]].concat());
    if !policies.is_empty() {
        std::fs::write(folder.path().join("resiliency.yaml"), document("shop", policies)).unwrap();
    }
    let sidecar = Sidecar::start(&Settings::local("shop", folder.path())).await.unwrap();
    (backend, folder, sidecar)
}

const RECORD: &str = r#"{"operation": "create", "data": {"id": "1"}, "metadata": {"partitionKey": "1"}}"#;

#[tokio::test]
async fn the_retries_of_a_policy_replace_those_of_the_component() {
    let retries = "{retries: {DefaultRetryPolicy: {duration: 1ms, maxRetries: 3}}}";
    for (policies, calls) in [("", 3), (retries, 4)] {
        let (backend, _folder, sidecar) = with_outputs(policies, "2").await;
        backend.set(unavailable());
        for (number, component) in [(1, "orders"), (2, "rows")] {
            let response = sidecar.invoke(component, RECORD).await;
            assert!(response.status.is_server_error(), "{}", response.text());
            assert_eq!(backend.counts().writes(), number * calls, "{component} with {policies:?}");
        }
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn an_open_breaker_answers_without_a_call_and_the_metadata_names_the_document() {
    let policies = "{circuitBreakers: {DefaultCircuitBreakerPolicy: {trip: consecutiveFailures > 1, timeout: 1h}}}";
    let (backend, _folder, sidecar) = with_outputs(policies, "0").await;
    backend.set(unavailable());
    for _ in 0..2 {
        assert!(sidecar.invoke("orders", RECORD).await.status.is_server_error());
    }
    let calls = backend.counts().writes();
    let response = sidecar.invoke("orders", RECORD).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.field("message"), "error invoking output binding orders: circuit breaker is open");
    assert!(response.header("retry-after").is_some());
    assert_eq!(backend.counts().writes(), calls);
    backend.set(Faults::default());
    assert!(sidecar.invoke("rows", RECORD).await.status.is_success(), "each component has its own breaker");
    let page = calls::get(sidecar.address(), "/v1.0/metadata").await;
    let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(page["resiliencies"], serde_json::json!([{"name": "shop"}]));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_wrong_document_does_not_stop_the_start() {
    let (_backend, folder, sidecar) = with_outputs("{retries: {DefaultRetryPolicy: {policy: linear}}}", "0").await;
    assert!(sidecar.invoke("orders", RECORD).await.status.is_success());
    sidecar.stop().await;
    let mut settings = Settings::local("shop", folder.path());
    settings.config_paths = vec![folder.path().join("missing.yaml")];
    let error = Sidecar::start(&settings).await.unwrap_err().to_string();
    assert!(error.contains("error loading configuration: stat ") && error.contains("no such file"), "{error}");
    settings.mode = Mode::Kubernetes;
    let error = Sidecar::start(&settings).await.unwrap_err().to_string();
    assert!(error.contains("--config names a Configuration resource"), "{error}");
}

#[tokio::test]
async fn a_configuration_denies_components() {
    let (_backend, folder, sidecar) = with_outputs("", "0").await;
    sidecar.stop().await;
    let file = folder.path().join("config").with_extension("conf");
    std::fs::write(&file, "kind: Configuration\nspec: {components: {deny: [bindings.aws.dynamodb]}}\n").unwrap();
    let mut settings = Settings::local("shop", folder.path());
    settings.config_paths = vec![file];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    assert!(sidecar.invoke("orders", RECORD).await.status.is_success());
    let response = sidecar.invoke("rows", RECORD).await;
    assert!(response.text().contains("couldn't find output binding rows"), "{}", response.text());
    sidecar.stop().await;
}

fn deliveries(events: &[Event], text: &str) -> usize {
    events.iter().filter(|event| event.text() == text).count()
}

#[tokio::test]
async fn a_policy_gives_the_pauses_of_an_input_and_never_drops_a_record() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    env.file("resiliency.yaml", &document("shop", "{retries: {DefaultRetryPolicy: {duration: 1ms, maxRetries: 2}}}"));
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Respond(500));
    let all = env.put("orders", "order-", 1).await;
    let sidecar = env.sidecar(Some(&app)).await;
    // By the input's own pauses, which grow, so many deliveries would take minutes.
    app.until("deliveries beyond maxRetries", |events| deliveries(events, &all[0]) >= 30).await;
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&all).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn with_dead_letters_a_policy_limits_the_deliveries() {
    for (policies, status, expected) in [
        ("{retries: {DefaultRetryPolicy: {duration: 1ms, maxRetries: 2}}}", 500, 3),
        ("{retries: {DefaultRetryPolicy: {duration: 1ms, matching: {httpStatusCodes: 503}}}}", 500, 1),
    ] {
        let env = Environment::start().await;
        env.stream("orders", 1).await;
        let letters = TempDir::new().unwrap();
        let fields = [
            ("streamName", "orders"),
            ("consumerName", "orders-in"),
            ("initialPosition", "trim_horizon"),
            ("leaseDuration", "1m"),
            ("direction", "input"),
            ("maxAttempts", "9"),
            ("deadLetterFolder", letters.path().to_str().unwrap()),
        ];
        env.kinesis_component("orders-in", &fields);
        env.file("resiliency.yaml", &document("shop", policies));
        let app = RecordingApp::start().await;
        app.behave(Behaviour::Respond(status));
        let all = env.put("orders", "order-", 1).await;
        let sidecar = env.sidecar(Some(&app)).await;
        bindd::testing::until("the dead letter", async || {
            let files = std::fs::read_dir(letters.path()).unwrap().flatten();
            let is_letter = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "json");
            files.filter(is_letter).count().eq(&1).then_some(())
        })
        .await;
        assert_eq!(deliveries(&app.events(), &all[0]), expected, "{policies}");
        sidecar.stop().await;
    }
}

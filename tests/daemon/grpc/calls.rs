//! What each method does.

use super::{channel, client, request, start_with_outputs};
use crate::calls::get;
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::daemon::Shutdown;
use bindd::protocol::health::HealthCheckRequest;
use bindd::protocol::health::health_check_response::ServingStatus;
use bindd::protocol::health::health_client::HealthClient;
use bindd::protocol::runtime::{GetMetadataRequest, SetMetadataRequest, ShutdownRequest};
use bindd::settings::AppHealthSettings;
use std::time::Duration;
use tonic::{Code, Request};

#[tokio::test]
async fn data_reaches_the_stream_unchanged_and_the_result_comes_back() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let call = request("orders-out", "create", b"\xff not \"JSON\" \0", &[("partitionKey", "me")]);
    let response = client(&sidecar).await.invoke_binding(call).await.unwrap();
    let records = env.records("orders").await;
    assert_eq!(records[0].data.as_ref(), b"\xff not \"JSON\" \0");
    assert_eq!(records[0].partition_key.as_deref(), Some("me"));
    let header = response.metadata().get("metadata.sequencenumber").unwrap().to_str().unwrap().to_owned();
    let body = response.into_inner();
    assert_eq!((body.data.len(), header.as_str()), (0, records[0].sequence_number.as_str()));
    assert_eq!(body.metadata["sequenceNumber"], header);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_record_that_is_filtered_is_told_in_the_metadata() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [
        ("streamName", "orders"),
        ("direction", "output"),
        ("filter", r#"{\"data\": {\"n\": [1]}}"#),
        ("transform", "{n, tenant: $metadata.tenant}"),
    ];
    env.kinesis_component("orders-out", &fields);
    let sidecar = env.sidecar(None).await;
    let mut client = client(&sidecar).await;
    let filtered = client.invoke_binding(request("orders-out", "create", br#"{"n":2}"#, &[])).await.unwrap();
    assert_eq!(filtered.metadata().get("metadata.filtered").unwrap(), "true");
    let body = filtered.into_inner();
    assert_eq!((body.data.len(), body.metadata["filtered"].as_str()), (0, "true"));
    let call = request("orders-out", "create", br#"{"n":1,"x":2}"#, &[("tenant", "acme")]);
    assert!(!client.invoke_binding(call).await.unwrap().into_inner().metadata.contains_key("filtered"));
    assert_eq!(env.records("orders").await[0].data.as_ref(), br#"{"n":1,"tenant":"acme"}"#);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_row_is_written_and_read() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let mut client = client(&sidecar).await;
    let row = br#"{"id":"1","n":12345678901234567890}"#;
    client.invoke_binding(request("orders-table", "create", row, &[])).await.unwrap();
    let item = env.dynamodb.get_item().table_name("rows").key("id", AttributeValue::S("1".into()));
    assert_eq!(item.send().await.unwrap().item.unwrap()["n"], AttributeValue::N("12345678901234567890".into()));
    let get = request("orders-table", "get", br#"{"key":{"id":"1"}}"#, &[]);
    let read = client.invoke_binding(get).await.unwrap().into_inner();
    let read: serde_json::Value = serde_json::from_slice(&read.data).unwrap();
    assert!(read.to_string().contains("12345678901234567890"), "{read}");
    sidecar.stop().await;
}

#[tokio::test]
async fn metadata_of_the_call_is_that_of_the_request() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    let sidecar = env.sidecar(None).await;
    // Names of headers are in lower case, and so is this option.
    let mut call = Request::new(request("orders-out", "create", b"x", &[]));
    call.metadata_mut().insert("timeout", "never".parse().unwrap());
    let refused = client(&sidecar).await.invoke_binding(call).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("timeout"), "{}", refused.message());
    sidecar.stop().await;
}

#[tokio::test]
async fn metadata_is_the_same_over_grpc_and_http() {
    let env = start_with_outputs().await;
    let policies = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: patient}\nspec: {policies: {}}\n";
    std::fs::write(env.folder().join("patient.yaml"), policies).unwrap();
    let app = RecordingApp::start().await;
    let mut settings = env.settings(Some(&app));
    let (interval, timeout) = (Duration::from_secs(65), Duration::from_millis(1_500));
    settings.app_health = Some(AppHealthSettings { path: "/up".to_owned(), interval, timeout, threshold: 4 });
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut client = client(&sidecar).await;
    for (key, value) in [("cliPID", "7"), ("", "ignored")] {
        let set = SetMetadataRequest { key: key.to_owned(), value: value.to_owned() };
        client.set_metadata(set).await.unwrap();
    }
    let metadata = client.get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    let page = get(sidecar.address(), "/v1.0/metadata").await;
    let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!((metadata.id.as_str(), page["id"].as_str()), ("shop", Some("shop")));
    assert_eq!(Some(metadata.runtime_version.as_str()), page["runtimeVersion"].as_str());
    assert_eq!(page["extended"], serde_json::json!(metadata.extended_metadata));
    assert_eq!(metadata.extended_metadata["cliPID"], "7");
    let components: Vec<_> = metadata
        .registered_components
        .iter()
        .map(|component| {
            serde_json::json!({"name": component.name, "type": component.r#type, "version": component.version,
                           "capabilities": component.capabilities})
        })
        .collect();
    assert_eq!((page["components"].as_array(), components.len()), (Some(&components), 2));
    let names: Vec<_> = metadata.resiliencies.iter().map(|policy| serde_json::json!({"name": policy.name})).collect();
    assert_eq!((page["resiliencies"].as_array(), names.len()), (Some(&names), 1));
    assert!(page.get("enabledFeatures").is_none() && metadata.enabled_features.is_empty());
    let app = metadata.app_connection_properties.unwrap();
    assert_eq!((app.protocol.as_str(), app.channel_address.as_str()), ("http", "127.0.0.1"));
    let health = app.health.unwrap();
    let health = serde_json::json!({"healthCheckPath": health.health_check_path,
        "healthProbeInterval": health.health_probe_interval, "healthProbeTimeout": health.health_probe_timeout,
        "healthThreshold": health.health_threshold});
    assert_eq!(page["appConnectionProperties"]["health"], health);
    assert_eq!(health["healthProbeInterval"], "1m5s");
    sidecar.stop().await;
}

#[tokio::test]
async fn the_health_service_answers_without_a_token() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.api_token = Some("let-me-in".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut health = HealthClient::new(channel(sidecar.grpc_address()).await);
    for service in ["", "dapr.proto.runtime.v1.Dapr"] {
        let response = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(response.into_inner().status(), ServingStatus::Serving);
    }
    let unknown = health.check(HealthCheckRequest { service: "x".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_watcher_of_health_learns_of_the_stop() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let mut health = HealthClient::new(channel(sidecar.grpc_address()).await);
    let mut watch = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut statuses = health.watch(request).await.unwrap().into_inner();
        let first = statuses.message().await.unwrap().unwrap();
        (first.status(), statuses)
    };
    let (first, mut statuses) = watch("").await;
    assert_eq!(first, ServingStatus::Serving);
    let (unknown, mut of_unknown) = watch("x").await;
    assert_eq!(unknown, ServingStatus::ServiceUnknown);
    let rest = async {
        let next = statuses.message().await.unwrap().unwrap();
        (next.status(), statuses.message().await.unwrap_err().code(), of_unknown.message().await.unwrap_err().code())
    };
    let (stopped, rest) = tokio::join!(sidecar.stop(), rest);
    assert_eq!((stopped, rest), (Shutdown::Clean, (ServingStatus::NotServing, Code::Unavailable, Code::Unavailable)));
}

#[tokio::test]
async fn a_client_stops_the_sidecar() {
    for (force, expected) in [("false", Shutdown::Clean), ("true", Shutdown::Aborted)] {
        let env = Environment::start().await;
        let sidecar = env.sidecar(None).await;
        let mut client = client(&sidecar).await;
        let mut call = Request::new(ShutdownRequest {});
        call.metadata_mut().insert("dapr-force-shutdown", force.parse().unwrap());
        let (stopped, answered) = tokio::join!(sidecar.serve(), client.shutdown(call));
        assert_eq!((stopped, answered.is_ok()), (expected, true), "force: {force}");
    }
}

#[tokio::test]
async fn calls_are_counted() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut client = client(&sidecar).await;
    client.invoke_binding(request("orders-out", "create", b"1", &[])).await.unwrap();
    client.invoke_binding(request("orders-out", "nothing", b"1", &[])).await.unwrap_err();
    let page = get(sidecar.metrics_address().unwrap(), "/metrics").await;
    for (operation, status) in [("create", 200), ("unknown", 400)] {
        let labels = format!("component=\"orders-out\",operation=\"{operation}\",status=\"{status}\"");
        let line = format!("bindd_output_requests_total{{{labels}}} 1");
        assert!(page.text().contains(&line), "{line} is not in {}", page.text());
    }
    sidecar.stop().await;
}

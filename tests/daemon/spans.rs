//! Spans of calls, deliveries and calls to AWS, as a collector gets them over HTTP.

use crate::access::FakeAws;
use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use crate::grpc;
use bindd::settings::{AppEndpoint, AppProtocol};
use http::Request;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use std::collections::HashMap;
use std::net::SocketAddr;
use tempfile::TempDir;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: HashMap<String, String>,
    has_failed: bool,
}

impl Span {
    fn is(&self, key: &str, value: &str) -> bool {
        self.attributes.get(key).is_some_and(|text| text == value)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All spans that the collector got.
fn spans(collector: &RecordingApp) -> Vec<Span> {
    let requests = collector.events().into_iter().map(|request| {
        assert_eq!((request.route.as_str(), request.header("content-type")), ("v1/traces", "application/x-protobuf"));
        ExportTraceServiceRequest::decode(request.body).unwrap()
    });
    let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    let spans = scopes.flat_map(|scope| scope.spans).map(|span| Span {
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: span.attributes.into_iter().map(|pair| (pair.key, text(pair.value.unwrap().value))).collect(),
        has_failed: span.status.is_some(),
    });
    spans.collect()
}

/// A `Configuration` that sends all spans to this collector.
fn tracing_to(collector: &RecordingApp) -> TempDir {
    let folder = TempDir::new().unwrap();
    let otel = format!("{{endpointAddress: \"{}\", protocol: http, isSecure: false}}", collector.address());
    let text = format!("kind: Configuration\nspec: {{tracing: {{samplingRate: \"1\", otel: {otel}}}}}\n");
    std::fs::write(folder.path().join("config.yaml"), text).unwrap();
    folder
}

fn only<'s>(spans: &'s [Span], what: &str, is_it: impl Fn(&Span) -> bool) -> &'s Span {
    let mut found = spans.iter().filter(|span| is_it(span));
    let one = found.next().unwrap_or_else(|| panic!("no span of {what} in {spans:#?}"));
    assert!(found.next().is_none(), "several spans of {what} in {spans:#?}");
    one
}

fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert!(span.is(key, value), "{key} is not {value} in {span:#?}");
    }
}

#[tokio::test]
async fn a_call_of_aws_is_a_child_of_the_call_of_the_output() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("rows").await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env.dynamodb_component("orders-table", &[("table", "rows")]);
    let collector = RecordingApp::start().await;
    let folder = tracing_to(&collector);
    let mut settings = env.settings(None);
    settings.config_paths = vec![folder.path().join("config.yaml")];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let (http_address, grpc_address) = (sidecar.address(), sidecar.grpc_address());

    let call = Request::post("/v1.0/bindings/orders-table").header("traceparent", PARENT);
    let body = r#"{"operation": "create", "data": {"id": "1"}}"#;
    let answer = calls::send(http_address, call, body).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let mut call = tonic::Request::new(grpc::request("orders-table", "create", br#"{"id": "2"}"#, &[]));
    call.metadata_mut().insert("traceparent", PARENT.parse().unwrap());
    let answer = grpc::client(&sidecar).await.invoke_binding(call).await.unwrap();
    let of_grpc = answer.metadata().get("traceparent").unwrap().to_str().unwrap().to_owned();
    let binary = answer.metadata().get_bin("grpc-trace-bin").unwrap().to_bytes().unwrap();
    let call = tonic::Request::new(grpc::request("orders-table", "create", b"{}", &[]));
    let refusal = grpc::client(&sidecar).await.invoke_binding(call).await.unwrap_err();
    assert!(refusal.metadata().get("traceparent").is_some());
    let call = tonic::Request::new(grpc::request("orders-out", "create", b"data", &[("partitionKey", "1")]));
    grpc::client(&sidecar).await.invoke_binding(call).await.unwrap();
    sidecar.stop().await;

    let spans = spans(&collector);
    let over_http = only(&spans, "HTTP", |span| span.name == "/v1.0/bindings/orders-table");
    let port = |address: SocketAddr| address.port().to_string();
    assert_eq!((over_http.trace.as_str(), over_http.parent.as_str()), (TRACE, "b7ad6b7169203331"));
    assert_attributes(
        over_http,
        &[("dapr.protocol", "http"), ("dapr.status_code", "204"), ("db.name", "orders-table")],
    );
    assert_attributes(over_http, &[("server.port", port(http_address).as_str())]);
    let method = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
    let of_client = |span: &Span| span.name == method && span.trace == TRACE;
    let over_grpc = only(&spans, "gRPC", of_client);
    assert_eq!(over_grpc.parent, "b7ad6b7169203331");
    assert_attributes(over_grpc, &[("dapr.protocol", "grpc"), ("dapr.status_code", "0"), ("db.statement", method)]);
    let server = [("server.address", "127.0.0.1"), ("server.port", &port(grpc_address))];
    assert_attributes(over_grpc, &server);
    assert_eq!(of_grpc, format!("00-{TRACE}-{}-01", over_grpc.id));
    assert!(hex(&binary).contains(&over_grpc.id));
    let failed = only(&spans, "the failure", |span| span.name == method && span.has_failed);
    assert_attributes(failed, &[("dapr.status_code", "3")]);

    for caller in [over_http, over_grpc] {
        let write = only(&spans, "a write", |span| span.parent == caller.id);
        assert!(write.name.starts_with("DynamoDB.") && write.trace == TRACE && !write.has_failed, "{write:#?}");
        let expected = [("rpc.system", "aws-api"), ("rpc.service", "DynamoDB"), ("aws.region", "us-east-1")];
        assert_attributes(write, &expected);
        assert!(write.name.ends_with(&write.attributes["rpc.method"]), "{write:#?}");
    }
    // One call serves several requests, so it is no child of any.
    let put = only(&spans, "the put", |span| span.name.starts_with("Kinesis.Put"));
    assert!(put.parent.is_empty() && put.is("rpc.service", "Kinesis"), "{put:#?}");
}

#[tokio::test]
async fn all_deliveries_of_a_record_have_one_trace() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    let texts = env.put("orders", "record ", 1).await;
    let (app, collector) = (RecordingApp::start().await, RecordingApp::start().await);
    app.behave(Behaviour::Respond(500));
    let folder = tracing_to(&collector);
    let mut settings = env.settings(Some(&app));
    settings.config_paths = vec![folder.path().join("config.yaml")];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until("two deliveries", |events| events.len() >= 2).await;
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&texts).await;
    sidecar.stop().await;
    let spans = spans(&collector);
    let deliveries: Vec<_> = spans.iter().filter(|span| span.name == "bindings/orders-in").collect();
    let events = app.events();
    assert_eq!(deliveries.len(), events.len());
    for (delivery, event) in deliveries.iter().zip(&events) {
        assert_eq!(delivery.trace, deliveries[0].trace);
        assert_eq!(event.header("traceparent"), format!("00-{}-{}-01", delivery.trace, delivery.id));
        assert_eq!(delivery.has_failed, !event.accepted);
        assert_attributes(delivery, &[("db.name", "orders-in"), ("db.connection_string", "POST /orders-in")]);
    }
    assert!(spans.iter().any(|span| span.name == "Kinesis.GetRecords" && span.parent.is_empty()), "{spans:#?}");
}

#[tokio::test]
async fn a_delivery_over_grpc_carries_its_span_in_both_forms() {
    let env = grpc::app::start_with_input().await;
    let texts = env.put("orders", "record ", 1).await;
    let (app, collector) = (grpc::app::App::default(), RecordingApp::start().await);
    let (address, _server) = app.start().await;
    let folder = tracing_to(&collector);
    let mut settings = env.settings(None);
    settings.app =
        Some(AppEndpoint { address: address.ip().to_string(), port: address.port(), protocol: AppProtocol::Grpc });
    settings.config_paths = vec![folder.path().join("config.yaml")];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until_accepted(&texts).await;
    sidecar.stop().await;
    let spans = spans(&collector);
    let delivery = only(&spans, "the delivery", |span| span.name == "bindings/orders-in");
    let method = "/dapr.proto.runtime.v1.AppCallback/OnBindingEvent";
    assert_attributes(delivery, &[("db.name", "orders-in"), ("db.connection_string", method)]);
    let metadata = app.events().remove(0).metadata;
    let text = format!("00-{}-{}-01", delivery.trace, delivery.id);
    assert_eq!(metadata.get("traceparent").unwrap().to_str().unwrap(), text);
    let binary = metadata.get_bin("grpc-trace-bin").unwrap().to_bytes().unwrap();
    assert!(hex(&binary).contains(&delivery.trace) && hex(&binary).contains(&delivery.id));
}

#[tokio::test]
async fn a_role_is_assumed_in_a_span() {
    let (env, sts) = (Environment::start().await, FakeAws::start().await);
    env.table("rows").await;
    let url = sts.url();
    let role = [("assumeRoleArn", "arn:aws:iam::123456789012:role/writer"), ("stsEndpoint", url.as_str())];
    env.dynamodb_component("orders-table", &[&role[..], &[("table", "rows")]].concat());
    let collector = RecordingApp::start().await;
    let folder = tracing_to(&collector);
    let mut settings = env.settings(None);
    settings.config_paths = vec![folder.path().join("config.yaml")];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let answer = sidecar.invoke("orders-table", r#"{"operation": "create", "data": {"id": "1"}}"#).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    sidecar.stop().await;
    let spans = spans(&collector);
    let assumed = only(&spans, "STS", |span| span.name == "STS.AssumeRole");
    assert_attributes(assumed, &[("rpc.system", "aws-api"), ("rpc.service", "STS"), ("aws.region", "us-east-1")]);
    assert!(!assumed.has_failed && assumed.parent.is_empty(), "{assumed:#?}");
}

//! §1.4 and §1.8: calls over gRPC, and what they have in common with those over HTTP.

use super::{CREATE, environment, exchange, request};
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use crate::grpc::{self, client};
use bindd::protocol::runtime::InvokeBindingResponse;
use http::Request;
use std::fs;
use tonic::Code;

const POST: &str = r#"{"operation":"post","data":1}"#;

/// An output that calls an endpoint over HTTP.
async fn endpoint(env: &Environment) -> RecordingApp {
    let endpoint = RecordingApp::start().await;
    let kind = "metadata: {name: crm}\nspec:\n  type: bindings.http\n  version: v1\n";
    let url = format!("  metadata: [{{name: url, value: \"http://{}\"}}]\n", endpoint.address());
    env.file("crm.yaml", &format!("apiVersion: dapr.io/v1alpha1\nkind: Component\n{kind}{url}"));
    endpoint
}

#[tokio::test]
async fn response_metadata_are_headers_also_of_a_failure() {
    let env = Environment::start().await;
    let endpoint = endpoint(&env).await;
    for is_compat in [false, true] {
        let mut settings = env.settings(None);
        settings.dapr_compat = is_compat;
        settings.strict_dapr_errors = is_compat;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        for (behaviour, status) in [(404, if is_compat { 500 } else { 502 }), (200, 200)] {
            endpoint.behave(Behaviour::Respond(behaviour));
            let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/crm", "", POST)).await;
            let code = behaviour.to_string();
            assert_eq!(answer.status, status, "1.4 a response object is 200, although its data is empty");
            assert_eq!(answer.header("metadata.statuscode"), Some(code.as_str()), "1.4 also on errors");
            assert_eq!(answer.header("content-type"), Some("application/json"), "1.4 always");
            let called = client(&sidecar).await.invoke_binding(grpc::request("crm", "post", b"1", &[])).await;
            let headers = match &called {
                Ok(response) => response.metadata(),
                Err(status) => status.metadata(),
            };
            assert_eq!(called.is_ok(), behaviour == 200, "1.8 {called:?}");
            assert_eq!(headers.get("metadata.statuscode").unwrap(), code.as_str(), "1.8 also when the call fails");
            assert!(called.err().is_none_or(|status| !is_compat || status.code() == Code::Internal), "1.8 any failure");
        }
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn the_metadata_of_a_call_are_merged_unless_the_request_has_them() {
    let env = Environment::start().await;
    let endpoint = endpoint(&env).await;
    let sidecar = env.sidecar(None).await;
    let none: &[(&str, &str)] = &[];
    for (says, of_request, route) in [
        ("1.8 merged if the key is not there", none, "of/the/call"),
        ("1.8 that of the request counts", &[("path", "/of/the/request")], "of/the/request"),
    ] {
        let mut call = tonic::Request::new(grpc::request("crm", "post", b"1", of_request));
        call.metadata_mut().append("path", "/of/the/call".parse().unwrap());
        call.metadata_mut().append("path", "/second".parse().unwrap());
        client(&sidecar).await.invoke_binding(call).await.unwrap();
        assert_eq!(endpoint.events().pop().unwrap().route, route, "{says}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_returns_nothing_gives_an_empty_message() {
    let env = environment().await;
    let mut settings = env.settings(None);
    settings.strict_dapr_errors = true;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    for (name, data) in [("orders", &b"any bytes \xff"[..]), ("people", b"{\"id\":\"1\"}")] {
        let response = client(&sidecar).await.invoke_binding(grpc::request(name, "create", data, &[])).await.unwrap();
        let is_bare = response.metadata().keys().all(|key| !format!("{key:?}").contains("metadata."));
        assert!(is_bare, "1.8 {:?}", response.metadata());
        assert_eq!(response.into_inner(), InvokeBindingResponse::default(), "1.8 {name}");
    }
    sidecar.stop().await;
}

/// Over gRPC: `tests/daemon/grpc`.
#[tokio::test]
async fn what_a_configuration_denies_is_no_route() {
    let env = environment().await;
    let folder = tempfile::tempdir().unwrap();
    let rule =
        |version: &str, protocol: &str| format!("[{{name: bindings, version: {version}, protocol: {protocol}}}]");
    for (says, list, status) in [
        ("4.8 no list", "{}".to_owned(), 204),
        ("4.8 denied", format!("{{denied: {}}}", rule("v1", "http")), 404),
        ("4.8 v1.0 is v1", format!("{{denied: {}}}", rule("v1.0", "http")), 404),
        ("4.8 denied over gRPC", format!("{{denied: {}}}", rule("v1", "grpc")), 204),
        ("4.8 allowed", format!("{{allowed: {}}}", rule("v1", "http")), 204),
        ("4.8 others allowed", "{allowed: [{name: state, version: v1, protocol: http}]}".to_owned(), 404),
        ("4.8 deny wins", format!("{{allowed: {0}, denied: {0}}}", rule("v1", "http")), 404),
        ("4.8 without a protocol", "{denied: [{name: bindings, version: v1}]}".to_owned(), 204),
    ] {
        let config = folder.path().join("config.yaml");
        fs::write(&config, format!("kind: Configuration\nspec: {{api: {list}}}\n")).unwrap();
        let mut settings = env.settings(None);
        settings.config_paths = vec![config];
        let sidecar = Sidecar::start(&settings).await.unwrap();
        let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
        assert_eq!(answer.status, status, "{says}: {}", answer.body);
        if status == 404 {
            assert_eq!(answer.json()["errorCode"], "ERR_DIRECT_INVOKE", "1.5 the route is not registered");
        }
        let health = exchange(sidecar.address(), &request("GET /v1.0/healthz/outbound", "", "")).await;
        assert_eq!(health.status, 204, "4.1 health is always allowed");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn http_calls_ignore_headers_and_query_where_grpc_does_not() {
    let env = Environment::start().await;
    let endpoint = endpoint(&env).await;
    let sidecar = env.sidecar(None).await;
    let post = Request::post("/v1.0/bindings/crm?path=/query").header("path", "/header");
    let response = crate::calls::send(sidecar.address(), post, POST).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(endpoint.events().pop().unwrap().route, "", "1.3 only the map of the body counts");
    sidecar.stop().await;
}

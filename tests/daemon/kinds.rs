//! The kinds without AWS, from files to sockets: schedules, HTTP endpoints, files.

use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use crate::grpc;
use serde_json::{Value, json};

#[tokio::test]
async fn a_schedule_calls_the_route_of_the_app_with_the_headers_of_dapr() {
    let env = Environment::start().await;
    plain(&env, "tick", "bindings.cron", &[("schedule", "@every 1s"), ("route", "/jobs/tick"), ("direction", "input")]);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("two firings", |events| events.len() >= 2).await;
    app.behave(Behaviour::Respond(500));
    let failing = app.events().len();
    // A firing that fails is not repeated: each has its own time.
    app.until("two more", |events| events.len() >= failing + 3).await;
    let events = app.events();
    for event in &events {
        assert_eq!((event.route.as_str(), event.body.len()), ("jobs/tick", 0));
        assert_eq!((event.header("content-type"), event.header("timezone")), ("application/json", "Local"));
        assert!(event.header("readtimeutc").ends_with(" +0000 UTC"), "{}", event.header("readtimeutc"));
        assert!(event.headers.get("bindd-shard-id").is_none());
    }
    let times: std::collections::BTreeSet<_> = events.iter().map(|event| event.header("readtimeutc")).collect();
    assert_eq!(times.len(), events.len());
    sidecar.stop().await;
}

#[tokio::test]
async fn the_app_is_asked_whether_it_wants_a_schedule_without_a_direction() {
    let env = Environment::start().await;
    plain(&env, "tick", "bindings.cron", &[("schedule", "@every 1s")]);
    let app = RecordingApp::start().await;
    app.answer_probes(404);
    let sidecar = env.sidecar(Some(&app)).await;
    bindd::testing::until("the probe", async || (!app.probes().is_empty()).then_some(())).await;
    assert_eq!((app.probes(), app.events().len()), (vec!["tick".to_owned()], 0));
    sidecar.stop().await;
}

/// Writes a component without a connection to AWS.
fn plain(env: &Environment, name: &str, kind: &str, fields: &[(&str, &str)]) {
    let items: Vec<String> = fields.iter().map(|(name, value)| format!("{{name: {name}, value: {value:?}}}")).collect();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n  \
         version: v1\n  metadata: [{}]\n",
        items.join(", ")
    );
    env.file(&format!("{name}.yaml"), &text);
}

fn call(operation: &str, metadata: &Value, data: &Value) -> String {
    json!({ "operation": operation, "metadata": metadata, "data": data }).to_string()
}

async fn endpoint() -> (Environment, RecordingApp, Sidecar) {
    let env = Environment::start().await;
    let endpoint = RecordingApp::start().await;
    let url = format!("http://{}/base/", endpoint.address());
    let token = [("securityTokenHeader", "X-Token"), ("securityToken", "s3cret"), ("maxResponseBodySize", "1Ki")];
    plain(&env, "crm", "bindings.http", &[&[("url", url.as_str())], &token[..]].concat());
    let sidecar = env.sidecar(None).await;
    (env, endpoint, sidecar)
}

#[tokio::test]
async fn an_endpoint_gets_the_request_and_the_app_its_response() {
    let (_env, endpoint, sidecar) = endpoint().await;
    endpoint.reply_with(r#"{"id": 7}"#);
    let metadata = json!({ "path": "/new?x=1", "X-Mine": "1", "other": "2" });
    let response = sidecar.invoke("crm", &call("post", &metadata, &json!({ "a": 1.50 }))).await;
    assert_eq!((response.status.as_u16(), response.text()), (200, r#"{"id": 7}"#), "{response:?}");
    assert_eq!(response.header("metadata.statusCode"), Some("200"));
    assert_eq!(response.header("metadata.status"), Some("200 OK"));
    let event = endpoint.events().remove(0);
    assert_eq!((event.route.as_str(), event.text().as_str()), ("base/new", r#"{"a":1.5}"#));
    assert_eq!((event.header("x-token"), event.header("x-mine"), event.header("other")), ("s3cret", "1", ""));
    assert_eq!(event.header("content-type"), "application/json; charset=utf-8");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_status_other_than_2xx_is_an_error_unless_the_request_says_otherwise() {
    let (_env, endpoint, sidecar) = endpoint().await;
    endpoint.behave(Behaviour::Respond(404));
    let refused = sidecar.invoke("crm", &call("post", &json!({}), &json!(1))).await;
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(refused.text().contains("received status code 404"), "{refused:?}");
    assert_eq!(refused.header("metadata.statusCode"), Some("404"));
    let refused =
        grpc::client(&sidecar).await.invoke_binding(grpc::request("crm", "post", b"1", &[])).await.unwrap_err();
    assert_eq!(refused.metadata().get("metadata.statuscode").unwrap(), "404", "{refused:?}");
    let passed_on = sidecar.invoke("crm", &call("post", &json!({ "errorIfNot2XX": "false" }), &json!(1))).await;
    assert_eq!(passed_on.header("metadata.statusCode"), Some("404"), "{passed_on:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_response_that_is_too_large_and_an_endpoint_that_is_gone_are_errors() {
    let (_env, mut endpoint, sidecar) = endpoint().await;
    endpoint.reply_with(&"x".repeat(2_000));
    let large = sidecar.invoke("crm", &call("post", &json!({}), &json!(1))).await;
    assert!(large.status == 502 && large.text().contains("maxResponseBodySize"), "{large:?}");
    endpoint.stop().await;
    let gone = sidecar.invoke("crm", &call("post", &json!({}), &json!(1))).await;
    assert!(gone.status == 502 && gone.text().contains("nothing was sent"), "{gone:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn files_are_created_listed_read_and_deleted() {
    let env = Environment::start().await;
    let folder = tempfile::tempdir().unwrap();
    plain(&env, "reports", "bindings.localstorage", &[("rootPath", folder.path().to_str().unwrap())]);
    let sidecar = env.sidecar(None).await;
    let named = json!({ "fileName": "a/b.txt" });
    let created = sidecar.invoke("reports", &call("create", &named, &json!("hello, world"))).await;
    assert_eq!((created.status.as_u16(), created.text()), (200, r#"{"fileName":"a/b.txt"}"#), "{created:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("a/b.txt")).unwrap(), "hello, world");
    assert_eq!(sidecar.invoke("reports", &call("get", &named, &Value::Null)).await.text(), "hello, world");
    let listed = sidecar.invoke("reports", &call("list", &json!({}), &Value::Null)).await;
    assert!(listed.text().ends_with("/a/b.txt\"]"), "{listed:?}");
    for (operation, name, status) in
        [("delete", "a/b.txt", 204), ("get", "a/b.txt", 404), ("create", "../x", 400), ("get", "a", 400)]
    {
        let response = sidecar.invoke("reports", &call(operation, &json!({ "fileName": name }), &json!("x"))).await;
        assert_eq!(response.status, status, "{operation} {name}: {response:?}");
    }
    sidecar.stop().await;
}

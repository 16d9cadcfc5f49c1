//! How changes and tests end: without a caller, without a folder, with a stop, and without a trace.

use super::api::{ComponentsApi, TOKEN, component, json_of, output, settings, start_with};
use crate::environment::{Environment, Sidecar, kinesis_client};
use crate::signals::Program;
use bindd::dev::Emulators;
use bindd::embedded::EmbeddedSettings;
use http::Method;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_change_that_a_stop_cuts_off_has_an_audit_line_with_an_unknown_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start_managed(folder.path(), TOKEN);
    let address = program.http_address().await;
    // It accepts connections, and answers nothing.
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let items: Vec<Value> = [
        ("streamName", "one".to_owned()),
        ("direction", "output".to_owned()),
        ("region", "us-east-1".to_owned()),
        ("accessKey", "test".to_owned()),
        ("secretKey", "test".to_owned()),
        ("endpoint", format!("http://{}", hung.local_addr().unwrap())),
    ]
    .iter()
    .map(|(name, value)| json!({"name": name, "value": value}))
    .collect();
    let document = json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "orders"},
        "spec": {"type": "bindings.aws.kinesis", "version": "v1", "metadata": items},
    });
    let api = ComponentsApi::at(address);
    let calling = async { api.post("", &document).await };
    let stopping = async {
        let _connection = hung.accept().await.unwrap();
        program.send("TERM").await;
        program.until_logged("components API was called").await
    };
    let (answer, line) = tokio::join!(calling, stopping);
    assert_eq!((answer.status.as_u16(), answer.field("errorCode").as_str()), (503, "ERR_STOPPING"));
    for part in ["action=\"create\"", "component=\"orders\"", "outcome=\"unknown\"", "token=\"BINDD_ADMIN_TOKEN\""] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[tokio::test]
async fn a_test_creates_nothing_although_a_change_creates_what_it_needs() {
    let env = Environment::start().await;
    let services = Emulators::start(EmbeddedSettings::default()).await.unwrap();
    let client = kinesis_client(&services.aws().kinesis_url());
    let streams = async || client.list_streams().send().await.unwrap().stream_names;
    let sidecar = Sidecar::start_prepared(&settings(&env, None), Arc::new(services.endpoints())).await.unwrap();
    let api = ComponentsApi::at(sidecar.address());
    let document = json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "orders"},
        "spec": {"type": "bindings.aws.kinesis", "version": "v1", "metadata": [
            {"name": "streamName", "value": "orders"}, {"name": "direction", "value": "output"}]},
    });
    let tested = json_of(&api.post("/test", &document).await);
    assert_eq!((&tested["ok"], streams().await), (&json!(false), vec![]), "{tested}");
    let mut disabled = document.clone();
    disabled["spec"]["disabled"] = json!(true);
    assert_eq!(api.post("", &disabled).await.status, 201);
    assert_eq!(json_of(&api.post("/orders/test", &Value::Null).await)["ok"], json!(false));
    assert_eq!(streams().await, Vec::<String>::new());
    assert_eq!(api.put("/orders", &document).await.status, 200);
    assert_eq!(streams().await, ["orders"]);
    assert_eq!(json_of(&api.post("/test", &document).await)["ok"], json!(true));
    sidecar.stop().await;
    services.stop().await;
}

#[tokio::test]
async fn without_a_folder_for_it_nothing_is_persisted() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    env.kinesis_component("orders", &[("streamName", "one"), ("direction", "output")]);
    let mut settings = settings(&env, None);
    let file = env.folder().join("orders.yaml");
    settings.resources_paths = vec![file.clone()];
    let (sidecar, api) = start_with(&settings).await;
    let named = api.delete("/orders?persist=true").await;
    assert_eq!((named.status.as_u16(), named.field("errorCode").as_str()), (409, "ERR_COMPONENT_CONFLICT"));
    assert!(named.text().contains("bindd does not start without it"), "{}", named.text());
    let new = api.call(Method::POST, "?persist=true", &output(&env, "new", "one").to_string()).await;
    assert!(new.status == 409 && new.text().contains("is not a folder"), "{}", new.text());
    let disabled = api.post("/orders/disable?persist=true", &Value::Null).await;
    assert_eq!(disabled.status, 200, "the file itself can be written: {}", disabled.text());
    sidecar.stop().await;

    settings.resources_paths = Vec::new();
    let before = fs::read_to_string(&file).unwrap();
    let (sidecar, api) = start_with(&settings).await;
    let none = api.call(Method::PUT, "/orders?persist=true", &output(&env, "orders", "one").to_string()).await;
    assert!(none.status == 409 && none.text().contains("without --resources-path"), "{}", none.text());
    assert_eq!((api.get("/orders").await.status.as_u16(), fs::read_to_string(&file).unwrap()), (404, before));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_member_that_looks_like_a_merge_key_is_in_the_file_as_it_was_sent() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let settings = settings(&env, None);
    let (sidecar, api) = start_with(&settings).await;
    let mut document = component(&env, "orders", &[("streamName", "one"), ("direction", "output")]);
    document["metadata"]["annotations"] = json!({"<<": {"team": "a"}, "other": "b"});
    let created = api.call(Method::POST, "?persist=true", &document.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    sidecar.stop().await;
    let (sidecar, api) = start_with(&settings).await;
    let read = json_of(&api.get("/orders").await);
    assert_eq!(read["metadata"]["annotations"], document["metadata"]["annotations"]);
    sidecar.stop().await;
}

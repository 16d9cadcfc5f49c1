//! Component files that are edited, broken or removed while their components are managed over the API.

use super::api::{ComponentsApi, component, json_of, output, settings, start_with};
use crate::environment::{Environment, Sidecar};
use bindd::testing::until;
use http::Method;
use serde_json::{Value, json};
use std::fs;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;

/// A component `orders` of a file, which is watched.
async fn watching() -> (Environment, Sidecar, ComponentsApi) {
    let env = Environment::start().await;
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    orders(&env, "one");
    let mut settings = settings(&env, None);
    settings.reload.watch = None;
    let (sidecar, api) = start_with(&settings).await;
    (env, sidecar, api)
}

fn orders(env: &Environment, stream: &str) {
    env.kinesis_component("orders", &[("streamName", stream), ("direction", "output")]);
}

async fn status(api: ComponentsApi) -> Value {
    json_of(&api.get("/orders/status").await)
}

async fn until_status(api: ComponentsApi, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(what, async || Some(status(api).await).filter(|status| is_so(status))).await
}

/// Adds or removes a component `other`, so that the files are compared once more.
async fn compare(env: &Environment, api: ComponentsApi) {
    let path = env.folder().join("other.yaml");
    let is_there = path.exists();
    if is_there {
        fs::remove_file(path).unwrap();
    } else {
        env.file(
            "other.yaml",
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: other}\nspec: {type: bindings.cron, \
             version: v1, metadata: [{name: schedule, value: '@every 1h'}]}\n",
        );
    }
    let expected = if is_there { 404 } else { 200 };
    until("the comparison", async || (api.get("/other").await.status == expected).then_some(())).await;
}

/// How many records a call has left in the stream.
async fn written(env: &Environment, sidecar: &Sidecar, stream: &str) -> usize {
    let response = sidecar.invoke("orders", CREATE).await;
    assert_eq!(response.status, 204, "{}", response.text());
    env.records(stream).await.len()
}

#[tokio::test]
async fn the_status_has_the_fault_of_an_edit_until_the_file_is_correct_again() {
    let (env, sidecar, api) = watching().await;
    for (what, field, part) in [
        ("a fault", ("streamName", "no such name!"), "field `streamName`"),
        ("a failure to connect", ("caBundle", "/no/such/bundle.pem"), "bundle"),
    ] {
        env.kinesis_component("orders", &[("streamName", "two"), ("direction", "output"), field]);
        let failed = until_status(api, what, |status| status["lastError"].is_string()).await;
        assert!(failed["lastError"].as_str().unwrap().contains(part), "{failed}");
        assert_eq!(failed["persisted"], false);
        assert_eq!(failed["state"], json!("running"));
        assert_eq!(failed["file"].as_str(), env.folder().join("orders.yaml").to_str());
        let listed = json_of(&api.get("").await)["components"][0]["status"].clone();
        let read = json_of(&api.get("/orders").await)["status"].clone();
        assert_eq!((&listed["lastError"], &read["lastError"]), (&failed["lastError"], &failed["lastError"]));
        assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204, "the old one runs on");
        orders(&env, "one");
        until_status(api, "no error", |status| status["lastError"].is_null()).await;
    }
    // A change replaces the edit that is not in force.
    env.file("orders.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\nspec: {type: bindings.aws.kinesis");
    until_status(api, "a fault", |status| status["lastError"].is_string()).await;
    let refused = api.post("/orders/enable", &Value::Null).await;
    assert_eq!(refused.status, 412, "{}", refused.text());
    let replaced = api.put("/orders", &output(&env, "orders", "two")).await;
    assert_eq!((replaced.status.as_u16(), &json_of(&replaced)["status"]["lastError"]), (200, &Value::Null));
    assert_eq!(env.records("two").await.len(), 0);
    assert_eq!(written(&env, &sidecar, "two").await, 1);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_change_stays_while_its_file_cannot_be_read_and_ends_when_another_document_is_in_it() {
    let (env, sidecar, api) = watching().await;
    let before = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    env.file("orders.yaml", "{broken bindings.aws.kinesis");
    compare(&env, api).await;
    assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200);
    // It becomes readable with what was in it before: that is no edit.
    env.file("orders.yaml", &before);
    compare(&env, api).await;
    assert_eq!((&status(api).await["persisted"], written(&env, &sidecar, "two").await), (&json!(false), 1));
    // The same for a change of a change.
    env.file("orders.yaml", "{broken bindings.aws.kinesis");
    compare(&env, api).await;
    let fields = [("streamName", "two"), ("direction", "output"), ("maxInFlight", "9")];
    assert_eq!(api.put("/orders", &component(&env, "orders", &fields)).await.status, 200);
    env.file("orders.yaml", &before);
    compare(&env, api).await;
    assert_eq!((&status(api).await["persisted"], written(&env, &sidecar, "two").await), (&json!(false), 2));
    env.kinesis_component("orders", &[("streamName", "one"), ("direction", "output"), ("maxInFlight", "7")]);
    until_status(api, "the edit to win", |status| status["persisted"] == json!(true)).await;
    assert_eq!((written(&env, &sidecar, "one").await, env.records("two").await.len()), (1, 2));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_was_deleted_while_its_file_was_broken_comes_back_only_by_an_edit() {
    let (env, sidecar, api) = watching().await;
    let before = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    env.file("orders.yaml", "{broken bindings.aws.kinesis");
    let refused = api.delete("/orders?persist=true").await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_COMPONENT_CONFLICT"));
    assert_eq!(api.delete("/orders").await.status, 204);
    env.file("orders.yaml", &before);
    compare(&env, api).await;
    assert_eq!(
        (api.get("/orders").await.status.as_u16(), sidecar.invoke("orders", CREATE).await.status.as_u16()),
        (404, 404)
    );
    orders(&env, "two");
    until("the component", async || (api.get("/orders").await.status == 200).then_some(())).await;
    assert_eq!(written(&env, &sidecar, "two").await, 1);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_edit_that_cannot_run_ends_a_change_and_its_component_runs_on_until_the_file_is_correct() {
    let (env, sidecar, api) = watching().await;
    for (count, field) in [(1, ("streamName", "no such name!")), (2, ("caBundle", "/no/such/bundle.pem"))] {
        assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200);
        let (name, value) = field;
        let stream = if name == "streamName" { value } else { "one" };
        let more: &[_] = if name == "streamName" { &[] } else { &[field] };
        let fields = [&[("streamName", stream), ("direction", "output")][..], more].concat();
        env.kinesis_component("orders", &fields);
        let kept = until_status(api, "an error", |status| status["lastError"].is_string()).await;
        assert_eq!((&kept["state"], &kept["persisted"]), (&json!("running"), &json!(false)));
        assert_eq!(written(&env, &sidecar, "two").await, count);
        // An edit that is not in force must not be lost by a change of what runs.
        let tag = format!("\"{}\"", kept["etag"].as_str().unwrap());
        for (method, path, body) in [
            (Method::PATCH, "/orders", r#"{"disabled": true}"#.to_owned()),
            (Method::POST, "/orders/disable", String::new()),
            (Method::DELETE, "/orders", String::new()),
            (Method::PUT, "/orders", output(&env, "orders", "one").to_string()),
        ] {
            let refused = api.call_with(method.clone(), path, &body, &[("if-match", &tag)]).await;
            assert_eq!(
                (refused.status.as_u16(), refused.field("errorCode").as_str()),
                (412, "ERR_PRECONDITION_FAILED")
            );
            assert!(refused.text().contains("the edit is not in force"), "{method}: {}", refused.text());
        }
        orders(&env, "one");
        until_status(api, "the file to win", |status| status["persisted"] == json!(true)).await;
        assert_eq!((written(&env, &sidecar, "one").await, &status(api).await["lastError"]), (count, &Value::Null));
    }
    fs::remove_file(env.folder().join("orders.yaml")).unwrap();
    until("the removal", async || (api.get("/orders").await.status == 404).then_some(())).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_change_ends_with_the_file_that_it_changed() {
    let (env, sidecar, api) = watching().await;
    assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200);
    fs::remove_file(env.folder().join("orders.yaml")).unwrap();
    until("the removal", async || (api.get("/orders").await.status == 404).then_some(())).await;
    assert_eq!(api.post("", &output(&env, "orders", "two")).await.status, 201);
    compare(&env, api).await;
    assert_eq!(status(api).await["file"], Value::Null, "it is in no file any more");
    assert_eq!(api.delete("/orders?persist=true").await.status, 204, "there is no file to remove");
    assert_eq!(api.get("/orders").await.status, 404);
    sidecar.stop().await;
}

//! Each route, and each status that it may answer with.

use super::api::{ComponentsApi, component, json_of, output, settings, start, start_with};
use crate::environment::{Environment, Sidecar};
use bindd::daemon::Shutdown;
use bindd::testing::until;
use http::Method;
use serde_json::{Value, json};
use std::fs;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;

async fn environment() -> Environment {
    let env = Environment::start().await;
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    env
}

async fn names(api: ComponentsApi, query: &str) -> Vec<String> {
    let list = json_of(&api.get(query).await);
    list["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Writes to the output and returns how many records the stream has then.
async fn written(env: &Environment, sidecar: &Sidecar, stream: &str) -> usize {
    let response = sidecar.invoke("orders", CREATE).await;
    assert_eq!(response.status, 204, "{}", response.text());
    env.records(stream).await.len()
}

#[tokio::test]
async fn a_component_is_created_read_replaced_and_deleted() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    assert_eq!((names(api, "").await, api.get("/orders").await.status.as_u16()), (vec![], 404));
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 404);

    let created = api.post("", &output(&env, "orders", "one")).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), Some("/v1.0-alpha1/components/orders"));
    assert_eq!(written(&env, &sidecar, "one").await, 1);
    let again = api.post("", &output(&env, "orders", "two")).await;
    assert_eq!((again.status.as_u16(), again.field("errorCode").as_str()), (409, "ERR_COMPONENT_EXISTS"));

    let read = api.get("/orders").await;
    assert_eq!((read.status.as_u16(), read.header("etag")), (200, created.header("etag")));
    let document = json_of(&read);
    assert_eq!((&document["status"]["state"], &document["status"]["persisted"]), (&json!("running"), &json!(false)));
    assert!(read.text().contains("***") && !read.text().contains("s3cret"), "{}", read.text());
    assert_eq!(names(api, "?type=bindings.aws.kinesis").await, ["orders"]);
    assert_eq!(names(api, "?type=bindings.cron").await, Vec::<String>::new());

    let replaced = api.put("/orders", &output(&env, "orders", "two")).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    assert_ne!(replaced.header("etag"), created.header("etag"));
    assert_eq!((written(&env, &sidecar, "two").await, env.records("one").await.len()), (1, 1));
    assert_eq!(api.put("/other", &output(&env, "other", "one")).await.status, 201);
    assert_eq!(names(api, "").await, ["orders", "other"]);

    assert_eq!(api.delete("/orders").await.status, 204);
    assert_eq!(api.delete("/orders").await.status, 404);
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 404);
    assert_eq!(names(api, "").await, ["other"]);
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_document_in_yaml_is_accepted() {
    let env = environment().await;
    env.kinesis_component("orders", &[("streamName", "one"), ("direction", "output")]);
    let yaml = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    fs::remove_file(env.folder().join("orders.yaml")).unwrap();
    let (sidecar, api) = start(&env).await;
    let headers = [("content-type", "application/yaml")];
    let created = api.call_with(Method::POST, "", &yaml, &headers).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(written(&env, &sidecar, "one").await, 1);
    let wrong = api.call(Method::POST, "", &yaml).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("Content-Type: application/yaml"), "{}", wrong.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn a_wrong_document_changes_nothing_and_the_answer_says_what_to_write() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    api.post("", &output(&env, "orders", "one")).await;
    let no_stream = component(&env, "orders", &[("streamName", "no such name!")]);
    let mut other_type = output(&env, "orders", "one");
    other_type["spec"]["type"] = json!("bindings.kafka");
    let mut other_kind = output(&env, "orders", "one");
    other_kind["kind"] = json!("Secret");
    let mut store = output(&env, "orders", "one");
    store["spec"]["type"] = json!("secretstores.local.env");
    let mut scoped = output(&env, "orders", "one");
    scoped["scopes"] = json!(["another-app"]);
    let mut disabled = output(&env, "orders", "one");
    disabled["disabled"] = json!(true);
    let long = "n".repeat(253);
    let mut masked = output(&env, "new", "one");
    masked["spec"]["metadata"][4]["value"] = json!("***");
    for (path, document, field) in [
        ("/orders", &no_stream, "streamName"),
        ("/orders", &other_type, "spec.type"),
        ("/orders", &other_kind, "kind"),
        ("/orders", &store, "spec.type"),
        ("/orders", &scoped, "scopes"),
        ("/orders", &disabled, "disabled"),
        ("/orders?persist=yes", &output(&env, "orders", "two"), "persist"),
        ("/orders?presist=true", &output(&env, "orders", "two"), "presist"),
        (&format!("/{long}?persist=true"), &output(&env, &long, "one"), "metadata.name"),
        ("/orders", &output(&env, "other", "one"), "metadata.name"),
        ("/new", &masked, "secretKey"),
    ] {
        let response = api.put(path, document).await;
        assert_eq!((response.status.as_u16(), response.field("errorCode").as_str()), (400, "ERR_COMPONENT_INVALID"));
        let faults = json_of(&response)["faults"].clone();
        assert_eq!(faults[0]["field"], json!(field), "{}", response.text());
        assert!(!faults[0]["remedy"].as_str().unwrap().is_empty());
    }
    for (body, problem) in [("{", "EOF"), ("[]", "not an object"), (r#"{"kind":"a","kind":"b"}"#, "written twice")] {
        let response = api.call(Method::POST, "", body).await;
        assert!(response.status == 400 && response.text().contains(problem), "{}", response.text());
    }
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(300 << 10));
    assert_eq!(api.call(Method::POST, "", &large).await.status, 413);
    assert_eq!((written(&env, &sidecar, "one").await, names(api, "").await), (1, vec!["orders".to_owned()]));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_cannot_work_changes_nothing() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    api.post("", &output(&env, "orders", "one")).await;
    let missing = api.put("/orders", &output(&env, "orders", "no-such-stream")).await;
    assert_eq!((missing.status.as_u16(), missing.field("errorCode").as_str()), (502, "ERR_COMPONENT_UNUSABLE"));
    assert!(missing.text().contains("DescribeStreamSummary of no-such-stream: not found"), "{}", missing.text());
    let fields = [("streamName", "two"), ("direction", "output"), ("caBundle", "/no/such/bundle.pem")];
    let untrusted = api.put("/orders", &component(&env, "orders", &fields)).await;
    assert_eq!(untrusted.status, 502, "{}", untrusted.text());
    assert_eq!((written(&env, &sidecar, "one").await, env.records("two").await.len()), (1, 0));
    sidecar.stop().await;
}

#[tokio::test]
async fn items_are_patched_by_name_and_masks_keep_their_secrets() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    let created = api.post("", &output(&env, "orders", "one")).await;
    let patched = api.patch("/orders", &json!({"spec": {"metadata": [{"name": "streamName", "value": "two"}]}})).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    assert_ne!(patched.header("etag"), created.header("etag"));
    assert_eq!(written(&env, &sidecar, "two").await, 1);
    // What was read is sent back with its masks and its status.
    let mut read = json_of(&api.get("/orders").await);
    read["spec"]["metadata"].as_array_mut().unwrap().retain(|item| item["name"] != "streamName");
    read["spec"]["metadata"].as_array_mut().unwrap().push(json!({"name": "streamName", "value": "one"}));
    let back = api.put("/orders", &read).await;
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(written(&env, &sidecar, "one").await, 1);
    for (patch, status) in [(json!({"scopes": []}), 400), (json!({"spec": {"type": "x"}}), 400)] {
        assert_eq!(api.patch("/orders", &patch).await.status, status);
    }
    assert_eq!(api.patch("/none", &json!({})).await.status, 404);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_disabled_output_answers_409_until_it_is_enabled() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    api.post("", &output(&env, "orders", "one")).await;
    let disabled = api.post("/orders/disable", &Value::Null).await;
    assert_eq!((disabled.status.as_u16(), &json_of(&disabled)["status"]["state"]), (200, &json!("disabled")));
    assert_eq!(json_of(&disabled)["spec"]["disabled"], json!(true));
    let refused = sidecar.invoke("orders", CREATE).await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_BINDING_DISABLED"));
    assert_eq!(json_of(&refused)["details"][0]["reason"], json!("DISABLED"));
    assert_eq!(names(api, "").await, ["orders"]);
    let enabled = api.patch("/orders", &json!({"disabled": false})).await;
    assert_eq!((enabled.status.as_u16(), &json_of(&enabled)["status"]["state"]), (200, &json!("running")));
    assert_eq!(written(&env, &sidecar, "one").await, 1);
    assert_eq!(api.post("/orders/enable", &Value::Null).await.status, 200, "it is enabled already");
    assert_eq!(api.post("/none/enable", &Value::Null).await.status, 404);
    sidecar.stop().await;
}

#[tokio::test]
async fn two_writers_do_not_overwrite_each_other() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    let created = api.post("", &output(&env, "orders", "one")).await;
    let first = created.header("etag").unwrap().to_owned();
    let body = output(&env, "orders", "two").to_string();
    let put = |tag: &str| {
        let (tag, body) = (tag.to_owned(), body.clone());
        async move { api.call_with(Method::PUT, "/orders", &body, &[("if-match", &tag)]).await }
    };
    let done = put(&first).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let stale = put(&first).await;
    assert_eq!((stale.status.as_u16(), stale.field("errorCode").as_str()), (412, "ERR_PRECONDITION_FAILED"));
    assert_eq!(put("*").await.status, 200);
    let absent =
        api.call_with(Method::PUT, "/none", &output(&env, "none", "one").to_string(), &[("if-match", "*")]).await;
    assert_eq!(absent.status, 412);
    let only_new = api.call_with(Method::PUT, "/orders", &body, &[("if-none-match", "*")]).await;
    assert_eq!(only_new.status, 412);
    let gone = api.call_with(Method::DELETE, "/orders", "", &[("if-match", &first)]).await;
    assert_eq!(gone.status, 412);
    let second = done.header("etag").unwrap();
    assert_eq!(api.call_with(Method::DELETE, "/orders", "", &[("if-match", second)]).await.status, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn documents_are_tested_without_being_run() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    let good = json_of(&api.post("/test", &output(&env, "orders", "one")).await);
    assert_eq!(good["ok"], json!(true), "{good}");
    let tried: Vec<_> =
        good["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(tried[..3], ["validate", "connect", "probe"], "{good}");
    let bad = json_of(&api.post("/test", &component(&env, "orders", &[("streamName", "no such name!")])).await);
    assert_eq!((&bad["ok"], &bad["checks"][0]["field"]), (&json!(false), &json!("streamName")), "{bad}");
    let missing = json_of(&api.post("/test", &output(&env, "orders", "no-such-stream")).await);
    assert_eq!(missing["ok"], json!(false), "{missing}");
    assert_eq!(names(api, "").await, Vec::<String>::new());
    assert_eq!(api.post("/orders/test", &Value::Null).await.status, 404);
    api.post("", &output(&env, "orders", "one")).await;
    assert_eq!(json_of(&api.post("/orders/test", &Value::Null).await)["ok"], json!(true));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_later_edit_of_the_file_wins_and_a_change_without_a_file_stays() {
    let env = environment().await;
    env.kinesis_component("orders", &[("streamName", "one"), ("direction", "output")]);
    let mut settings = settings(&env, None);
    settings.reload.watch = None;
    let (sidecar, api) = start_with(&settings).await;
    assert_eq!(api.post("", &output(&env, "made", "one")).await.status, 201);
    assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200);
    assert_eq!(api.delete("/made").await.status, 204);
    assert_eq!(api.post("", &output(&env, "made", "one")).await.status, 201);
    // Another file causes a comparison, which leaves both alone.
    env.kinesis_component("other", &[("streamName", "one"), ("direction", "output")]);
    until("the other component", async || names(api, "").await.contains(&"other".to_owned()).then_some(())).await;
    assert_eq!(names(api, "").await, ["made", "orders", "other"]);
    assert_eq!(written(&env, &sidecar, "two").await, 1);
    let fields = [("streamName", "one"), ("direction", "output"), ("maxInFlight", "7")];
    env.kinesis_component("orders", &fields);
    until("the edit to win", async || {
        let orders = json_of(&api.get("/orders").await);
        (orders["status"]["persisted"] == json!(true)).then_some(())
    })
    .await;
    assert_eq!((written(&env, &sidecar, "one").await, env.records("two").await.len()), (1, 1));
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

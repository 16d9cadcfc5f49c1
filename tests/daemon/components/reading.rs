//! What reads show: what the running components know, no secret, and nothing twice.

use super::api::{ComponentsApi, TOKEN, component, json_of, output, settings, start, start_with};
use crate::api_schema::{ApiSchema, DOCUMENT};
use crate::calls::{self, Response};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::testing::until;
use http::{Method, Request};
use serde_json::{Value, json};
use std::fs;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The status, which is as documented.
async fn status(api: ComponentsApi, name: &str) -> Value {
    let response = api.get(&format!("/{name}/status")).await;
    let operation = "/paths/~1v1.0-alpha1~1components~1{name}~1status/get";
    let mut schema = ApiSchema::new(DOCUMENT);
    schema.check_response(operation, response.status.as_u16(), &response.headers, &response.body);
    assert_eq!(response.header("etag"), None, "it changes without the document");
    json_of(&response)
}

#[tokio::test]
async fn the_status_of_an_output_has_its_shards_limits_and_credentials() {
    let env = Environment::start().await;
    env.stream("one", 2).await;
    let (sidecar, api) = start(&env).await;
    api.post("", &output(&env, "orders", "one")).await;
    let before = status(api, "orders").await;
    assert_eq!((&before["state"], &before["output"]["pendingRecords"]), (&json!("running"), &json!(0)));
    assert!(before["output"].get("shards").is_none() && before.get("input").is_none(), "{before}");
    let limit = json!({"mode": "adaptive", "recordsPerShardPerSecond": 1000, "bytesPerShardPerSecond": 1_048_576});
    assert_eq!(before["output"]["rateLimit"], limit);
    assert_eq!(before["credentials"], json!({"state": "available", "source": "component file"}));

    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    let after = until("the shards to be listed", async || {
        let after = status(api, "orders").await;
        after["output"].get("shards").is_some().then_some(after)
    })
    .await;
    let output = &after["output"];
    assert_eq!((&output["shardCount"], &output["omittedShardCount"]), (&json!(2), &json!(0)), "{after}");
    let shards = output["shards"].as_array().unwrap();
    assert_eq!(shards[0]["startingHashKey"], "0");
    assert_eq!(shards[1]["endingHashKey"], u128::MAX.to_string());
    assert!(shards.iter().all(|shard| shard["limiterFactor"] == 1.0), "{after}");
    api.post("/orders/disable", &Value::Null).await;
    let disabled = status(api, "orders").await;
    assert!(disabled.get("output").is_none() && disabled.get("credentials").is_none(), "{disabled}");
    sidecar.stop().await;
}

#[tokio::test]
async fn the_status_of_an_input_has_its_shards_and_leases() {
    let env = Environment::start().await;
    env.stream("one", 2).await;
    env.input("orders-in", "one", "shared");
    let app = RecordingApp::start().await;
    let (sidecar, api) = start_with(&settings(&env, Some(&app))).await;
    let held = until("both shards to be held", async || {
        let held = status(api, "orders-in").await;
        (held["input"]["heldShardCount"] == 2).then_some(held)
    })
    .await;
    assert_eq!((&held["input"]["shardCount"], &held["input"]["omittedShardCount"]), (&json!(2), &json!(0)));
    let shard = &held["input"]["shards"][0];
    assert!(shard["owner"].is_string() && shard["checkpoint"] == "TRIM_HORIZON" && shard["lagMs"].is_u64(), "{held}");
    assert!(held.get("output").is_none() && held["credentials"]["state"] == "available", "{held}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_document_that_the_client_has_is_not_sent_again() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let (sidecar, api) = start(&env).await;
    let created = api.post("", &output(&env, "orders", "one")).await;
    let tag = created.header("etag").unwrap();
    let get = async |path: String, tag: &str| {
        let request = Request::get(path).header("dapr-api-token", TOKEN).header("if-none-match", tag);
        calls::send(sidecar.address(), request, "").await
    };
    for path in ["/v1.0-alpha1/components/orders", "/v3/apps/shop/dataconnectors/orders"] {
        for (tags, status) in [
            (tag.to_owned(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"x\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let response = get(path.to_owned(), &tags).await;
            assert_eq!((response.status.as_u16(), response.header("etag")), (status, Some(tag)), "{path} {tags}");
            assert_eq!(response.body.is_empty(), status == 304, "{path} {tags}");
        }
    }
    assert_eq!(get("/v1.0-alpha1/components/none".to_owned(), "*").await.status, 404);
    assert_eq!(get("/v1.0-alpha1/components/orders/status".to_owned(), tag).await.status, 200);
    assert_eq!(get("/v1.0-alpha1/components".to_owned(), tag).await.status, 200);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_change_with_if_none_match_is_refused_for_a_document_that_has_the_tag() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let (sidecar, api) = start(&env).await;
    let body = output(&env, "orders", "one").to_string();
    let any = [("if-none-match", "*")];
    let created = api.call_with(Method::PUT, "/orders", &body, &any).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let tag = created.header("etag").unwrap();
    let (weak, disabled) = (format!("W/{tag}"), r#"{"disabled": true}"#);
    for tags in ["*", tag, weak.as_str()] {
        for (method, path, body) in [
            (Method::PUT, "/orders", body.as_str()),
            (Method::PATCH, "/orders", disabled),
            (Method::POST, "/orders/disable", ""),
            (Method::DELETE, "/orders", ""),
        ] {
            let refused = api.call_with(method.clone(), path, body, &[("if-none-match", tags)]).await;
            let code = refused.field("errorCode");
            assert_eq!((refused.status.as_u16(), code.as_str()), (412, "ERR_PRECONDITION_FAILED"), "{method} {tags}");
        }
        let path = "/v3/apps/shop/dataconnectors/orders";
        let request = Request::put(path).header("dapr-api-token", TOKEN).header("if-none-match", tags);
        assert_eq!(calls::send(sidecar.address(), request, disabled).await.status, 412, "{tags}");
    }
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    let other = api.call_with(Method::PUT, "/orders", &body, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(other.status, 200);
    sidecar.stop().await;
}

/// Forms of secrets whose fields have harmless names.
fn secrets() -> [(&'static str, &'static str); 4] {
    [
        ("hook", "https://example.com/hook?sig=Zq9secret&token=Zq9secret"),
        ("database", "user:Zq9secret@tcp(db:3306)/orders"),
        ("mirror", "https://user:Zq9secret@example.com/x"),
        ("account", "AccountName=a;AccountKey=Zq9secret=="),
    ]
}

#[tokio::test]
async fn secrets_in_texts_and_annotations_are_in_no_answer_and_come_back_unharmed() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let (sidecar, api) = start(&env).await;
    let fields = [&[("streamName", "one"), ("direction", "output")], secrets().as_slice()].concat();
    let mut document = component(&env, "orders", &fields);
    let kept = document.to_string();
    document["metadata"]["annotations"] = json!({APPLIED: kept, "team": "shop"});
    document["metadata"]["labels"] = json!({"api-token": "Zq9secret"});
    let created = api.post("", &document).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let shown = json_of(&api.get("/orders").await);
    assert_eq!(shown["metadata"]["annotations"], json!({APPLIED: "***", "team": "shop"}));
    assert_eq!(shown["metadata"]["labels"]["api-token"], "***");
    let back = api.put("/orders", &shown).await;
    assert_eq!((back.status.as_u16(), back.header("etag")), (200, created.header("etag")), "nothing was changed");
    let mut answers: Vec<Response> = vec![created, back, api.get("").await, api.get("/orders/status").await];
    // What is wrong is named without its value.
    for (_, secret) in secrets() {
        for field in ["streamName", "region", "requestTimeout", "endpoint"] {
            let item = json!({"name": field, "value": secret});
            let refused = api.patch("/orders", &json!({"spec": {"metadata": [&item]}})).await;
            assert_ne!(refused.status, 200, "{field}: {}", refused.text());
            let mut tested = component(&env, "new", &[("streamName", "one"), ("direction", "output")]);
            tested["spec"]["metadata"].as_array_mut().unwrap().push(item);
            answers.extend([refused, api.post("/test", &tested).await]);
        }
    }
    for answer in &answers {
        assert!(!answer.text().contains("Zq9secret"), "{}", answer.text());
    }
    sidecar.stop().await;
}

/// Lines of the metrics page with the name of the component, in whichever label.
async fn series(sidecar: &Sidecar, name: &str) -> Vec<String> {
    let page = calls::get(sidecar.metrics_address().unwrap(), "/metrics").await;
    let label = format!("=\"{name}\"");
    page.text().lines().filter(|line| line.contains(&label)).map(str::to_owned).collect()
}

fn file_store(folder: &std::path::Path, name: &str) -> Value {
    let metadata = json!([{"name": "rootPath", "value": folder.join("data").to_str()}]);
    json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": name},
        "spec": {"type": "bindings.localstorage", "version": "v1", "metadata": metadata},
    })
}

#[tokio::test]
async fn series_end_with_their_component_or_with_its_kind() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let mut settings = settings(&env, None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let (sidecar, api) = start_with(&settings).await;
    api.post("", &output(&env, "orders", "one")).await;
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    let has = |lines: &[String], name: &str| lines.iter().any(|line| line.starts_with(name));
    let before = series(&sidecar, "orders").await;
    assert!(has(&before, "bindd_output_records_total") && has(&before, "bindd_output_requests_total"), "{before:#?}");

    // A kind without AWS takes its place: what only the old one had goes, and what both have counts on.
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(api.put("/orders", &file_store(folder.path(), "orders")).await.status, 200);
    let after = until("the old series to end", async || {
        let lines = series(&sidecar, "orders").await;
        (!has(&lines, "bindd_output_queue")).then_some(lines)
    })
    .await;
    assert!(has(&after, "bindd_output_requests_total") && !has(&after, "bindd_output_records_total"), "{after:#?}");

    for number in 0..20 {
        let name = format!("made-{number}");
        assert_eq!(api.post("", &output(&env, &name, "one")).await.status, 201);
        assert_eq!(sidecar.invoke(&name, CREATE).await.status, 204);
        assert_eq!(api.delete(&format!("/{name}")).await.status, 204);
        until("its series to end", async || series(&sidecar, &name).await.is_empty().then_some(())).await;
    }
    // One that cannot be connected, and so never runs.
    let fields = [("streamName", "one"), ("direction", "output"), ("caBundle", "/no/such/bundle.pem")];
    assert_eq!(api.post("", &component(&env, "never", &fields)).await.status, 502);
    assert_eq!(series(&sidecar, "never").await, Vec::<String>::new());
    assert_eq!(api.delete("/orders").await.status, 204);
    until("all series to end", async || series(&sidecar, "orders").await.is_empty().then_some(())).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn what_is_known_of_a_failed_component_ends_with_its_file_and_not_before() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let fields = [("streamName", "one"), ("direction", "output")];
    env.kinesis_component("orders", &fields);
    let mut settings = settings(&env, None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    settings.reload.watch = None;
    let (sidecar, api) = start_with(&settings).await;
    env.kinesis_component("never", &[&fields[..], &[("caBundle", "/no/such/bundle.pem")]].concat());
    until("the failure", async || (api.get("/never").await.status == 200).then_some(())).await;

    // A name that is taken twice holds up all changes.
    let [orders, twin, never] = ["orders", "twin", "never"].map(|name| env.folder().join(format!("{name}.yaml")));
    fs::copy(orders, &twin).unwrap();
    let is_noticed = async || json_of(&api.get("/orders/status").await)["lastError"].is_string().then_some(());
    until("the fault", is_noticed).await;
    assert_eq!(json_of(&api.get("/never/status").await)["state"], json!("failed"));
    assert!(!series(&sidecar, "never").await.is_empty());

    for path in [twin, never] {
        fs::remove_file(path).unwrap();
    }
    until("the removal", async || (api.get("/never").await.status == 404).then_some(())).await;
    assert_eq!(series(&sidecar, "never").await, Vec::<String>::new());
    sidecar.stop().await;
}

//! Components are replaced while callers write and streams are read.

use super::api::{ComponentsApi, component, json_of, settings, start_with};
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use crate::inputs::assert_in_order;
use bindd::daemon::Shutdown;
use bindd::testing::until;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Fields of an input, whose leases do not expire on a slow machine.
const INPUT: [(&str, &str); 5] = [
    ("streamName", "orders"),
    ("consumerName", "orders-in"),
    ("initialPosition", "trim_horizon"),
    ("leaseDuration", "1m"),
    ("direction", "input"),
];

fn table(env: &Environment) -> Value {
    let endpoint = env.dynamodb_url();
    let items = [
        ("table", "rows"),
        ("region", "us-east-1"),
        ("endpoint", endpoint.as_str()),
        ("accessKey", "test"),
        ("secretKey", "test"),
    ];
    let items: Vec<Value> = items.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "rows"},
        "spec": {"type": "bindings.aws.dynamodb", "version": "v1", "metadata": items},
    })
}

/// Callers that write without a pause, and return how many requests each has made.
fn call_freely(sidecar: &Arc<Sidecar>, is_done: &Arc<AtomicBool>, callers: usize) -> JoinSet<usize> {
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let (sidecar, is_done) = (Arc::clone(sidecar), Arc::clone(is_done));
        calling.spawn(async move {
            let mut calls = 0;
            while !is_done.load(Ordering::Relaxed) {
                let response = sidecar.invoke("rows", r#"{"operation": "create", "data": {"id": "1"}}"#).await;
                assert_eq!(response.status, 204, "{}", response.text());
                calls += 1;
            }
            calls
        });
    }
    calling
}

/// Callers that write one record at each replacement, as each record makes the embedded stream slower.
fn call_at_each(sidecar: &Arc<Sidecar>, turn: &watch::Sender<usize>, callers: usize) -> JoinSet<usize> {
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let (sidecar, mut turn) = (Arc::clone(sidecar), turn.subscribe());
        calling.spawn(async move {
            let mut calls = 0;
            while turn.changed().await.is_ok() {
                let response = sidecar.invoke("written", r#"{"operation": "create", "data": 1}"#).await;
                assert_eq!(response.status, 204, "{}", response.text());
                calls += 1;
            }
            calls
        });
    }
    calling
}

/// Replaces a component with one that has another time limit for its start, so that each document is another one.
async fn replace(api: ComponentsApi, mut document: Value, number: usize) {
    let path = format!("/{}", document["metadata"]["name"].as_str().unwrap());
    document["spec"]["initTimeout"] = json!(format!("{}s", 100 + number));
    let is_bad = number % 3 == 2;
    if is_bad {
        // One that is wrong, and one whose stream or table does not exist.
        let items = document["spec"]["metadata"].as_array_mut().unwrap();
        let named = ["streamName", "table"];
        let target = items.iter_mut().find(|item| named.contains(&item["name"].as_str().unwrap())).unwrap();
        target["value"] = json!(if number.is_multiple_of(2) { "no such name!" } else { "missing" });
    }
    let answer = api.put(&path, &document).await;
    let expected: &[u16] = if is_bad { &[400, 502] } else { &[200] };
    assert!(expected.contains(&answer.status.as_u16()), "{number}: {}", answer.text());
}

#[tokio::test]
async fn no_request_fails_and_no_record_is_lost_while_components_are_replaced() {
    const REPLACEMENTS: usize = 200;
    let env = Environment::start().await;
    env.table("rows").await;
    for stream in ["orders", "written"] {
        env.stream(stream, 1).await;
    }
    let app = RecordingApp::start().await;
    let (sidecar, api) = start_with(&settings(&env, Some(&app))).await;
    let written = component(&env, "written", &[("streamName", "written"), ("direction", "output")]);
    let documents = [table(&env), written, component(&env, "orders-in", &INPUT)];
    for document in &documents {
        let created = api.post("", document).await;
        assert_eq!(created.status, 201, "{}", created.text());
    }
    let (sidecar, is_done, turn) = (Arc::new(sidecar), Arc::new(AtomicBool::new(false)), watch::Sender::new(0));
    let free = call_freely(&sidecar, &is_done, 56);
    let paced = call_at_each(&sidecar, &turn, 8);
    let mut all = Vec::new();
    for number in 0..REPLACEMENTS {
        turn.send_replace(number);
        all.extend(env.put("orders", &format!("batch-{number}-"), 2).await);
        replace(api, documents[number / 2 % 3].clone(), number).await;
    }
    is_done.store(true, Ordering::Relaxed);
    drop(turn);
    assert!(free.join_all().await.iter().all(|calls| *calls > 0));
    let calls: usize = paced.join_all().await.iter().sum();
    assert_eq!(env.records("written").await.len(), calls, "each record is written once");
    app.until_accepted(&all).await;
    assert_eq!(app.events().len(), all.len(), "nothing is repeated");
    assert_in_order(&app.events());
    assert_eq!(Arc::into_inner(sidecar).unwrap().stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_disabled_input_keeps_its_position() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let app = RecordingApp::start().await;
    let (sidecar, api) = start_with(&settings(&env, Some(&app))).await;
    assert_eq!(api.post("", &component(&env, "orders-in", &INPUT)).await.status, 201);
    let first = env.put("orders", "first-", 5).await;
    app.until_accepted(&first).await;
    assert_eq!(api.post("/orders-in/disable", &Value::Null).await.status, 200);
    let status = json_of(&api.get("/orders-in/status").await);
    assert_eq!((&status["state"], &status["input"]), (&json!("disabled"), &Value::Null), "{status}");
    until("the leases to be released", async || {
        let rows =
            env.dynamodb.scan().table_name("orders-in").consistent_read(true).send().await.unwrap().items.unwrap();
        rows.iter().all(|row| !row.contains_key("leaseOwner")).then_some(())
    })
    .await;
    let second = env.put("orders", "second-", 5).await;
    assert_eq!(api.post("/orders-in/enable", &Value::Null).await.status, 200);
    app.until_accepted(&second).await;
    assert_eq!(app.events().len(), 10, "it goes on where it was");
    let status = json_of(&api.get("/orders-in/status").await);
    assert_eq!((&status["state"], &status["input"]["stream"]), (&json!("running"), &json!("orders")), "{status}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_change_does_not_wait_for_the_drain_of_an_input() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let (sidecar, api) = start_with(&settings(&env, Some(&app))).await;
    assert_eq!(api.post("", &component(&env, "orders-in", &INPUT)).await.status, 201);
    let held = env.put("orders", "held-", 1).await;
    app.until("the record to be held", |events| events.len() == held.len()).await;
    // The app holds the record until all of these are answered.
    assert_eq!(api.delete("/orders-in").await.status, 204);
    let output = component(&env, "other", &[("streamName", "orders"), ("direction", "output")]);
    assert_eq!(api.post("", &output).await.status, 201);
    assert_eq!(api.post("", &component(&env, "renamed", &INPUT)).await.status, 201, "it takes over the lease table");
    assert_eq!(app.events().len(), 1, "the new input waits for the old one");
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&held).await;
    let more = env.put("orders", "more-", 3).await;
    app.until_accepted(&more).await;
    sidecar.stop().await;
}

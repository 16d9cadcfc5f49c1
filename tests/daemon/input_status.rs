//! What a running sidecar shows of its inputs and their shards.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use bindd::testing::{ScriptedKinesis, ScriptedReply, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

async fn json(sidecar: &Sidecar, path: &str) -> Value {
    let response = calls::get(sidecar.address(), path).await;
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).unwrap()
}

/// Waits until one of the shards is as `is_shown` says.
async fn until_shard(sidecar: &Sidecar, what: &str, is_shown: impl Fn(&Value) -> bool) -> Value {
    until(what, async || {
        let page = json(sidecar, "/v1.0-alpha1/inputs").await;
        page["inputs"][0]["shards"].as_array()?.iter().find(|shard| is_shown(shard)).cloned()
    })
    .await
}

#[tokio::test]
async fn a_shard_shows_its_failing_key_and_then_its_checkpoint() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    let all = env.put("orders", "secret-", 1).await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Respond(500));
    let sidecar = env.sidecar(Some(&app)).await;
    let failing = until_shard(&sidecar, "a failing key", |shard| {
        shard["parkedKeys"] == 1 && shard["lastError"].is_string() && shard["lagMs"].as_u64() > Some(0)
    })
    .await;
    assert_eq!(failing["lastError"], "the app answered 500 to POST /orders-in");
    assert_eq!((&failing["state"], &failing["checkpoint"]), (&"reading".into(), &"TRIM_HORIZON".into()));
    assert_eq!(failing["bufferedRecords"], 1);

    // An app that fails is no reason to restart the sidecar.
    assert_eq!(calls::get(sidecar.address(), "/v1.0/healthz").await.status, 204);
    let metadata = json(&sidecar, "/v1.0/metadata").await;
    let shown = &metadata["inputs"][0];
    assert_eq!((&shown["name"], &shown["mode"]), (&"orders-in".into(), &"shared".into()));
    assert_eq!((&shown["stream"], &shown["leaseTable"]), (&"orders".into(), &"orders-in".into()));
    assert_eq!(metadata["components"][0]["name"], "orders-in");
    assert!(!metadata.to_string().contains("secret-"), "{metadata}");

    app.behave(Behaviour::Respond(200));
    app.until_accepted(&all).await;
    let sequence = app.events()[0].header("bindd-sequence-number").to_owned();
    let done = until_shard(&sidecar, "the checkpoint", |shard| shard["checkpoint"] == sequence.as_str()).await;
    assert_eq!((&done["parkedKeys"], &done["inFlight"]), (&0.into(), &0.into()));
    assert_eq!(done["subSequenceNumber"], 0);
    sidecar.stop().await;
}

#[tokio::test]
async fn two_sidecars_show_the_same_shards_and_who_reads_them() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input_with_short_leases("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let first = env.sidecar(Some(&app)).await;
    until_shard(&first, "a shard", |shard| shard["state"] == "reading").await;
    let second = env.sidecar(Some(&app)).await;
    let own = until_shard(&second, "a shard of the second", |shard| shard["state"] == "reading").await;
    let other = until_shard(&first, "the same shard", |shard| shard["state"] == "other_owner").await;
    assert_eq!((&other["shardId"], &other["owner"]), (&own["shardId"], &own["owner"]));
    assert!(other.get("lagMs").is_none(), "{other}");
    first.stop().await;
    second.stop().await;
}

/// Kinesis with one empty shard, whose stream distributes records itself while `is_auto`.
async fn stream_without_keys(is_auto: &Arc<AtomicBool>) -> ScriptedKinesis {
    let is_auto = Arc::clone(is_auto);
    let script = move |operation: &str, _: &Value| match operation {
        "DescribeStreamSummary" => ScriptedReply::ok(&json!({ "StreamDescriptionSummary": {
            "StreamName": "orders", "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
            "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_700_000_000,
            "EnhancedMonitoring": [], "OpenShardCount": 1,
            "RecordDistributionStrategy": if is_auto.load(Ordering::Relaxed) { "AUTO" } else { "USER_PARTITION_KEY" },
        }})),
        "ListShards" => ScriptedReply::ok(&json!({ "Shards": [{
            "ShardId": "shardId-000000000000",
            "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() },
            "SequenceNumberRange": { "StartingSequenceNumber": "1" },
        }]})),
        "GetShardIterator" => ScriptedReply::ok(&json!({ "ShardIterator": "iterator" })),
        _ => {
            let empty = json!({ "Records": [], "NextShardIterator": "iterator", "MillisBehindLatest": 0 });
            ScriptedReply::ok(&empty)
        }
    };
    ScriptedKinesis::start(script).await.unwrap()
}

#[tokio::test]
async fn an_input_with_order_by_key_refuses_a_stream_that_has_none_and_says_what_to_set() {
    let env = Environment::start().await;
    let is_auto = Arc::new(AtomicBool::new(true));
    let server = stream_without_keys(&is_auto).await;
    let leases = env.dynamodb_url();
    for (name, order) in [("by-key", None), ("by-shard", Some("shard"))] {
        let fixed =
            [("streamName", "orders"), ("consumerName", name), ("leaseEndpoint", &leases), ("direction", "input")];
        let fields: Vec<_> = fixed.into_iter().chain(order.map(|order| ("order", order))).collect();
        env.component(name, "bindings.aws.kinesis", &server.url(), &fields);
    }
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let input = async |name: &str| {
        let page = json(&sidecar, "/v1.0-alpha1/inputs").await;
        page["inputs"].as_array()?.iter().find(|input| input["name"] == name).cloned()
    };
    let refusal = until("the refusal", async || input("by-key").await?["refusal"].as_str().map(str::to_owned)).await;
    assert!(refusal.contains("set `order: shard` or `order: none`"), "{refusal}");
    let health = calls::get(sidecar.address(), "/v1.0/healthz").await;
    assert!(health.status != 204 && health.text().contains("input by-key"), "{}", health.text());
    until("the other input to read", async || {
        (input("by-shard").await?["shards"][0]["state"] == "reading").then_some(())
    })
    .await;
    assert_eq!(input("by-key").await.unwrap()["shardCount"], 0, "no lease was taken");

    is_auto.store(false, Ordering::Relaxed);
    until("the input to read", async || (input("by-key").await?["shards"][0]["state"] == "reading").then_some(()))
        .await;
    assert!(input("by-key").await.unwrap().get("refusal").is_none());
    sidecar.stop().await;
}

use super::*;
use crate::domain::{LeaseCounter, RecordPosition, ShardId, ShardState, WorkerId};
use serde_json::{Value, json};
use std::time::Duration;

fn held(error: Option<&str>) -> HeldShard {
    HeldShard {
        state: ShardState::Reading,
        epoch: LeaseCounter::new(7),
        lag: Duration::from_millis(1_500),
        parked: 2,
        in_flight: 3,
        buffered_records: 40,
        buffered_bytes: 5_000,
        last_error: error.map(|text| ErrorReport { message: text.into(), age: Duration::from_millis(250) }),
    }
}

fn shard(id: &str, owner: Option<&str>, checkpoint: Checkpoint, held: Option<HeldShard>) -> ShardReport {
    ShardReport { shard: ShardId::new(id), owner: owner.map(WorkerId::new), next_owner: None, checkpoint, held }
}

fn page(shards: Vec<ShardReport>) -> Value {
    let report = InputReport {
        mode: "shared",
        stream: "orders".to_owned(),
        lease_table: "shop".to_owned(),
        worker: WorkerId::new("me"),
        last_error: None,
        shards,
    };
    let state = InputState { refusal: None, fallback: Some("polling".to_owned()), report: Some(report) };
    serde_json::to_value(InputEntry::new("orders-in", state)).unwrap()
}

#[test]
fn an_input_shows_its_own_shards_in_full_and_the_leases_of_others() {
    let after = Checkpoint::After(RecordPosition { sequence: "495".parse().unwrap(), sub_sequence: 1 });
    let start = || Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
    let shown = page(vec![
        shard("shardId-0", Some("me"), after, Some(held(Some("the app answered 500 to POST /orders-in")))),
        shard("shardId-1", Some("other"), start(), None),
        shard("shardId-2", None, start(), None),
    ]);
    let expected = json!({
        "name": "orders-in",
        "fallback": "polling",
        "mode": "shared",
        "stream": "orders",
        "leaseTable": "shop",
        "worker": "me",
        "shardCount": 3,
        "heldShardCount": 1,
        "omittedShardCount": 0,
        "shards": [
            {
                "shardId": "shardId-0",
                "state": "reading",
                "owner": "me",
                "checkpoint": "495",
                "subSequenceNumber": 1,
                "epoch": 7,
                "lagMs": 1500,
                "parkedKeys": 2,
                "inFlight": 3,
                "bufferedRecords": 40,
                "bufferedBytes": 5000,
                "lastError": "the app answered 500 to POST /orders-in",
                "lastErrorAgeMs": 250,
            },
            {"shardId": "shardId-1", "state": "other_owner", "owner": "other", "checkpoint": "TRIM_HORIZON"},
            {"shardId": "shardId-2", "state": "no_owner", "checkpoint": "TRIM_HORIZON"},
        ],
    });
    assert_eq!(shown, expected);
}

#[test]
fn the_page_of_a_large_stream_is_bounded_and_keeps_what_this_sidecar_reads() {
    let long = "x".repeat(500);
    let shards = (0..3_000_usize)
        .map(|index| {
            let is_held = index % 6 == 5;
            let id = format!("shardId-{index:012}");
            let start = Checkpoint::NotStarted(SentinelCheckpoint::Latest);
            shard(&id, Some("me"), start, is_held.then(|| held(Some(&long))))
        })
        .collect();
    let shown = page(shards);
    let listed = shown["shards"].as_array().unwrap();
    let held = listed.iter().filter(|shard| shard["state"] == "reading").count();
    assert_eq!((&shown["shardCount"], listed.len(), held), (&json!(3_000), MAX_SHARDS, 500));
    assert!(shown.to_string().len() < 1 << 20);
}

#[test]
fn an_input_that_is_refused_says_why() {
    let state = InputState { refusal: Some("no access".to_owned()), fallback: None, report: None };
    let shown = serde_json::to_value(InputEntry::new("orders-in", state)).unwrap();
    assert_eq!(shown, json!({"name": "orders-in", "refusal": "no access"}));
}

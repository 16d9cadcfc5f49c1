use super::*;
use crate::domain::{HashKeyRange, ShardId, ShardMapReport, Timestamp};
use serde_json::json;
use std::time::Duration;

fn shard(number: u128, limiter_factor: f64) -> OutputShard {
    let range = HashKeyRange { start: number << 64, end: u128::MAX };
    OutputShard { shard: ShardId::new(format!("shardId-{number:012}")), range, limiter_factor }
}

fn shown(shards: Option<Vec<OutputShard>>) -> Value {
    let limit = RateLimitReport {
        mode: "adaptive",
        records_per_second: Some(1_000),
        bytes_per_second: 1 << 20,
        stream_factor: Some(2.0 / 3.0),
    };
    let report = OutputReport {
        pending_records: 3,
        pending_bytes: 900,
        rate_limit: Some(limit),
        shard_map: shards.map(|shards| ShardMapReport { age: Duration::from_millis(1_500), shards }),
    };
    serde_json::to_value(OutputEntry::new(report)).unwrap()
}

#[test]
fn an_output_shows_its_limits_and_its_shards() {
    let limit = json!({
        "mode": "adaptive", "recordsPerShardPerSecond": 1000, "bytesPerShardPerSecond": 1_048_576,
        "streamFactor": 0.667,
    });
    let expected = json!({
        "pendingRecords": 3, "pendingBytes": 900, "rateLimit": limit,
        "shardMapAgeMs": 1500, "shardCount": 2, "omittedShardCount": 0,
        "shards": [
            {
                "shardId": "shardId-000000000000", "startingHashKey": "0",
                "endingHashKey": "340282366920938463463374607431768211455", "limiterFactor": 1.0,
            },
            {
                "shardId": "shardId-000000000001", "startingHashKey": "18446744073709551616",
                "endingHashKey": "340282366920938463463374607431768211455", "limiterFactor": 0.35,
            },
        ],
    });
    assert_eq!(shown(Some(vec![shard(0, 1.0), shard(1, 0.35)])), expected);
    let unlisted = json!({"pendingRecords": 3, "pendingBytes": 900, "rateLimit": limit});
    assert_eq!(shown(None), unlisted);
}

#[test]
fn the_status_of_a_stream_with_many_shards_is_bounded_and_shows_slowed_shards() {
    let shards = (0..10_000).map(|number| shard(number, if number == 9_999 { 0.05 } else { 1.0 })).collect();
    let status = shown(Some(shards));
    assert_eq!((&status["shardCount"], &status["omittedShardCount"]), (&json!(10_000), &json!(9_000)));
    let shards = status["shards"].as_array().unwrap();
    assert_eq!((shards.len(), &shards[0]["shardId"]), (1_000, &json!("shardId-000000009999")));
    assert_eq!(shards[1]["shardId"], "shardId-000000000000", "the others are in the order of their hash keys");
    assert!(status.to_string().len() < 300_000, "{}", status.to_string().len());
}

#[test]
fn credentials_are_shown_by_their_source_and_expiry() {
    let available = |expires_at, is_refused| CredentialReport::Available {
        source: "environment".to_owned(),
        expires_at,
        is_refused,
    };
    for (report, expected) in [
        (CredentialReport::Loading, json!({"state": "loading"})),
        (available(None, false), json!({"state": "available", "source": "environment"})),
        (
            available(Some(Timestamp::from_millis(1_700_000_000_007)), true),
            json!({"state": "refused", "source": "environment", "expiresAt": "2023-11-14T22:13:20.007Z"}),
        ),
        (CredentialReport::Missing { reason: "no".to_owned() }, json!({"state": "missing", "error": "no"})),
    ] {
        assert_eq!(serde_json::to_value(CredentialEntry::new(report)).unwrap(), expected);
    }
}

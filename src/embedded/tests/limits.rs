//! The size limits of a record, UpdateShardCount, ShardFilter and the end of a shard, as in AWS.

use super::super::EmbeddedSettings;
use super::{call, kinesis, start, three_records};
use crate::testing::within;
use serde_json::{Value, json};

async fn put(url: &str, operation: &str, body: &Value) -> (u16, String) {
    call(url, &format!("Kinesis_20131202.{operation}"), body).await
}

#[tokio::test]
async fn a_partition_key_is_counted_in_characters() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    three_records(&url).await;
    for (key, is_accepted) in [
        ("k".repeat(256), true),
        ("k".repeat(257), false),
        ("ü".repeat(256), true),
        ("\u{1f600}".repeat(128), true),
        ("\u{1f600}".repeat(256), true),
        ("\u{1f600}".repeat(257), false),
        (String::new(), false),
    ] {
        let single = json!({"StreamName": "s", "PartitionKey": key, "Data": "AA=="});
        let many = json!({"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "Records": [{"PartitionKey": "short", "Data": ""}, {"PartitionKey": key, "Data": "AA=="}]});
        for (operation, body) in [("PutRecord", &single), ("PutRecords", &many)] {
            let (status, text) = put(&url, operation, body).await;
            assert_eq!(status == 200, is_accepted, "{operation}, {} characters: {text}", key.chars().count());
            assert!(is_accepted || text.contains("ValidationException"), "{text}");
        }
    }
    let request = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = kinesis(&url, "GetShardIterator", &request).await;
    let records = kinesis(&url, "GetRecords", &json!({"ShardIterator": iterator["ShardIterator"]})).await;
    let keys: Vec<&str> =
        records["Records"].as_array().unwrap().iter().map(|r| r["PartitionKey"].as_str().unwrap()).collect();
    assert!(keys.contains(&"\u{1f600}".repeat(256).as_str()), "the key is stored unchanged");
    assert_eq!(keys.len(), 3 + 4 + 2 * 4);
    aws.stop().await;
}

#[tokio::test]
async fn data_and_key_together_count_towards_the_size_limit() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    three_records(&url).await;
    for (data, key, is_accepted) in [((1 << 20) - 1, "k", true), (1 << 20, "k", false), ((1 << 20) - 1, "ü", false)] {
        let data = base64_simd::STANDARD.encode_to_string(vec![0; data]);
        let record = json!({"PartitionKey": key, "Data": data});
        let single = json!({"StreamName": "s", "PartitionKey": key, "Data": data});
        let many = json!({"StreamName": "s", "Records": [{"PartitionKey": "k", "Data": ""}, record]});
        for (operation, body) in [("PutRecord", &single), ("PutRecords", &many)] {
            let (status, text) = put(&url, operation, body).await;
            assert_eq!(status == 200, is_accepted, "{operation}: {text}");
            assert!(is_accepted || (text.contains("InvalidArgumentException") && text.contains("1048576")), "{text}");
        }
    }
    aws.stop().await;
}

async fn shards(url: &str) -> Vec<Value> {
    let listed = kinesis(url, "ListShards", &json!({"StreamName": "s"})).await;
    listed["Shards"].as_array().unwrap().clone()
}

fn is_open(shard: &Value) -> bool {
    shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null()
}

#[tokio::test]
async fn shards_opened_by_update_shard_count_name_their_parents() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    three_records(&url).await;
    let mut current = 1;
    for target in [2, 4, 3, 6, 1] {
        let request = json!({"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"});
        let response = kinesis(&url, "UpdateShardCount", &request).await;
        assert_eq!((&response["CurrentShardCount"], &response["TargetShardCount"]), (&json!(current), &json!(target)));
        current = target;
        let all = shards(&url).await;
        let mut starts: Vec<u128> = all.iter().filter(|shard| is_open(shard)).map(first_key).collect();
        starts.sort_unstable();
        assert_eq!(starts.len(), target, "{all:#?}");
        assert!(starts[0] == 0 && starts.windows(2).all(|pair| pair[0] < pair[1]));
        for shard in &all[1..] {
            let parents: Vec<&Value> = [&shard["ParentShardId"], &shard["AdjacentParentShardId"]]
                .into_iter()
                .filter_map(|id| all.iter().find(|parent| id.is_string() && parent["ShardId"] == *id))
                .collect();
            assert!(!parents.is_empty() && parents.iter().all(|parent| !is_open(parent)), "{shard:#}");
            assert!(first_key(parents[0]) <= first_key(shard), "a parent has the hash keys of its child: {shard:#}");
        }
    }
    aws.stop().await;
}

#[tokio::test]
async fn list_shards_applies_the_filter() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    three_records(&url).await;
    let count = json!({"StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"});
    kinesis(&url, "UpdateShardCount", &count).await;
    for (kind, ids) in [("AT_TRIM_HORIZON", &[0][..]), ("AT_LATEST", &[1, 2]), ("FROM_TRIM_HORIZON", &[0, 1, 2])] {
        let request = json!({"StreamName": "s", "ShardFilter": {"Type": kind}});
        let listed = kinesis(&url, "ListShards", &request).await;
        let expected: Vec<String> = ids.iter().map(|id| format!("shardId-{id:012}")).collect();
        let shards = listed["Shards"].as_array().unwrap();
        assert_eq!(
            shards.iter().map(|shard| shard["ShardId"].as_str().unwrap()).collect::<Vec<_>>(),
            expected,
            "{kind}"
        );
    }
    let (status, text) = put(&url, "ListShards", &json!({"StreamName": "s", "ShardFilter": {"Type": "SOME"}})).await;
    assert!(status == 400 && text.contains("ValidationException"), "{text}");
    aws.stop().await;
}

#[tokio::test]
async fn the_last_page_and_the_last_event_of_a_shard_name_its_children_and_no_next_position() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    let (consumer, _) = three_records(&url).await;
    let count = json!({"StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"});
    kinesis(&url, "UpdateShardCount", &count).await;
    let request = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let mut iterator = kinesis(&url, "GetShardIterator", &request).await["ShardIterator"].clone();
    let last = within("the last page", async {
        loop {
            let page = kinesis(&url, "GetRecords", &json!({"ShardIterator": iterator})).await;
            iterator = page["NextShardIterator"].clone();
            if iterator.is_null() {
                return page;
            }
            assert_eq!(page.get("ChildShards"), None, "there is more to read");
        }
    })
    .await;
    let children: Vec<(&str, &Value)> = last["ChildShards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| (child["ShardId"].as_str().unwrap(), &child["ParentShards"]))
        .collect();
    let parents = json!(["shardId-000000000000"]);
    assert_eq!(children, [("shardId-000000000001", &parents), ("shardId-000000000002", &parents)]);

    // A subscription to a closed shard ends without a timeout.
    let request = json!({"ConsumerARN": consumer, "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "TRIM_HORIZON"}});
    let text = within("the end", call(&url, "Kinesis_20131202.SubscribeToShard", &request)).await.1;
    let events: Vec<&str> = text.split("SubscribeToShardEvent").skip(1).collect();
    let (last, earlier) = events.split_last().unwrap();
    assert!(last.contains("shardId-000000000002") && !last.contains("ContinuationSequenceNumber"), "{last}");
    assert!(!earlier.is_empty() && earlier.iter().all(|event| !event.contains("shardId-000000000002")), "{text}");
    aws.stop().await;
}

fn first_key(shard: &Value) -> u128 {
    shard["HashKeyRange"]["StartingHashKey"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_invalid_shard_count_is_rejected() {
    let aws = start(EmbeddedSettings::default()).await;
    let url = aws.kinesis_url();
    three_records(&url).await;
    for (stream, target, scaling, code) in [
        ("s", json!(1), "UNIFORM_SCALING", "InvalidArgumentException"),
        ("s", json!(0), "UNIFORM_SCALING", "ValidationException"),
        ("s", json!(501), "UNIFORM_SCALING", "LimitExceededException"),
        ("s", json!("two"), "UNIFORM_SCALING", "SerializationException"),
        ("s", json!(2), "OTHER", "ValidationException"),
        ("nowhere", json!(2), "UNIFORM_SCALING", "ResourceNotFoundException"),
    ] {
        let request = json!({"StreamName": stream, "TargetShardCount": target, "ScalingType": scaling});
        let (status, text) = put(&url, "UpdateShardCount", &request).await;
        assert!(status == 400 && text.contains(code), "{request}: {text}");
    }
    assert_eq!(shards(&url).await.len(), 1);
    aws.stop().await;
}

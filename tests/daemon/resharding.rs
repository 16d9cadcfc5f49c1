use crate::environment::Environment;
use crate::fakes::RecordingApp;
use std::collections::HashMap;

/// The middle of a shard's hash keys.
pub(crate) fn middle(shard: &aws_sdk_kinesis::types::Shard) -> String {
    let range = shard.hash_key_range.as_ref().unwrap();
    let end = |text: &str| text.parse::<u128>().unwrap();
    (end(&range.starting_hash_key) / 2 + end(&range.ending_hash_key) / 2 + 1).to_string()
}

/// Accepted texts of each key in order of arrival, each at its first arrival.
fn by_key(app: &RecordingApp) -> HashMap<String, Vec<String>> {
    let mut keys: HashMap<String, Vec<String>> = HashMap::new();
    for event in app.events().iter().filter(|event| event.accepted) {
        let texts = keys.entry(event.header("bindd-partition-key").to_owned()).or_default();
        if !texts.contains(&event.text()) {
            texts.push(event.text());
        }
    }
    keys
}

async fn nothing_is_lost_or_overtaken(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", mode);
    let app = RecordingApp::start().await;
    let mut all = env.put("orders", "one-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;

    let parent = env.shards("orders").await.remove(0);
    let split = env.kinesis.split_shard().stream_name("orders").shard_to_split(&parent.shard_id);
    split.new_starting_hash_key(middle(&parent)).send().await.unwrap();
    env.until_active("orders").await;
    all.extend(env.put("orders", "two-", 10).await);

    let open: Vec<_> =
        env.shards("orders").await.into_iter().filter(|shard| shard.shard_id != parent.shard_id).collect();
    let merge = env.kinesis.merge_shards().stream_name("orders").shard_to_merge(&open[0].shard_id);
    merge.adjacent_shard_to_merge(&open[1].shard_id).send().await.unwrap();
    env.until_active("orders").await;
    all.extend(env.put("orders", "three-", 10).await);

    app.until_accepted(&all).await;
    for (key, texts) in by_key(&app) {
        let expected: Vec<_> = all.iter().filter(|text| texts.contains(text)).cloned().collect();
        assert_eq!(texts, expected, "{key}: parents come before their children");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn shared_reads_through_split_and_merge() {
    nothing_is_lost_or_overtaken("shared").await;
}

#[tokio::test]
async fn fan_out_reads_through_split_and_merge() {
    nothing_is_lost_or_overtaken("extended").await;
}

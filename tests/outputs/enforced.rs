//! The embedded Kinesis with the limits of real shards, read back record by record.

use crate::callers::{Crowd, record, send_all};
use crate::judge::{assert_true, statuses};
use crate::waiting::until;
use crate::world::{Components, kinesis_client};
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use bindd::embedded::{Aws, EmbeddedSettings};
use bindd::testing::StoredRecord;

async fn read_back(client: &aws_sdk_kinesis::Client) -> Vec<StoredRecord> {
    let mut stored = Vec::new();
    for shard in client.list_shards().stream_name("orders").send().await.unwrap().shards() {
        let from = client.get_shard_iterator().stream_name("orders").shard_id(shard.shard_id());
        let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = from.send().await.unwrap().shard_iterator;
        while let Some(token) = iterator {
            let page = client.get_records().shard_iterator(token).send().await.unwrap();
            stored.extend(page.records.iter().map(|record| StoredRecord {
                shard: shard.shard_id().to_owned(),
                sequence: record.sequence_number().to_owned(),
                partition_key: record.partition_key().unwrap_or_default().to_owned(),
                data: record.data().as_ref().to_vec().into(),
            }));
            iterator = page.next_shard_iterator.filter(|_| !page.records.is_empty());
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_above_the_limits_of_a_shard_are_never_lost_or_doubled() {
    let aws = Aws::start(EmbeddedSettings { enforce_limits: true, ..EmbeddedSettings::default() }).await.unwrap();
    let client = kinesis_client(&aws.kinesis_url());
    client.create_stream().stream_name("orders").shard_count(2).send().await.unwrap();
    until("the stream to be active", async || {
        let answer = client.describe_stream_summary().stream_name("orders").send().await.ok()?;
        (answer.stream_description_summary?.stream_status == StreamStatus::Active).then_some(())
    })
    .await;
    let sidecar = Components::kinesis(&aws.kinesis_url(), &[]).sidecar().await;
    let crowd = Crowd { callers: 64, records: 80 };
    let sent = crowd.callers * crowd.records;
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 997)).await;
    sidecar.stop().await;
    let stored = read_back(&client).await;
    assert_true(&told, sent, &stored);
    assert_eq!(statuses(&told), [(204, sent)].into(), "ten seconds are enough for what two shards take in three");
    assert_eq!(stored.len(), sent, "no record twice");
    aws.stop().await;
}

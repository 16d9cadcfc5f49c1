//! The embedded Kinesis with the limits of real shards, read back record by record.

use super::callers::{Crowd, record, send_all};
use super::judge::{assert_true, statuses};
use super::world::{Components, create_stream, kinesis_client, read_back};
use bindd::embedded::{Aws, EmbeddedSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_above_the_limits_of_a_shard_are_never_lost_or_doubled() {
    let aws = Aws::start(EmbeddedSettings { enforce_limits: true, ..EmbeddedSettings::default() }).await.unwrap();
    let client = kinesis_client(&aws.kinesis_url());
    create_stream(&client, "orders", 2).await;
    let sidecar = Components::kinesis(&aws.kinesis_url(), &[]).sidecar().await;
    let crowd = Crowd { callers: 64, records: 80 };
    let sent = crowd.callers * crowd.records;
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 997)).await;
    sidecar.stop().await;
    let stored = read_back(&client, "orders").await;
    assert_true(&told, sent, &stored);
    assert_eq!(statuses(&told), [(204, sent)].into(), "two shards take them in three seconds");
    assert_eq!(stored.len(), sent, "no record twice");
    aws.stop().await;
}

//! Embedded Kinesis with the throughput limits of real shards.

use super::assertions::{assert_consistent, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, create_stream, kinesis_client, read_back};
use bindd::embedded::{Aws, EmbeddedSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_above_the_limits_of_a_shard_are_never_lost_or_duplicated() {
    let aws = Aws::start(EmbeddedSettings { enforce_limits: true, ..EmbeddedSettings::default() }).await.unwrap();
    let client = kinesis_client(&aws.kinesis_url());
    create_stream(&client, "orders", 2).await;
    let sidecar = Components::kinesis(&aws.kinesis_url(), &[]).sidecar().await;
    let load = Load { callers: 64, records: 80 };
    let sent = load.callers * load.records;
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 997)).await;
    sidecar.stop().await;
    let stored = read_back(&client, "orders").await;
    assert_consistent(&results, sent, &stored);
    assert_eq!(statuses(&results), [(204, sent)].into(), "two shards accept all records in three seconds");
    assert_eq!(stored.len(), sent, "no record is stored twice");
    aws.stop().await;
}

//! Streams that come late or are replaced, and lease rows that an operator deletes.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{ScalingType, ShardFilter, ShardFilterType};
use bindd::testing::until;
use std::time::Duration;

const TABLE: &str = "orders-in";

impl Environment {
    fn latest_input(&self, mode: &str) {
        self.kinesis_component(
            TABLE,
            &[("streamName", "orders"), ("consumerName", TABLE), ("mode", mode), ("leaseDuration", "1s")],
        );
    }

    /// The keys of all rows of the lease table; none while it does not exist.
    async fn lease_keys(&self) -> Vec<AttributeValue> {
        let response = self.dynamodb.scan().table_name(TABLE).consistent_read(true).send().await;
        let rows = response.ok().and_then(|response| response.items).unwrap_or_default();
        rows.into_iter().filter_map(|mut row| row.remove("leaseKey")).collect()
    }

    async fn delete_lease(&self, key: AttributeValue) {
        self.dynamodb.delete_item().table_name(TABLE).key("leaseKey", key).send().await.unwrap();
    }

    async fn until_leases(&self, count: usize) {
        until("the lease rows to be there", async || (self.lease_keys().await.len() == count).then_some(())).await;
    }

    /// Deletes the stream and creates it again.
    async fn recreate(&self, shards: i32) {
        self.kinesis.delete_stream().stream_name("orders").send().await.unwrap();
        until("the stream to be created again", async || {
            self.kinesis.create_stream().stream_name("orders").shard_count(shards).send().await.ok()
        })
        .await;
        self.until_active("orders").await;
    }
}

async fn health(sidecar: &Sidecar) -> u16 {
    calls::get(sidecar.address(), "/v1.0/healthz").await.status.as_u16()
}

async fn a_stream_that_is_created_late_is_read_from_its_creation(mode: &str) {
    let env = Environment::start().await;
    env.latest_input(mode);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    // The input begins once the app has answered.
    until("the probe", async || (!app.probes().is_empty()).then_some(())).await;
    env.stream("orders", 2).await;
    let all = env.put("orders", "order-", 6).await;
    app.until_accepted(&all).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn shared_a_stream_that_is_created_late_is_read_from_its_creation() {
    a_stream_that_is_created_late_is_read_from_its_creation("shared").await;
}

#[tokio::test]
async fn fan_out_a_stream_that_is_created_late_is_read_from_its_creation() {
    a_stream_that_is_created_late_is_read_from_its_creation("extended").await;
}

#[tokio::test]
async fn lease_rows_that_are_deleted_while_records_wait_skip_none_of_them() {
    for deleted in [1, 2] {
        let env = Environment::start().await;
        env.stream("orders", 2).await;
        env.latest_input("shared");
        let app = RecordingApp::start().await;
        app.behave(Behaviour::Respond(500));
        let sidecar = env.sidecar(Some(&app)).await;
        env.until_leases(2).await;
        let all = env.put("orders", "order-", 20).await;
        app.until("a delivery", |events| !events.is_empty()).await;
        env.until_older_than("orders", Duration::from_millis(2_500)).await;
        for key in env.lease_keys().await.into_iter().take(deleted) {
            env.delete_lease(key).await;
        }
        env.until_leases(2).await;
        app.behave(Behaviour::Respond(200));
        app.until_accepted(&all).await;
        sidecar.stop().await;
    }
}

async fn nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.latest_input(mode);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    env.until_leases(2).await;
    let old = env.put("orders", "old-", 6).await;
    app.until_accepted(&old).await;
    // Creation times are in whole seconds.
    env.until_older_than("orders", Duration::from_millis(2_500)).await;
    assert_eq!(health(&sidecar).await, 204);
    env.recreate(2).await;
    let new = env.put("orders", "new-", 6).await;
    until("the sidecar to report it", async || (health(&sidecar).await == 500).then_some(())).await;
    let response = calls::get(sidecar.address(), "/v1.0/healthz").await;
    for part in ["orders-in", "created again", "delete lease table"] {
        assert!(response.text().contains(part), "{part} is not in {}", response.text());
    }
    assert!(app.accepted().iter().all(|text| text.starts_with("old-")), "{:?}", app.accepted());
    env.until_older_than("orders", Duration::from_millis(2_500)).await;
    for key in env.lease_keys().await {
        env.delete_lease(key).await;
    }
    app.until_accepted(&new).await;
    until("the sidecar to be well", async || (health(&sidecar).await == 204).then_some(())).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn shared_nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees() {
    nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees("shared").await;
}

#[tokio::test]
async fn fan_out_nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees() {
    nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees("extended").await;
}

#[tokio::test]
async fn two_streams_on_one_lease_table_are_not_mixed() {
    let env = Environment::start().await;
    for stream in ["orders", "invoices"] {
        env.stream(stream, 2).await;
    }
    env.input(TABLE, "orders", "shared");
    let app = RecordingApp::start().await;
    let first = env.sidecar(Some(&app)).await;
    let orders = env.put("orders", "order-", 6).await;
    app.until_accepted(&orders).await;
    let other = RecordingApp::start().await;
    env.input(TABLE, "invoices", "shared");
    let second = env.sidecar(Some(&other)).await;
    env.put("invoices", "invoice-", 6).await;
    until("the second to refuse", async || (health(&second).await == 500).then_some(())).await;
    let response = calls::get(second.address(), "/v1.0/healthz").await;
    assert!(response.text().contains("`consumerName` or `leaseTable`"), "{}", response.text());
    assert!(other.events().is_empty());
    let more = env.put("orders", "late-", 6).await;
    app.until_accepted(&more).await;
    assert_eq!(health(&first).await, 204);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn without_a_consumer_an_input_with_a_fallback_polls() {
    let env = Environment::start().await;
    env.stream("orders", 3).await;
    let all = env.put("orders", "order-", 6).await;
    env.kinesis_component(
        TABLE,
        &[
            ("streamName", "orders"),
            ("consumerName", TABLE),
            ("mode", "extended"),
            ("createConsumer", "false"),
            ("fallback", "shared"),
            ("pollInterval", "200ms"),
            ("initialPosition", "trim_horizon"),
        ],
    );
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    let described = env.kinesis.describe_stream_summary().stream_name("orders").send().await.unwrap();
    let arn = described.stream_description_summary.unwrap().stream_arn;
    let consumers = env.kinesis.list_stream_consumers().stream_arn(arn).send().await.unwrap();
    assert!(consumers.consumers().is_empty());
    sidecar.stop().await;
}

#[tokio::test]
async fn the_embedded_stream_lists_its_shards_in_pages_with_their_filter() {
    let env = Environment::start().await;
    env.stream("orders", 4).await;
    let update = env.kinesis.update_shard_count().stream_name("orders").target_shard_count(2);
    update.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
    env.until_active("orders").await;
    let open = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().unwrap();
    let mut page =
        env.kinesis.list_shards().stream_name("orders").shard_filter(open).max_results(3).send().await.unwrap();
    let (mut shards, mut pages) = (page.shards().to_vec(), 1);
    while let Some(token) = page.next_token {
        page = env.kinesis.list_shards().next_token(token).max_results(3).send().await.unwrap();
        shards.extend_from_slice(page.shards());
        pages += 1;
    }
    assert_eq!((shards.len(), pages > 1), (2, true));
    assert!(shards.iter().all(|shard| shard.sequence_number_range().unwrap().ending_sequence_number().is_none()));
}

//! Streams that come late or are replaced, and lease rows that somebody deletes.

use crate::calls;
use crate::fakes::{Behaviour, RecordingApp};
use crate::world::{Sidecar, World};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::testing::until;
use std::time::Duration;

const TABLE: &str = "orders-in";

impl World {
    fn latest_input(&self, mode: &str) {
        self.kinesis_component(
            TABLE,
            &[("streamName", "orders"), ("consumerName", TABLE), ("mode", mode), ("leaseDuration", "1s")],
        );
    }

    /// The keys of all rows of the lease table; none while it does not exist.
    async fn lease_keys(&self) -> Vec<AttributeValue> {
        let answer = self.dynamodb.scan().table_name(TABLE).consistent_read(true).send().await;
        let rows = answer.ok().and_then(|answer| answer.items).unwrap_or_default();
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
    let world = World::start().await;
    world.latest_input(mode);
    let app = RecordingApp::start().await;
    let sidecar = world.sidecar(Some(&app)).await;
    // The input begins once the app has answered.
    until("the app to be asked", async || (!app.probes().is_empty()).then_some(())).await;
    world.stream("orders", 2).await;
    let all = world.put("orders", "order-", 6).await;
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
        let world = World::start().await;
        world.stream("orders", 2).await;
        world.latest_input("shared");
        let app = RecordingApp::start().await;
        app.behave(Behaviour::Answer(500));
        let sidecar = world.sidecar(Some(&app)).await;
        world.until_leases(2).await;
        let all = world.put("orders", "order-", 20).await;
        app.until("a delivery", |events| !events.is_empty()).await;
        world.until_older_than("orders", Duration::from_millis(2_500)).await;
        for key in world.lease_keys().await.into_iter().take(deleted) {
            world.delete_lease(key).await;
        }
        world.until_leases(2).await;
        app.behave(Behaviour::Answer(200));
        app.until_accepted(&all).await;
        sidecar.stop().await;
    }
}

async fn nothing_of_a_replaced_stream_is_delivered_before_the_operator_agrees(mode: &str) {
    let world = World::start().await;
    world.stream("orders", 2).await;
    world.latest_input(mode);
    let app = RecordingApp::start().await;
    let sidecar = world.sidecar(Some(&app)).await;
    world.until_leases(2).await;
    let old = world.put("orders", "old-", 6).await;
    app.until_accepted(&old).await;
    // Creation times are told in whole seconds.
    world.until_older_than("orders", Duration::from_millis(2_500)).await;
    assert_eq!(health(&sidecar).await, 204);
    world.recreate(2).await;
    let new = world.put("orders", "new-", 6).await;
    until("the sidecar to report it", async || (health(&sidecar).await == 500).then_some(())).await;
    let answer = calls::get(sidecar.address(), "/v1.0/healthz").await;
    for part in ["orders-in", "created again", "delete lease table"] {
        assert!(answer.text().contains(part), "{part} is not in {}", answer.text());
    }
    assert!(app.accepted().iter().all(|text| text.starts_with("old-")), "{:?}", app.accepted());
    world.until_older_than("orders", Duration::from_millis(2_500)).await;
    for key in world.lease_keys().await {
        world.delete_lease(key).await;
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
    let world = World::start().await;
    for stream in ["orders", "invoices"] {
        world.stream(stream, 2).await;
    }
    world.input(TABLE, "orders", "shared");
    let app = RecordingApp::start().await;
    let first = world.sidecar(Some(&app)).await;
    let orders = world.put("orders", "order-", 6).await;
    app.until_accepted(&orders).await;
    let other = RecordingApp::start().await;
    world.input(TABLE, "invoices", "shared");
    let second = world.sidecar(Some(&other)).await;
    world.put("invoices", "invoice-", 6).await;
    until("the second to refuse", async || (health(&second).await == 500).then_some(())).await;
    let answer = calls::get(second.address(), "/v1.0/healthz").await;
    assert!(answer.text().contains("`consumerName` or `leaseTable`"), "{}", answer.text());
    assert!(other.events().is_empty());
    let more = world.put("orders", "late-", 6).await;
    app.until_accepted(&more).await;
    assert_eq!(health(&first).await, 204);
    second.stop().await;
    first.stop().await;
}

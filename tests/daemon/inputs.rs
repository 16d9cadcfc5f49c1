//! Both ways of reading must show the same behaviour.

use crate::environment::Environment;
use crate::fakes::{Event, RecordingApp};
use bindd::testing::until;
use std::collections::HashMap;
use std::time::Duration;

/// Sequence numbers of accepted events never fall within a partition key. A repeated delivery is no fall in this sense only
/// where the caller says that nothing was repeated.
pub(crate) fn assert_in_order(events: &[Event]) {
    let mut last: HashMap<String, String> = HashMap::new();
    for event in events.iter().filter(|event| event.accepted) {
        let key = format!("{} {}", event.route, event.header("bindd-partition-key"));
        let number = format!("{:0>60}", event.header("bindd-sequence-number"));
        if let Some(before) = last.insert(key.clone(), number.clone()) {
            assert!(before < number, "{} came out of order on {key}", event.text());
        }
    }
}

async fn records_of_all_shards_arrive_in_order(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", mode);
    let app = RecordingApp::start().await;
    let before = env.put("orders", "before-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&before).await;
    let after = env.put("orders", "after-", 10).await;
    app.until_accepted(&after).await;

    let events = app.events();
    assert_eq!(events.len(), 20, "nothing is repeated");
    assert_in_order(&events);
    let first = &events[0];
    assert_eq!(first.route, "orders-in");
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("bindd-attempt"), "1");
    assert!(first.header("bindd-partition-key").starts_with("key-"));
    sidecar.stop().await;
}

#[tokio::test]
async fn shared_records_of_all_shards_arrive_in_order() {
    records_of_all_shards_arrive_in_order("shared").await;
}

#[tokio::test]
async fn fan_out_records_of_all_shards_arrive_in_order() {
    records_of_all_shards_arrive_in_order("extended").await;
}

#[tokio::test]
async fn a_new_consumer_begins_at_the_newest_record_unless_told_otherwise() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [("streamName", "orders"), ("consumerName", "orders-in"), ("route", "/taken/here")];
    env.kinesis_component("orders-in", &fields);
    env.put("orders", "old-", 3).await;
    env.until_older_than("orders", Duration::from_millis(2_500)).await;
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let mut all = Vec::new();
    until("a new record to arrive", async || {
        all.extend(env.put("orders", &format!("new-{}-", all.len()), 1).await);
        (!app.events().is_empty()).then_some(())
    })
    .await;
    assert!(app.events().iter().all(|event| event.text().starts_with("new-") && event.route == "taken/here"));
    assert_eq!(app.probes(), ["taken/here"]);
    sidecar.stop().await;
}

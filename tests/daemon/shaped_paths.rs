//! Filters and transforms together with other features: apps over gRPC, aggregates, combined records, resharding.

use crate::environment::{Environment, Sidecar};
use crate::fakes::{Event, RecordingApp};
use crate::grpc::app::{App, settings};
use crate::resharding::middle;
use crate::shaped_inputs::{ORDERS, input, put, shaped, start, text, texts, until_shaped};
use bindd::aggregation::{UserRecord, pack};
use bindd::daemon::Shutdown;
use serde_json::{Value, json};

#[tokio::test]
async fn an_app_over_grpc_receives_what_filter_and_transform_leave() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let program = "{number}, {number, key: $metadata.partitionKey}";
    input(&env, "shared", &[("filter", ORDERS), ("transform", program)]);
    for number in 0..3 {
        put(&env, "a", text("noise", number)).await;
        put(&env, "b", text("order", number)).await;
    }
    let app = App::default();
    let (address, _server) = app.start().await;
    let mut settings = settings(&env, address);
    settings.metrics_address = Some(([127, 0, 0, 1], 0).into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let of_number = |n| [format!(r#"{{"number":{n}}}"#), format!(r#"{{"number":{n},"key":"b"}}"#)];
    let expected: Vec<String> = (0..3).flat_map(of_number).collect();
    app.until_accepted(&expected).await;
    until_shaped(&sidecar, "filtered", 3).await;
    let events = app.events();
    let seen: Vec<String> = events.iter().map(|e| String::from_utf8(e.request.data.to_vec()).unwrap()).collect();
    assert_eq!(seen, expected);
    let ids: Vec<&str> = events.iter().map(|event| event.request.metadata["bindd-event-id"].as_str()).collect();
    assert_eq!(ids[1], format!("{}#2", ids[0]));
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn each_record_of_an_aggregate_is_filtered_by_its_own_data_and_key() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let filter = r#"{"data": {"type": ["order"]}, "partitionKey": [{"anything-but": "hidden"}]}"#;
    input(&env, "shared", &[("filter", filter)]);
    let user = |key: &str, kind: &str, number| UserRecord {
        partition_key: key.to_owned(),
        explicit_hash_key: None,
        data: text(kind, number).into(),
    };
    let users = [
        user("a", "noise", 0),
        user("b", "order", 1),
        user("hidden", "order", 2),
        user("c", "noise", 3),
        user("d", "order", 4),
    ];
    let sequence = put(&env, "a", pack(&users)).await;
    put(&env, "e", pack(&[user("f", "noise", 5), user("g", "noise", 6)])).await;
    let app = RecordingApp::start().await;
    let sidecar = start(&env, &app).await;
    app.until_accepted(&[text("order", 1), text("order", 4)]).await;
    until_shaped(&sidecar, "filtered", 5).await;
    let header = |event: &Event, name| event.header(name).to_owned();
    let mut seen: Vec<(String, String)> = app
        .events()
        .iter()
        .map(|event| (header(event, "bindd-event-id"), header(event, "bindd-partition-key")))
        .collect();
    seen.sort();
    let id = |place: u32| format!("shardId-000000000000:{sequence}:{place}");
    assert_eq!(seen, [(id(1), "b".to_owned()), (id(4), "d".to_owned())]);
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    let sidecar = start(&env, &app).await;
    put(&env, "a", text("order", 9)).await;
    app.until_accepted(&[text("order", 9)]).await;
    assert_eq!((shaped(&sidecar, "filtered").await, app.events().len()), (0, 3), "nothing is read again");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transform_makes_records_of_the_elements_that_an_output_combined() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let output = [
        ("streamName", "orders"),
        ("direction", "output"),
        ("aggregation", "json-array"),
        ("partitionKey", "k"),
        ("compression", "gzip"),
    ];
    env.kinesis_component("orders-out", &output);
    input(&env, "shared", &[("transform", ".[]"), ("decompress", "gzip")]);
    let app = RecordingApp::start().await;
    let sidecar = start(&env, &app).await;
    let items: Vec<Value> = (0..50).map(|number| json!({"data": {"number": number, "price": 1.5}})).collect();
    let request = json!({"operation": "bulkCreate", "data": {"items": items}}).to_string();
    assert_eq!(sidecar.invoke("orders-out", &request).await.status, 200);
    let records = env.records("orders").await;
    assert!(records.len() < 50, "records are combined");
    let expected: Vec<String> = (0..50).map(|number| format!(r#"{{"number":{number},"price":1.5}}"#)).collect();
    app.until_accepted(&expected).await;
    assert_eq!(texts(&app), expected, "in order");
    until_shaped(&sidecar, "transformed", records.len() as u64).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

/// The filter passes nothing of the parent, whose end must be found all the same.
async fn the_children_of_a_filtered_shard_are_read(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    input(&env, mode, &[("filter", ORDERS)]);
    for number in 0..20 {
        put(&env, &format!("key-{number}"), text("noise", number)).await;
    }
    let app = RecordingApp::start().await;
    let sidecar = start(&env, &app).await;
    until_shaped(&sidecar, "filtered", 20).await;

    let parent = env.shards("orders").await.remove(0);
    let split = env.kinesis.split_shard().stream_name("orders").shard_to_split(&parent.shard_id);
    split.new_starting_hash_key(middle(&parent)).send().await.unwrap();
    env.until_active("orders").await;
    let expected: Vec<String> = (0..20).map(|number| text("order", number)).collect();
    for (number, order) in expected.iter().enumerate() {
        put(&env, &format!("key-{number}"), order).await;
        put(&env, &format!("key-{number}"), text("noise", number)).await;
    }
    app.until_accepted(&expected).await;
    until_shaped(&sidecar, "filtered", 40).await;
    let shards: std::collections::BTreeSet<String> =
        app.events().iter().map(|event| event.header("bindd-shard-id").to_owned()).collect();
    assert_eq!(shards.len(), 2, "both children: {shards:?}");
    assert_eq!((sidecar.stop().await, app.events().len()), (Shutdown::Clean, 20));
}

#[tokio::test]
async fn the_children_of_a_filtered_shard_are_read_by_polling() {
    Box::pin(the_children_of_a_filtered_shard_are_read("shared")).await;
}

#[tokio::test]
async fn the_children_of_a_filtered_shard_are_read_by_fan_out() {
    Box::pin(the_children_of_a_filtered_shard_are_read("extended")).await;
}

//! Inputs that continue where daprd stopped, with a lease table as daprd leaves it.

use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use aws_sdk_kinesis::primitives::Blob;
use bindd::domain::Stop;
use bindd::program::{ExitReport, execute};
use bindd::settings;
use bindd::testing::until;
use std::ffi::OsString;

const SHARD: &str = "shardId-000000000000";
const ENDED: &str = "2026-01-01T00:00:00.123456789Z";
const RUNNING: &str = "2999-01-01T00:00:00.123456789Z";

/// The table that daprd creates for the consumer `shop`.
async fn table_of_daprd(env: &Environment) {
    let key = KeySchemaElement::builder().attribute_name("ShardID").key_type(KeyType::Hash).build().unwrap();
    let id = AttributeDefinition::builder().attribute_name("ShardID").attribute_type(ScalarAttributeType::S);
    let request = env.dynamodb.create_table().table_name("shop").billing_mode(BillingMode::PayPerRequest);
    request.key_schema(key).attribute_definitions(id.build().unwrap()).send().await.unwrap();
    until("the table to be active", async || {
        let table = env.dynamodb.describe_table().table_name("shop").send().await.ok()?.table?;
        (table.table_status == Some(TableStatus::Active)).then_some(())
    })
    .await;
}

async fn row(env: &Environment, shard: &str, checkpoint: Option<&str>, timeout: &str) {
    let mut request = env.dynamodb.put_item().table_name("shop");
    let pairs = [("ShardID", shard), ("AssignedTo", "shop"), ("LeaseTimeout", timeout)];
    for (name, text) in pairs.into_iter().chain(checkpoint.map(|text| ("Checkpoint", text))) {
        request = request.item(name, AttributeValue::S(text.to_owned()));
    }
    request.send().await.unwrap();
}

/// A stream of one shard with five records; the sequence number of the third.
async fn stream(env: &Environment) -> String {
    env.stream("orders", 1).await;
    let mut numbers = Vec::new();
    for number in 0..5 {
        let data = Blob::new(format!("order-{number}"));
        let put = env.kinesis.put_record().stream_name("orders").data(data).partition_key("key");
        numbers.push(put.send().await.unwrap().sequence_number);
    }
    numbers.remove(2)
}

fn input(env: &Environment, more: &[(&str, &str)]) {
    let fields = [("streamName", "orders"), ("consumerName", "shop"), ("direction", "input")];
    env.kinesis_component("orders-in", &[&fields[..], more].concat());
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn leases(env: &Environment, line: &str) -> ExitReport {
    let folder = env.settings(None).resources_paths[0].display().to_string();
    let args = format!("bindd leases {line} --resources-path {folder}");
    let command = settings::parse(args.split_whitespace().map(OsString::from)).unwrap();
    Box::pin(execute(command, &Stop::new())).await
}

/// Reads with a sidecar until a last record that is put now has arrived; returns what the app accepted.
async fn read(env: &Environment) -> Vec<String> {
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    until("the table of the input", async || {
        let rows = env.dynamodb.scan().table_name("shop-bindd").send().await.ok()?.items?;
        (!rows.is_empty()).then_some(())
    })
    .await;
    let data = Blob::new("last");
    env.kinesis.put_record().stream_name("orders").data(data).partition_key("key").send().await.unwrap();
    app.until_accepted(&texts(&["last"])).await;
    sidecar.stop().await;
    app.accepted()
}

#[tokio::test]
async fn an_input_continues_after_the_position_of_daprd_and_later_after_its_own() {
    let env = Environment::start().await;
    let third = stream(&env).await;
    table_of_daprd(&env).await;
    row(&env, SHARD, Some(&third), ENDED).await;
    input(&env, &[("adoptDaprCheckpoints", "true")]);
    assert_eq!(read(&env).await, ["order-3", "order-4", "last"]);
    assert_eq!(read(&env).await, ["last"], "the position of daprd counts only once");
}

#[tokio::test]
async fn a_shard_without_a_position_begins_at_its_oldest_record() {
    let env = Environment::start().await;
    stream(&env).await;
    table_of_daprd(&env).await;
    row(&env, SHARD, None, ENDED).await;
    input(&env, &[("adoptDaprCheckpoints", "true")]);
    assert_eq!(read(&env).await.len(), 6);
}

/// The refusal that the health page shows.
async fn refusal(sidecar: &Sidecar, part: &str) -> String {
    until("the refusal", async || {
        let page = crate::calls::get(sidecar.address(), "/v1.0-alpha1/inputs").await;
        Some(page.text().to_owned()).filter(|text| text.contains(part))
    })
    .await
}

#[tokio::test]
async fn the_table_of_daprd_is_recognised_and_the_message_says_what_to_do() {
    let env = Environment::start().await;
    stream(&env).await;
    table_of_daprd(&env).await;
    row(&env, SHARD, None, ENDED).await;
    input(&env, &[]);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let text = refusal(&sidecar, "adoptDaprCheckpoints").await;
    assert!(text.contains("--from-dapr"), "{text}");
    assert!(app.events().is_empty());
    sidecar.stop().await;
}

#[tokio::test]
async fn the_command_takes_positions_over_unless_daprd_runs() {
    let env = Environment::start().await;
    let third = stream(&env).await;
    table_of_daprd(&env).await;
    row(&env, SHARD, Some(&third), RUNNING).await;
    input(&env, &[("leaseTable", "shop-bindd")]);
    let refused = leases(&env, "import --from-dapr shop").await;
    assert!(refused.code == 1 && refused.error.contains("stop daprd"), "{refused:?}");
    let same = leases(&env, "import --from-dapr shop-bindd").await;
    assert!(same.code == 1 && same.error.contains("different formats"), "{same:?}");
    let dry = leases(&env, "import --from-dapr shop --force --dry-run").await;
    assert!(dry.code == 0 && dry.output.contains("nothing was changed"), "{dry:?}");
    let done = leases(&env, "import --from-dapr shop --force").await;
    assert!(done.code == 0 && done.output.contains("1 changed, 0 unchanged"), "{done:?}");
    assert_eq!(read(&env).await, ["order-3", "order-4", "last"]);
}

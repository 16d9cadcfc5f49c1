use crate::assertions::statuses;
use crate::callers::{Load, send_all};
use crate::emulator::Ministack;
use crate::environment::Components;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use bindd::testing::until;

pub(crate) async fn create_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    request.key_schema(key).attribute_definitions(id.build().unwrap()).send().await.unwrap();
    until("the table to be active", async || {
        let table = client.describe_table().table_name(name).send().await.ok()?.table?;
        (table.table_status == Some(TableStatus::Active)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_item_has_its_exact_number() {
    let aws = Ministack::start().await;
    create_table(&aws.dynamodb, "rows").await;
    let components = Components::new().with_items_output(&aws.url, &[]);
    let sidecar = components.sidecar().await;
    let load = Load { callers: 16, records: 5 };
    let results = send_all(sidecar.address, "rows", load, |number| {
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}","exact":12345678901234567890.{number}1}}}}"#)
    })
    .await;
    sidecar.stop().await;
    assert_eq!(statuses(&results), [(204, 80)].into(), "{:?}", results.first());
    for number in 0..80 {
        let request = aws.dynamodb.get_item().table_name("rows").consistent_read(true);
        let request = request.key("id", AttributeValue::S(format!("row-{number}")));
        let item = request.send().await.unwrap().item.unwrap();
        assert_eq!(item["exact"], AttributeValue::N(format!("12345678901234567890.{number}1")));
    }
}

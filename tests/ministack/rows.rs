use crate::callers::{Crowd, send_all};
use crate::emulator::Ministack;
use crate::judge::statuses;
use crate::world::Components;
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
async fn every_item_said_to_be_stored_is_there_with_its_exact_number() {
    let aws = Ministack::start().await;
    create_table(&aws.dynamodb, "rows").await;
    let components = Components::new().patient_rows(&aws.url, &[]);
    let sidecar = components.sidecar().await;
    let crowd = Crowd { callers: 16, records: 5 };
    let told = send_all(sidecar.address, "rows", crowd, |number| {
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}","exact":12345678901234567890.{number}1}}}}"#)
    })
    .await;
    sidecar.stop().await;
    assert_eq!(statuses(&told), [(204, 80)].into(), "{:?}", told.first());
    for number in 0..80 {
        let request = aws.dynamodb.get_item().table_name("rows").consistent_read(true);
        let request = request.key("id", AttributeValue::S(format!("row-{number}")));
        let item = request.send().await.unwrap().item.unwrap();
        assert_eq!(item["exact"], AttributeValue::N(format!("12345678901234567890.{number}1")));
    }
}

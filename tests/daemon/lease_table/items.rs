//! Items out.

use super::service::{Service, TABLE};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::aws::ensure_table;
use bindd::bindings::dynamodb::calls::{
    Item, Items, ItemsSettings, KeySchema, OnRefusal, Put, Refused, Returned, item_from_json,
};
use bindd::domain::{FailureKind, Outcome};
use std::time::Duration;
use tokio::time::Instant;

fn items_of(service: &Service) -> Items {
    Items::new(&service.connection, ItemsSettings::of_table(TABLE.to_owned()))
}

async fn put(items: &Items, item: Item) -> Result<(), Refused> {
    let put = Put { item, condition: None };
    let until = Instant::now() + Duration::from_secs(100);
    items.put(put, Returned::Nothing, OnRefusal::Nothing, until).await.map(|_| ())
}

async fn stored(service: &Service, key: &str) -> Item {
    let request = service.client.get_item().table_name(TABLE).key("id", AttributeValue::S(key.to_owned()));
    request.consistent_read(true).send().await.unwrap().item.unwrap()
}

#[tokio::test]
async fn an_item_is_stored_with_every_digit() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let items = items_of(&service);
    let text = br#"{"id":"a","n":12345678901234567890123456789012345678,"m":{"l":[1.5e-3,-0,9.99e125,1e-130,null]}}"#;
    put(&items, item_from_json(text).unwrap()).await.unwrap();
    let item = stored(&service, "a").await;
    assert_eq!(item["n"], AttributeValue::N("12345678901234567890123456789012345678".into()));
    let list = item["m"].as_m().unwrap()["l"].as_l().unwrap();
    assert_eq!(list[0], AttributeValue::N("0.0015".into()));
    assert_eq!(list[1], AttributeValue::N("0".into()));
    assert!(list[2].as_n().unwrap().starts_with("999") && list[4] == AttributeValue::Null(true));
}

#[tokio::test]
async fn a_put_replaces_the_item_of_the_same_key() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let items = items_of(&service);
    for text in [r#"{"id":"a","x":1,"y":1}"#, r#"{"id":"a","x":2}"#] {
        put(&items, item_from_json(text.as_bytes()).unwrap()).await.unwrap();
    }
    assert_eq!(stored(&service, "a").await, item_from_json(br#"{"id":"a","x":2}"#).unwrap());
}

#[tokio::test]
async fn the_deepest_and_largest_items_that_we_let_through_are_taken() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let items = items_of(&service);
    let deep = format!(r#"{{"id":"a","d":{}1{}}}"#, "[".repeat(31), "]".repeat(31));
    put(&items, item_from_json(deep.as_bytes()).unwrap()).await.unwrap();
    let large = format!(r#"{{"id":"a","d":"{}"}}"#, "x".repeat(400 * 1024 - 4));
    put(&items, item_from_json(large.as_bytes()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_the_service_refuses_is_told_by_kind() {
    let service = Service::start().await;
    let items = items_of(&service);
    let item = || item_from_json(br#"{"other":"a"}"#).unwrap();
    let missing = put(&items, item()).await.unwrap_err().error;
    assert_eq!((missing.kind(), missing.outcome()), (FailureKind::NotFound, Outcome::NotDone));
    assert!(missing.message().contains(TABLE), "{missing}");
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    assert_eq!(put(&items, item()).await.unwrap_err().error.kind(), FailureKind::Caller);
}

#[tokio::test]
async fn a_lost_reply_leaves_the_outcome_unknown() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let items = items_of(&service);
    service.lose_next_reply();
    let error = put(&items, item_from_json(br#"{"id":"a"}"#).unwrap()).await.unwrap_err().error;
    assert_eq!((error.kind().may_retry(), error.outcome()), (true, Outcome::Unknown));
    assert!(stored(&service, "a").await.contains_key("id"));
}

use super::super::codec::item_from_json;
use super::*;
use crate::domain::FailureKind;

fn schema(partition: Option<KeyType>, sort: Option<KeyType>) -> KeySchema {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    KeySchema { partition: attribute("customer", partition), sort: Some(attribute("at", sort)) }
}

fn item(text: &str) -> Item {
    item_from_json(text.as_bytes()).unwrap()
}

#[test]
fn a_key_that_the_table_cannot_have_is_refused_before_the_call() {
    let schema = schema(Some(KeyType::Text), Some(KeyType::Number));
    let long = format!(r#"{{"customer":"{}","at":1}}"#, "x".repeat(2_049));
    for (text, part) in [
        (r#"{"at":1}"#, "`customer` is missing"),
        (r#"{"customer":"a"}"#, "`at` is missing"),
        (r#"{"customer":"","at":1}"#, "`customer` must not be empty"),
        (r#"{"customer":1,"at":1}"#, "`customer` must be a string"),
        (r#"{"customer":"a","at":"1"}"#, "`at` must be a number"),
        (r#"{"customer":"a","at":true}"#, "must be a string, a number or binary"),
        (long.as_str(), "has 2049 bytes: DynamoDB takes 2048"),
    ] {
        let message = check_item(Some(&schema), &item(text)).unwrap_err().message().to_owned();
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(check_item(Some(&schema), &item(r#"{"customer":"a","at":1,"more":[]}"#)).is_ok());
}

#[test]
fn without_a_schema_dynamodb_decides() {
    assert!(check_item(None, &item("{}")).is_ok() && check_key(None, &item("{}")).is_ok());
    let names_only = schema(None, None);
    assert!(check_item(Some(&names_only), &item(r#"{"customer":1,"at":"x"}"#)).is_ok());
}

#[test]
fn a_key_has_no_other_attributes() {
    let schema = schema(None, None);
    assert!(check_key(Some(&schema), &item(r#"{"customer":"a","at":1}"#)).is_ok());
    let error = check_key(Some(&schema), &item(r#"{"customer":"a","at":1,"x":1}"#)).unwrap_err();
    assert!(error.message().contains("customer, at"), "{error}");
    let whole = item(r#"{"customer":"a","at":1,"x":1}"#);
    assert_eq!(key_of(&schema, &whole), Some(item(r#"{"customer":"a","at":1}"#)));
    assert_eq!(key_of(&schema, &item(r#"{"customer":"a"}"#)), None);
}

fn in_ten_seconds() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_costs_one_second_and_then_no_more_for_a_while() {
    let keys = KeyCache::new(None);
    let begun = Instant::now();
    let (first, second) = tokio::join!(
        keys.find(std::future::pending, in_ten_seconds()),
        keys.find(|| async { panic!("another request reads the key already") }, in_ten_seconds())
    );
    assert!(first.is_none() && second.is_none());
    assert_eq!(begun.elapsed(), MAX_WAIT);
    let later = keys.find(|| async { panic!("it must not be read again so soon") }, in_ten_seconds()).await;
    assert!(later.is_none());
    assert_eq!(begun.elapsed(), MAX_WAIT);
    tokio::time::advance(PAUSE).await;
    assert!(keys.find(|| async { Ok(Some(schema(None, None))) }, in_ten_seconds()).await.is_some());
    assert!(keys.find(|| async { panic!("the key is known") }, in_ten_seconds()).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_short_deadline_is_not_spent_on_reading_the_key() {
    let begun = Instant::now();
    let soon = begun + Duration::from_millis(100);
    assert!(KeyCache::new(None).find(std::future::pending, soon).await.is_none());
    assert_eq!(begun.elapsed(), Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn a_refused_read_of_the_key_is_not_repeated_at_once() {
    let keys = KeyCache::new(None);
    let denied = || async { Err(BindingError::new(FailureKind::Denied, "no")) };
    assert!(keys.find(denied, in_ten_seconds()).await.is_none());
    assert!(keys.find(|| async { panic!("it must not be read again so soon") }, in_ten_seconds()).await.is_none());
}

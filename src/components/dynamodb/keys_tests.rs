use super::*;
use crate::aws::dynamodb::item_from_json;

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
fn without_a_schema_dynamodb_has_the_word() {
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

use super::super::number::NumberProblem;
use super::*;
use crate::domain::FailureKind;
use proptest::prelude::*;
use std::collections::HashMap;

fn item(text: &str) -> Item {
    item_from_json(text.as_bytes()).unwrap()
}

fn fault(text: &str) -> (String, ItemProblem) {
    let fault = item_from_json(text.as_bytes()).unwrap_err();
    (fault.path, fault.problem)
}

#[test]
fn each_json_type_has_its_attribute() {
    let item = item(r#" {"s":"","n":9007199254740993,"t":true,"f":false,"z":null,"l":[1,"x",[]],"m":{"k":{}}} "#);
    assert_eq!(item["s"], AttributeValue::S(String::new()));
    assert_eq!(item["n"], AttributeValue::N("9007199254740993".into()));
    assert_eq!((&item["t"], &item["f"]), (&AttributeValue::Bool(true), &AttributeValue::Bool(false)));
    assert_eq!(item["z"], AttributeValue::Null(true));
    let list = vec![AttributeValue::N("1".into()), AttributeValue::S("x".into()), AttributeValue::L(vec![])];
    assert_eq!(item["l"], AttributeValue::L(list));
    let inner = AttributeValue::M(HashMap::from([("k".to_owned(), AttributeValue::M(HashMap::new()))]));
    assert_eq!(item["m"], inner);
}

#[test]
fn a_duplicate_key_is_refused_with_its_path() {
    assert_eq!(fault(r#"{"a":1,"b":2,"a":"two"}"#), ("$.a".into(), ItemProblem::DuplicateKey));
    assert_eq!(fault(r#"{"l":[0,{"x":{"\u0079":1,"y":1}}]}"#), ("$.l[1].x.y".into(), ItemProblem::DuplicateKey));
}

#[test]
fn a_key_that_the_json_library_uses_internally_is_an_ordinary_key() {
    let item = item(r#"{"m":{"$serde_json::private::Number":"1"},"$serde_json::private::RawValue":"x"}"#);
    let inner = HashMap::from([("$serde_json::private::Number".to_owned(), AttributeValue::S("1".into()))]);
    assert_eq!(item["m"], AttributeValue::M(inner));
    assert_eq!(item["$serde_json::private::RawValue"], AttributeValue::S("x".into()));
}

#[test]
fn a_value_that_cannot_be_an_attribute_is_reported_with_its_path() {
    assert_eq!(fault(r#"{"a":[0,1,2,{"b":1e126}]}"#), ("$.a[3].b".into(), NumberProblem::TooLarge.into()));
    assert_eq!(fault(r#"{"a":{"":1}}"#), (r#"$.a[""]"#.into(), ItemProblem::EmptyName));
    assert_eq!(fault(r#"{"a b":["\ud800"]}"#), (r#"$["a b"][0]"#.into(), ItemProblem::NotUnicode));
    assert_eq!(fault(r#"{"a":{"\udfff":1}}"#), ("$.a".into(), ItemProblem::NotUnicode));
    for not_an_object in ["[1]", "\"x\"", "1", "null", "true"] {
        assert_eq!(fault(not_an_object), ("$".into(), ItemProblem::NotAnObject));
    }
    for not_json in ["", "{", r#"{"a":01}"#, r#"{"a":1}x"#, r#"{"a":NaN}"#, "{'a':1}"] {
        assert!(matches!(fault(not_json).1, ItemProblem::NotJson { .. }), "{not_json}");
    }
    assert!(item_from_json(b"{\"a\":\"\xff\"}").is_err());
}

/// An item whose value has this many lists around it.
fn nested(lists: usize) -> String {
    format!(r#"{{"a":{}1{}}}"#, "[".repeat(lists), "]".repeat(lists))
}

#[test]
fn a_value_may_be_nested_in_31_lists_and_no_more() {
    assert!(item_from_json(nested(31).as_bytes()).is_ok());
    let (path, problem) = fault(&nested(32));
    assert_eq!((path, problem), (format!("$.a{}", "[0]".repeat(32)), ItemProblem::TooDeep));
    assert_eq!(fault(&nested(1_000_000)).1, ItemProblem::TooDeep);
}

#[test]
fn an_item_may_take_400_kib_and_no_more() {
    let text = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
    assert!(item_from_json(text(MAX_ITEM_SIZE - 1).as_bytes()).is_ok());
    let fault = item_from_json(text(MAX_ITEM_SIZE).as_bytes()).unwrap_err();
    assert_eq!((fault.path.as_str(), fault.kind()), ("$", FailureKind::TooLarge));
    let many = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(300_000));
    assert_eq!(item_from_json(many.as_bytes()).unwrap_err().kind(), FailureKind::TooLarge);
}

#[test]
fn a_fault_says_what_to_do_and_shows_no_value() {
    let fault = item_from_json(br#"{"pin":123456789012345678901234567890123456789}"#).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`data` cannot be stored: at $.pin: the number has 39 significant digits, DynamoDB holds 38; \
         send it as a string"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(item_from_json(&bytes).is_ok() || item_from_json(&bytes).is_err());
    }

    #[test]
    fn nothing_like_json_makes_it_panic(text in "[\\[\\]{}\",:0-9eE.+\\-ntfu\\\\a ]{0,60}") {
        prop_assert!(item_from_json(text.as_bytes()).is_ok() || item_from_json(text.as_bytes()).is_err());
    }

    #[test]
    fn digits_arrive_as_they_were_written(digits in "-?[1-9][0-9]{0,37}") {
        let item = item_from_json(format!(r#"{{"n":{digits}}}"#).as_bytes()).unwrap();
        prop_assert_eq!(&item["n"], &AttributeValue::N(digits));
    }

    #[test]
    fn any_string_arrives_as_it_was_written(string: String, name in ".{1,20}") {
        let text = serde_json::json!({ &name: &string }).to_string();
        let item = item_from_json(text.as_bytes()).unwrap();
        prop_assert_eq!(&item[&name], &AttributeValue::S(string));
    }
}

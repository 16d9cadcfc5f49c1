use super::super::codec::StatedType;
use super::*;
use crate::domain::FailureKind;
use proptest::prelude::*;
use std::sync::Arc;

fn read(text: &str) -> Result<Update, BindingError> {
    let types = [("photo".to_owned(), StatedType::Binary)].into_iter().collect();
    parse_update(&ItemCodec { types: Arc::new(types), ..ItemCodec::default() }, text.as_bytes())
}

fn refusal(text: &str) -> String {
    let error = read(text).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Caller);
    error.message().to_owned()
}

#[test]
fn changes_become_clauses_of_placeholders() {
    let update = read(
        r##"{"key":{"id":"1"},"set":{"b.c":1,"a":"x"},"remove":["z","y"],"add":{"n":2,"tags":["t"]},
            "delete":{"old":[1]},"condition":"#s = :s","names":{"#s":"state"},"values":{":s":"open"}}"##,
    )
    .unwrap();
    assert_eq!(
        update.expression,
        "SET #bd_1 = :bd_1, #bd_2 = :bd_2 REMOVE #bd_3, #bd_4 ADD #bd_5 :bd_5, #bd_6 :bd_6 DELETE #bd_7 :bd_7"
    );
    let names = &update.placeholders.names;
    let named: Vec<&str> = (1..=7).map(|number| names[&format!("#bd_{number}")].as_str()).collect();
    assert_eq!(named, ["a", "b.c", "y", "z", "n", "tags", "old"]);
    assert_eq!(names["#s"], "state");
    assert_eq!(update.placeholders.values[":bd_6"], AttributeValue::Ss(vec!["t".into()]));
    assert_eq!(update.placeholders.values[":s"], AttributeValue::S("open".into()));
    assert_eq!((update.condition.as_deref(), update.repetition), (Some("#s = :s"), Repetition::Cumulative));
}

#[test]
fn only_additions_to_numbers_and_expressions_of_callers_are_cumulative() {
    for (text, repetition) in [
        (r#"{"key":{"id":1},"set":{"a":1},"remove":["b"]}"#, Repetition::Harmless),
        (r#"{"key":{"id":1},"add":{"tags":["a"]},"delete":{"old":["b"]}}"#, Repetition::Harmless),
        (r#"{"key":{"id":1},"add":{"n":1}}"#, Repetition::Cumulative),
        (r#"{"key":{"id":1},"updateExpression":"SET a = :a","values":{":a":1}}"#, Repetition::Cumulative),
    ] {
        assert_eq!(read(text).unwrap().repetition, repetition, "{text}");
    }
}

#[test]
fn an_expression_of_the_caller_is_sent_unchanged() {
    let update = read(
        r##"{"key":{"id":1},"updateExpression":"SET #a.b = :v","names":{"#a":"m"},"values":{":v":[1]},"condition":" "}"##,
    )
    .unwrap();
    assert_eq!((update.expression.as_str(), update.condition), ("SET #a.b = :v", None));
    assert_eq!(update.placeholders.names.len() + update.placeholders.values.len(), 2);
}

#[test]
fn an_invalid_update_is_refused_with_the_reason() {
    for (text, part) in [
        (r#"{"key":{"id":1}}"#, "changes nothing"),
        (r#"{"key":{"id":1},"set":{},"remove":[]}"#, "changes nothing"),
        (r#"{"key":{},"set":{"a":1}}"#, "`key` is empty"),
        (r#"{"key":{"a":1,"b":1,"c":1},"set":{"d":1}}"#, "`key` has 3 attributes"),
        (r#"{"key":{"id":1},"set":{"id":2}}"#, "`id` is part of the key"),
        (r#"{"key":{"id":1},"set":{"a":2},"remove":["a"]}"#, "`a` is changed twice"),
        (r#"{"key":{"id":1},"remove":["a","a"]}"#, "`a` is changed twice"),
        (r#"{"key":{"id":1},"set":{"a":2},"updateExpression":"SET b = :b"}"#, "give either"),
        (r#"{"key":{"id":1},"set":{"a":2},"conditon":"x"}"#, "unknown field `conditon`"),
        (r#"{"key":{"id":1},"set":{"a":2},"set":{"b":2}}"#, "duplicate field `set`"),
        (r#"{"set":{"a":2}}"#, "missing field `key`"),
        (r#"{"key":{"id":1},"set":{"a":1},"values":{"v":1}}"#, "must begin with `:`"),
        (r##"{"key":{"id":1},"set":{"a":1},"names":{"#bd_1":"x"}}"##, "made by bindd"),
        (r##"{"key":{"id":1},"set":{"a":1},"names":{"#x":5}}"##, "must be a string"),
        (r#"{"key":{"id":1},"set":{"a":{"b":1,"b":2}}}"#, "$.set.a.b"),
        (r#"{"key":{"id":1},"set":{"photo":"not base64"}}"#, "$.set.photo"),
    ] {
        let message = refusal(text);
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_refusal_shows_no_value() {
    let message = refusal(r#"{"key":"topsecret","set":"topsecret","condition":5}"#);
    assert!(!message.contains("topsecret"), "{message}");
}

proptest! {
    #[test]
    fn every_attribute_is_named_by_a_placeholder_and_by_nothing_else(
        set in prop::collection::btree_map("[^\\x00-\\x1f]{1,12}", any::<u32>(), 1..6),
        remove in prop::collection::btree_set("[a-z ]{1,6}", 0..4),
    ) {
        let remove: Vec<&String> = remove.iter().filter(|name| !set.contains_key(*name)).collect();
        prop_assume!(!set.contains_key("the key") && !remove.iter().any(|name| *name == "the key"));
        let data = serde_json::json!({ "key": { "the key": 1 }, "set": set, "remove": remove });
        let update = read(&data.to_string()).unwrap();
        prop_assert!(update.expression.chars().all(|c| c.is_ascii_alphanumeric() || " #:_,=".contains(c)));
        let mut named: Vec<&String> = update.placeholders.names.values().collect();
        named.sort();
        let mut expected: Vec<&String> = set.keys().chain(remove).collect();
        expected.sort();
        prop_assert_eq!(named, expected);
        prop_assert_eq!(update.placeholders.values.len(), set.len());
    }
}

fn update(expression: &str) -> Update {
    let (expression, placeholders) = (expression.to_owned(), Placeholders::default());
    Update { key: Item::new(), expression, condition: None, placeholders, repetition: Repetition::Harmless }
}

#[test]
fn setting_an_attribute_extends_the_set_clause_or_adds_one() {
    for (before, after) in [
        ("SET a = :a", "SET #v = :v, a = :a"),
        ("REMOVE b set a = if_not_exists(a, :x), c = :c", "REMOVE b set #v = :v, a = if_not_exists(a, :x), c = :c"),
        ("REMOVE #set ADD m.set :set", "REMOVE #set ADD m.set :set SET #v = :v"),
        ("ADD n :one", "ADD n :one SET #v = :v"),
    ] {
        let mut update = update(before);
        update.set(("#v", "version"), (":v", AttributeValue::S("1".to_owned())));
        assert_eq!(update.expression, after);
        assert_eq!(update.placeholders.names["#v"], "version");
        assert_eq!(update.placeholders.values[":v"], AttributeValue::S("1".to_owned()));
    }
}

#[test]
fn the_attributes_that_an_update_writes_to_are_found() {
    for (change, written) in [
        ("SET a = :a, #v.n[3] = if_not_exists(b, :x) + c, d = list_append(:x, e)", &["a", "#v", "d"][..]),
        ("remove a[0], b.c  ADD #n :one, set1 :s delete s :t", &["a", "b", "#n", "set1", "s"]),
        ("SET a=b-:x,c=:c", &["a", "c"]),
        ("SET", &[]),
        ("", &[]),
    ] {
        assert_eq!(targets(change), written, "{change}");
    }
    let mut update = update("SET #v = w REMOVE x.y");
    update.placeholders.names.insert("#v".to_owned(), "v.1".to_owned());
    for (attribute, is_written) in [("v.1", true), ("x", true), ("w", false), ("#v", false), ("y", false)] {
        assert_eq!(update.writes_to(attribute), is_written, "{attribute}");
    }
}

#[test]
fn a_further_condition_is_joined_within_brackets() {
    let condition = |text: &str| Condition { text: text.to_owned(), placeholders: Placeholders::default() };
    let mut update = update("SET a = :a");
    update.require(condition("x"));
    update.require(condition("y OR z"));
    assert_eq!(update.condition.as_deref(), Some("(x) AND (y OR z)"));
}

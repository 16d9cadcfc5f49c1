//! What holds for all patterns and records.

use super::operator_tests::{FIELDS, TestRecord, matches};
use super::values::{MAX_DEPTH, value_matches};
use super::{Filter, one_pass};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c*\\\\\"ü]{0,6}".prop_map(Value::from),
    ]
}

fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![scalars(), prop::collection::vec(scalars(), 1..3).prop_map(Value::from)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::vec(("[a-e]", inner), 1..4).prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

/// Records with lists of objects, in which names repeat.
fn records() -> impl Strategy<Value = Value> {
    let value = prop_oneof![Just(json!(1)), Just(json!("x")), Just(Value::Null)].prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::vec(("[a-c]", value), 0..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Patterns for these.
fn patterns() -> impl Strategy<Value = Value> {
    let leaves = [json!([1]), json!(["x", null]), json!([{"exists": true}]), json!([{"exists": false}])];
    let leaf = prop::sample::select(leaves.to_vec());
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(("[a-c]", inner), 1..3).prop_map(|members| Value::Object(members.into_iter().collect()))
    })
    .prop_filter("an object", Value::is_object)
}

/// The pattern that asks for exactly the values of an event.
fn pattern_of(event: &Value) -> Value {
    match event {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), pattern_of(value))).collect())
        }
        Value::Array(values) => Value::Array(values.clone()),
        scalar => json!([scalar]),
    }
}

proptest! {
    #[test]
    fn a_pattern_made_from_an_event_matches_it(event in objects()) {
        let pattern = json!({"data": pattern_of(&event)}).to_string();
        prop_assert!(matches(&pattern, &event.to_string()));
    }

    /// The fast way for objects decides as that for all other values.
    #[test]
    fn one_pass_over_an_object_decides_as_a_look_at_each_field(pattern in patterns(), record in records()) {
        let filter = Filter::compile(&json!({"data": pattern}).to_string(), &[]).unwrap();
        let text = record.to_string();
        for field in filter.alternatives.iter().flat_map(|alternative| &alternative.fields) {
            let by_field = value_matches(field, serde_json::from_str(&text).unwrap(), MAX_DEPTH);
            let in_one_pass = one_pass::matches(field.children.as_ref().unwrap(), &text);
            prop_assert_eq!(in_one_pass, Some(by_field), "{} on {}", pattern, text);
        }
    }

    #[test]
    fn anything_but_is_the_complement_for_strings(
        value in "[a-c]{0,4}", excluded in prop::collection::vec("[a-c]{1,3}", 1..4), operator in 0..4_usize,
    ) {
        let operator = ["", "prefix", "suffix", "equals-ignore-case"][operator];
        let positive: Vec<Value> = excluded
            .iter()
            .map(|text| if operator.is_empty() { json!(text) } else { json!({operator: text}) })
            .collect();
        let operand = if operator.is_empty() { json!(excluded) } else { json!({operator: excluded}) };
        let negative = json!([{"anything-but": operand}]);
        let data = json!({"f": value}).to_string();
        let matched = |comparisons: Value| matches(&json!({"data": {"f": comparisons}}).to_string(), &data);
        prop_assert_ne!(matched(positive.into()), matched(negative));
    }

    #[test]
    fn numeric_ranges_agree_with_comparison(value in -100..100_i32, low in -100..99_i32, width in 1..50_i32) {
        let high = low + width;
        let pattern = json!({"data": {"f": [{"numeric": [">", low, "<=", high]}]}}).to_string();
        prop_assert_eq!(matches(&pattern, &json!({"f": value}).to_string()), low < value && value <= high);
    }

    #[test]
    fn wildcards_agree_with_a_search_of_all_splits(text in "[ab]{0,8}", wildcard in "[ab]{0,3}(\\*[ab]{1,2}){0,3}\\*?") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|skipped| slow(rest, &text[skipped..])),
                Some((letter, rest)) => text.first() == Some(letter) && slow(rest, &text[1..]),
            }
        }
        let pattern = json!({"data": [{"wildcard": wildcard}]}).to_string();
        prop_assert_eq!(matches(&pattern, &text), slow(wildcard.as_bytes(), text.as_bytes()));
    }

    /// Neither texts nor records make it panic.
    #[test]
    fn nothing_panics(pattern in any_text(), data in prop::collection::vec(any::<u8>(), 0..64), event in objects()) {
        if let Ok(filter) = Filter::compile(&pattern, &FIELDS) {
            let text = event.to_string();
            for record in [
                TestRecord { data: &data, partition_key: None },
                TestRecord { data: text.as_bytes(), partition_key: Some("k") },
            ] {
                prop_assert_eq!(filter.matches(&record), filter.clone().matches(&record));
            }
        }
    }
}

/// Text that is often a pattern, or nearly.
fn any_text() -> impl Strategy<Value = String> {
    let operators =
        ["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr", "$or"];
    let names = prop_oneof![prop::sample::select(operators.to_vec()).prop_map(str::to_owned), "[a-e]"];
    let leaf = prop_oneof![scalars(), prop::sample::select(vec!["=", "<", ">=", "10.0.0.0/8"]).prop_map(Value::from)];
    let value = leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    });
    prop_oneof![value.clone().prop_map(|value| json!({"data": value}).to_string()), value.prop_map(|v| v.to_string())]
}

use super::*;
use crate::domain::{BodyMemory, BodyMemoryFull};
use proptest::prelude::*;

fn encode(text: &str) -> Result<String, String> {
    let memory = BodyMemory::new(None);
    let encoded = reencode(text.as_bytes(), &mut memory.reservation());
    encoded.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn values_are_encoded_as_in_the_table_of_the_contract() {
    for (sent, stored) in [
        (r#""abc""#, r#""abc""#),
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        ("{ \"b\" : [ 1 , { } , [ ] ] }", r#"{"b":[1,{},[]]}"#),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        (r#""<a>&\u2028\u2029""#, r#""\u003ca\u003e\u0026\u2028\u2029""#),
        ("\"\u{2028}\"", r#""\u2028""#),
        (r#"{"<":"/\/"}"#, r#"{"\u003c":"//"}"#),
        (r#""\u0001\b\f\n\r\t\"\\\u007f""#, "\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\\u{7f}\""),
        (r#""\u00fc\ud83d\ude00""#, "\"ü😀\""),
        (r#""\ud800x\udc00\ud800\u0041""#, "\"\u{fffd}x\u{fffd}\u{fffd}A\""),
        (r#"{"a":1,"a":{"b":2}}"#, r#"{"a":{"b":2}}"#),
        (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
        (r#"{"é":1,"z":2,"a":3,"Z":4}"#, r#"{"Z":4,"a":3,"z":2,"é":1}"#),
        (r#"{"a":{"d":1,"c":[{"y":1,"x":2}]},"":0}"#, r#"{"":0,"a":{"c":[{"x":2,"y":1}],"d":1}}"#),
        (r#"["a,b","c]","{"]"#, r#"["a,b","c]","{"]"#),
    ] {
        assert_eq!(encode(sent).as_deref(), Ok(stored), "{sent}");
    }
}

#[test]
fn numbers_are_floats() {
    for (sent, stored) in [
        ("1.0", "1"),
        ("-0", "-0"),
        ("0.10", "0.1"),
        ("1e3", "1000"),
        ("9007199254740993", "9007199254740992"),
        ("12345678901234567890", "12345678901234567000"),
        ("100000000000000000000", "100000000000000000000"),
        ("1000000000000000000000", "1e+21"),
        ("1.5E30", "1.5e+30"),
        ("0.000001", "0.000001"),
        ("0.00000012", "1.2e-7"),
        ("-1e-10", "-1e-10"),
        ("1e-400", "0"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ] {
        assert_eq!(encode(sent).as_deref(), Ok(stored), "{sent}");
    }
    let error = encode("[1e400]").unwrap_err();
    assert!(
        error.ends_with("cannot unmarshal number 1e400 into Go struct field OutputBindingRequest.data of type float64")
    );
}

#[test]
fn nesting_and_memory_are_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(encode(&nested(MAX_DEPTH)), Ok(nested(MAX_DEPTH)));
    assert!(encode(&nested(MAX_DEPTH + 1)).unwrap_err().ends_with("exceeded max depth"));
    let memory = BodyMemory::new(Some(1_000));
    let mut reservation = memory.reservation();
    let full = Err(MalformedRequest::BufferFull(BodyMemoryFull { limit: 1_000 }));
    assert_eq!(reencode(b"[1,2,3]", &mut reservation), full, "nodes are counted");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_stay_the_same_and_a_second_time_changes_nothing(value in json()) {
        let once = encode(&value.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&once).unwrap(), value);
        prop_assert_eq!(encode(&once), Ok(once));
    }
}

//! The examples and operators of AWS's pages.

use super::{Fields, Filter, Scalar};
use std::borrow::Cow;

pub(super) const FIELDS: [&str; 2] = ["partitionKey", "sequenceNumber"];

pub(super) struct TestRecord<'a> {
    pub(super) data: &'a [u8],
    pub(super) partition_key: Option<&'a str>,
}

impl Fields for TestRecord<'_> {
    fn data(&self) -> &[u8] {
        self.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        assert_eq!(name, "partitionKey");
        self.partition_key.map(|key| Scalar::String(Cow::Borrowed(key)))
    }
}

pub(super) fn matches(pattern: &str, data: &str) -> bool {
    let filter = Filter::compile(pattern, &FIELDS).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    filter.matches(&TestRecord { data: data.as_bytes(), partition_key: Some("eu-7") })
}

/// A comparison on the field `f`; and values of it that match, and that do not. `-` is no field.
const COMPARISONS: [(&str, &[&str], &[&str]); 40] = [
    (r#"["New York"]"#, &[r#""New York""#], &[r#""new york""#, "-", "null", "1"]),
    (r#"["Credit", "Debit"]"#, &[r#""Debit""#, r#""Credit""#], &[r#""Cash""#]),
    (r#"[null]"#, &["null"], &[r#""null""#, r#""""#, "-", "0"]),
    (r#"[""]"#, &[r#""""#], &["null", r#"" ""#, "-"]),
    ("[true]", &["true"], &["false", r#""true""#, "1"]),
    ("[false, null]", &["false", "null"], &["true", "0", "-"]),
    ("[300]", &["300"], &["300.0", "3.0e2", r#""300""#]),
    (r#"[{"equals-ignore-case": "alice"}]"#, &[r#""Alice""#, r#""ALICE""#], &[r#""alic""#, r#""alices""#, "-"]),
    (r#"[{"equals-ignore-case": "ÜBER"}]"#, &[r#""über""#], &[r#""uber""#]),
    (r#"[{"prefix": "us-"}]"#, &[r#""us-east-1""#, r#""us-""#], &[r#""eu-us-""#, r#""US-east-1""#, "-", "5"]),
    (r#"[{"prefix": {"equals-ignore-case": "eventb"}}]"#, &[r#""EventBridge""#], &[r#""event""#, r#""xeventb""#]),
    (r#"[{"suffix": ".png"}]"#, &[r#""a.png""#], &[r#""a.png ""#, r#""a.PNG""#, "-"]),
    (r#"[{"suffix": {"equals-ignore-case": "tbridge"}}]"#, &[r#""EventBridge""#, r#""TBRIDGE""#], &[r#""bridge""#]),
    (r#"[{"wildcard": "dir/*.png"}]"#, &[r#""dir/a.png""#, r#""dir/.png""#], &[r#""dir/png""#, r#""xdir/a.png""#]),
    (r#"[{"wildcard": "*/lib/*"}]"#, &[r#""/usr/lib/x""#, r#""/lib/""#], &[r#""lib/x""#]),
    (r#"[{"wildcard": "a*b*c"}]"#, &[r#""abc""#, r#""a-b-b-c""#], &[r#""acb""#, r#""ab""#]),
    (r#"[{"wildcard": "a*ab"}]"#, &[r#""aab""#, r#""a-ab""#], &[r#""ab""#]),
    (r#"[{"wildcard": "a\\*b\\\\c"}]"#, &[r#""a*b\\c""#], &[r#""axb\\c""#]),
    (r#"[{"wildcard": "*"}]"#, &[r#""""#, r#""x""#], &["1", "null", "-"]),
    (r#"[{"numeric": ["=", 100]}]"#, &["100", "100.0", "1e2"], &["100.1", r#""100""#, "-"]),
    (r#"[{"numeric": [">", 10, "<=", 20]}]"#, &["10.5", "20"], &["10", "20.01", "-1"]),
    (r#"[{"numeric": ["<", 10]}]"#, &["9.99", "-5e9"], &["10", "null"]),
    (r#"[{"numeric": [">=", -1.5]}]"#, &["-1.5", "0"], &["-1.6"]),
    (r#"[{"exists": true}]"#, &["1", "null", r#""""#, "[1]"], &["-", r#"{"x": 1}"#, "[]"]),
    (r#"[{"exists": false}]"#, &["-", r#"{"x": 1}"#, "[]"], &["1", "null", "[1]"]),
    (r#"[{"exists": false}, "x"]"#, &["-", r#""x""#], &[r#""y""#]),
    (r#"[{"cidr": "10.0.0.0/24"}]"#, &[r#""10.0.0.255""#], &[r#""10.0.1.0""#, r#""10.0.0""#, r#""::1""#, "-"]),
    (r#"[{"cidr": "0.0.0.0/0"}]"#, &[r#""255.1.2.3""#], &[r#""::""#]),
    (r#"[{"cidr": "2001:db8::/32"}]"#, &[r#""2001:db8:1::5""#], &[r#""2001:db9::""#, r#""10.0.0.1""#]),
    (r#"[{"anything-but": "initializing"}]"#, &[r#""running""#, "1", "null"], &[r#""initializing""#, "-"]),
    (r#"[{"anything-but": ["stopped", "overloaded"]}]"#, &[r#""running""#], &[r#""stopped""#, r#""overloaded""#, "-"]),
    (r#"[{"anything-but": 123}]"#, &["124", r#""123""#], &["123", "123.0", "-"]),
    (r#"[{"anything-but": [100, 200]}]"#, &["150"], &["100", "2e2"]),
    (r#"[{"anything-but": {"prefix": "init"}}]"#, &[r#""running""#, "5"], &[r#""initializing""#, "-"]),
    (r#"[{"anything-but": {"prefix": ["init", "error"]}}]"#, &[r#""ok""#], &[r#""init""#, r#""error-1""#]),
    (r#"[{"anything-but": {"suffix": ".png"}}]"#, &[r#""a.txt""#], &[r#""a.png""#, "-"]),
    (r#"[{"anything-but": {"equals-ignore-case": ["Stopped", "OverLoaded"]}}]"#, &[r#""up""#], &[r#""STOPPED""#]),
    (r#"[{"anything-but": {"wildcard": "*/lib/*"}}]"#, &[r#""/usr/x""#], &[r#""/usr/lib/x""#, "-"]),
    (r#"["a", {"prefix": "b"}, {"numeric": [">", 5]}]"#, &[r#""a""#, r#""bc""#, "6"], &[r#""c""#, "5"]),
    (r#"["b"]"#, &[r#"["a", "b"]"#, r#"["a", ["b"]]"#], &[r#"["a"]"#, "[]", r#"[{"x": "b"}]"#]),
];

#[test]
fn comparisons_match_as_the_pages_say() {
    for (comparison, matching, others) in COMPARISONS {
        let pattern = format!(r#"{{"data": {{"f": {comparison}}}}}"#);
        let data = |value: &str| match value {
            "-" => r#"{"other": 1}"#.to_owned(),
            value => format!(r#"{{"other": 1, "f": {value}}}"#),
        };
        for value in matching {
            assert!(matches(&pattern, &data(value)), "{comparison} must match {value}");
        }
        for value in others {
            assert!(!matches(&pattern, &data(value)), "{comparison} must not match {value}");
        }
    }
}

#[test]
fn all_fields_must_match_and_nested_ones_in_their_place() {
    let pattern = r#"{"data": {"order": {"type": ["buy"], "stock": ["ANYCO"]}, "record": [12345]}}"#;
    let record = r#"{"record": 12345, "order": {"type": "buy", "stock": "ANYCO", "quantity": 1000}}"#;
    assert!(matches(pattern, record));
    assert!(!matches(pattern, &record.replace("buy", "sell")));
    assert!(!matches(pattern, r#"{"record": 12345, "type": "buy", "stock": "ANYCO"}"#));
    assert!(!matches(pattern, r#"{"record": 12345, "order": "buy"}"#));
}

#[test]
fn or_needs_one_of_its_patterns() {
    let pattern = r#"{"data": {"source": ["cw"], "$or": [{"metric": ["cpu"]}, {"type": ["t"], "space": ["ec2"],
        "$or": [{"id": [1]}, {"room": [2]}]}, {"scope": ["all"]}]}}"#;
    for (data, expected) in [
        (r#"{"source": "cw", "metric": "cpu"}"#, true),
        (r#"{"source": "x", "metric": "cpu"}"#, false),
        (r#"{"source": "cw", "scope": "all"}"#, true),
        (r#"{"source": "cw", "type": "t", "space": "ec2", "room": 2}"#, true),
        (r#"{"source": "cw", "type": "t", "space": "ec2"}"#, false),
        (r#"{"source": "cw", "type": "t", "id": 1}"#, false),
        (r#"{"source": "cw"}"#, false),
    ] {
        assert_eq!(matches(pattern, data), expected, "{data}");
    }
    let over_the_root = r#"{"$or": [{"data": {"a": [1]}}, {"partitionKey": [{"prefix": "eu-"}]}]}"#;
    assert!(matches(over_the_root, "{}"));
    let with_own_field = r#"{"data": {"a": {"x": [1]}, "$or": [{"a": {"y": [1]}}, {"a": {"z": [1]}}]}}"#;
    assert!(matches(with_own_field, r#"{"a": {"x": 1, "z": 1}}"#) && !matches(with_own_field, r#"{"a": {"z": 1}}"#));
}

#[test]
fn fields_of_an_array_of_objects_match_in_one_element() {
    let pattern = r#"{"data": {"lines": {"sku": [1], "paid": [true]}}}"#;
    assert!(matches(pattern, r#"{"lines": [{"sku": 2, "paid": false}, {"sku": 1, "paid": true}]}"#));
    assert!(matches(pattern, r#"{"lines": [[{"sku": 1, "paid": true}]]}"#));
    assert!(!matches(pattern, r#"{"lines": [{"sku": 1, "paid": false}, {"sku": 2, "paid": true}]}"#));
    assert!(!matches(pattern, r#"{"lines": []}"#));
    // A field is absent only if no element has it.
    let absent = r#"{"data": {"lines": {"sku": [1], "gift": [{"exists": false}]}}}"#;
    assert!(matches(absent, r#"{"lines": [{"sku": 1}, {"sku": 2}]}"#));
    assert!(!matches(absent, r#"{"lines": [{"sku": 1}, {"sku": 2, "gift": "card"}]}"#));
    let nested = r#"{"data": {"a": {"b": {"c": [{"exists": false}]}}}}"#;
    assert!(!matches(nested, r#"{"a": [{"b": [{"d": 1}]}, {"b": [{"c": 1}]}]}"#));
    assert!(matches(nested, r#"{"a": [{"b": [{"d": 1}]}, {"b": 5}]}"#) && matches(nested, r#"{"a": 5}"#));
}

#[test]
fn a_list_of_patterns_needs_one_of_them() {
    for list in [
        r#"[{"data": {"a": [1]}}, {"data": {"b": [2]}}]"#,
        r#"{"Filters": [{"Pattern": "{\"data\": {\"a\": [1]}}"}, {"Pattern": "{\"data\": {\"b\": [2]}}"}]}"#,
        r#"{"FilterCriteria": {"Filters": [{"Pattern": "{\"data\": {\"a\": [1]}}"}, {"Pattern": "{\"data\": {\"b\": [2]}}"}]}}"#,
    ] {
        assert!(
            matches(list, r#"{"a": 1}"#) && matches(list, r#"{"b": 2}"#) && !matches(list, r#"{"c": 3}"#),
            "{list}"
        );
    }
}

#[test]
fn data_that_is_not_what_the_pattern_is_for_does_not_match() {
    let object = r#"{"data": {"a": [{"exists": false}]}}"#;
    assert!(matches(object, "{}") && matches(object, "5"));
    for data in ["", "plain text", "{", "{} {}", r#"{"a\ud800": 1"#] {
        assert!(!matches(object, data), "{data}");
    }
    let text = r#"{"data": ["ready", "5", 7]}"#;
    assert!(matches(text, "ready") && matches(text, r#""ready""#) && matches(text, "7"));
    assert!(!matches(text, r#"{"ready": 1}"#) && !matches(text, "5"));
    let key_only = Filter::compile(r#"{"partitionKey": ["eu-7"]}"#, &FIELDS).unwrap();
    let record = |data, partition_key| TestRecord { data, partition_key };
    assert!(key_only.matches(&record(b"\xff\xfe", Some("eu-7"))));
    assert!(!key_only.matches(&record(b"{}", Some("eu-8"))) && !key_only.matches(&record(b"{}", None)));
    let any = Filter::compile(r#"{"data": [{"anything-but": "x"}]}"#, &FIELDS).unwrap();
    assert!(any.matches(&record(b"y", None)) && !any.matches(&record(b"\xff", None)), "no text");
}

#[test]
fn the_last_member_of_a_name_counts() {
    let pattern = r#"{"data": {"a": [2]}}"#;
    assert!(matches(pattern, r#"{"a": 1, "a": 2}"#) && !matches(pattern, r#"{"a": 2, "a": 1}"#));
    assert!(matches(r#"{"data": {"ü": [1]}}"#, r#"{"\u00fc": 1}"#), "escaped names are the same name");
    let pattern = r#"{"data": {"a": {"b": [1]}}}"#;
    assert!(matches(pattern, r#"{"a": 0, "a": {"b": 2, "\u0062": 1}}"#));
    assert!(!matches(pattern, r#"{"a": {"b": 1}, "a": 0}"#) && !matches(pattern, r#"{"a": {"b": 1, "b": 2}}"#));
}

#[test]
fn arrays_in_arrays_do_not_use_up_the_levels_of_objects() {
    let nested = |value: &str| format!("{}{value}{}", "[".repeat(70), "]".repeat(70));
    let object = format!(r#"{{"b": {}}}"#, nested("1"));
    assert!(matches(r#"{"data": {"a": {"b": [1]}}}"#, &format!(r#"{{"a": {}}}"#, nested(&object))));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = 100_000;
    for data in [
        format!(r#"{{"a": {}1{}}}"#, "[".repeat(deep), "]".repeat(deep)),
        format!("{}1{}", r#"{"a": "#.repeat(deep), "}".repeat(deep)),
    ] {
        assert!(!matches(r#"{"data": {"a": ["x"]}}"#, &data));
    }
}

//! Filters and transforms of one record.

use super::*;
use crate::event_pattern::Scalar;
use proptest::prelude::*;
use std::borrow::Cow;

struct Record<'r> {
    data: &'r str,
    key: Option<&'r str>,
}

impl Fields for Record<'_> {
    fn data(&self) -> &[u8] {
        self.data.as_bytes()
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        assert_eq!(name, "partitionKey");
        self.key.map(|key| Scalar::String(Cow::Borrowed(key)))
    }
}

fn shaping(filter: Option<&str>, transform: Option<&str>, on_error: OnError) -> Shaping {
    let program = transform.map(|text| Expression::compile(text).unwrap());
    Shaping {
        filter: filter.map(|text| Filter::compile(text, &["partitionKey"]).unwrap()),
        transform: program.map(|program| Transform { program, on_error }),
    }
}

fn apply(shaping: &Shaping, data: &str) -> Shaped {
    shaping.apply(&Record { data, key: Some("eu-1") }, [("tenant", "acme")])
}

fn records(texts: &[&str]) -> Shaped {
    Shaped::Records(texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect())
}

#[test]
fn the_filter_decides_before_the_transform() {
    let orders = r#"{"data": {"type": ["order"]}, "partitionKey": [{"prefix": "eu-"}]}"#;
    let both = shaping(Some(orders), Some("error"), OnError::Fail);
    assert_eq!(apply(&both, r#"{"type": "noise"}"#), Shaped::Filtered);
    assert!(matches!(apply(&both, r#"{"type": "order"}"#), Shaped::Failed(_)));
    let filter = shaping(Some(orders), None, OnError::Fail);
    assert_eq!(apply(&filter, r#"{"type": "order"}"#), Shaped::Unchanged);
    assert_eq!(filter.apply(&Record { data: r#"{"type": "order"}"#, key: None }, [("", ""); 0]), Shaped::Filtered);
}

#[test]
fn the_outputs_of_the_transform_are_the_records() {
    for (program, data, expected) in [
        (
            "{id, n: .n}",
            r#"{"n": 1.50, "id": 12345678901234567890123, "x": 1}"#,
            records(&[r#"{"id":12345678901234567890123,"n":1.50}"#]),
        ),
        (".[]", "[1, {}, null]", records(&["1", "{}", "null"])),
        ("empty", "1", Shaped::Filtered),
        ("select(.keep)", r#"{"keep": false}"#, Shaped::Filtered),
        ("$metadata.tenant", "1", records(&[r#""acme""#])),
    ] {
        assert_eq!(apply(&shaping(None, Some(program), OnError::Fail), data), expected, "{program}");
    }
}

#[test]
fn a_failure_of_the_transform_is_what_the_field_says() {
    for (on_error, result) in [
        (OnError::Fail, ShapingResult::Failed),
        (OnError::Passthrough, ShapingResult::PassedThrough),
        (OnError::DropCounted, ShapingResult::Dropped),
        (OnError::DeadLetter, ShapingResult::DeadLetter),
    ] {
        let failing = shaping(None, Some(".a.b"), on_error);
        for data in [r#"{"a": "text"}"#, "no JSON", "", "{"] {
            assert_eq!(apply(&failing, data).counted(), Some(result), "{data}");
        }
        assert_eq!(apply(&failing, r#"{"a": {"b": 1}}"#), records(&["1"]));
    }
}

#[test]
fn a_program_without_end_fails_the_record() {
    let endless = shaping(None, Some("[range(1000000000)]"), OnError::Fail);
    let Shaped::Failed(error) = apply(&endless, "1") else { panic!("it ended") };
    assert!(error.to_string().contains("over its limit"), "{error}");
}

#[test]
fn an_error_holds_no_part_of_the_record() {
    let data = r#"{"password": "s3cret-payload", "list": ["s3cret-payload"], "n": 1}"#;
    for program in [
        "error(.password)",
        "error(\"wrong: \" + .password)",
        "error(.)",
        ".password | error",
        "try error(.password) catch error(.)",
        ".password.x",
        ".password + 1",
        ".[.password]",
        ".list[.password]",
        ".password | tonumber",
        ".password | fromjson",
        ".password | test(\"(\")",
        ".password | test(.)| .x",
        "{(.list): 1}",
        ".password | ltrimstr(1) | .[]",
        ".password | keys",
        ".list | join(1) | implode",
        ".password | @base64d | .x",
        ".password | strptime(\"%Y\")",
        ".password | ascii | .x",
        "{} | .[\"a\"] | has(\"x\") | .y",
        ".password - .list",
        ".list | min_by(.password)",
    ] {
        let Ok(compiled) = Expression::compile(program) else { continue };
        let failing =
            Shaping { filter: None, transform: Some(Transform { program: compiled, on_error: OnError::Fail }) };
        let Shaped::Failed(error) = apply(&failing, data) else { continue };
        let shown = format!("{error} {}", error.of_field("transform"));
        assert!(!shown.contains("s3cret"), "{program}: {shown}");
    }
    let constant = shaping(None, Some("error(\"no such type\")"), OnError::Fail);
    let Shaped::Failed(error) = apply(&constant, data) else { panic!("it did not fail") };
    assert!(error.to_string().contains("no such type"), "{error}");
}

proptest! {
    #[test]
    fn the_identity_keeps_each_record_and_its_complement_filters_it(n in any::<i64>(), text in "[a-z \"\\\\é]{0,20}") {
        let data = serde_json::json!({"n": n, "text": text}).to_string();
        let identity = shaping(Some(r#"{"data": {"n": [{"exists": true}]}}"#), Some("."), OnError::Fail);
        prop_assert_eq!(apply(&identity, &data), records(&[&data]));
        let absent = shaping(Some(r#"{"data": {"n": [{"exists": false}]}}"#), Some("."), OnError::Fail);
        prop_assert_eq!(apply(&absent, &data), Shaped::Filtered);
    }

    #[test]
    fn no_data_makes_it_panic_or_quote_the_record(data in "\\PC{0,64}") {
        let failing = shaping(None, Some(".a.b[0] | length"), OnError::Fail);
        if let Shaped::Failed(error) = apply(&failing, &data) {
            prop_assert!(data.chars().count() < 24 || !error.to_string().contains(&data));
        }
    }
}

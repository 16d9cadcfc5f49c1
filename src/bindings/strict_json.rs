//! Reads JSON objects of requests whose fields are all known. An unknown field is an error that suggests the right
//! name. Items, keys and payloads of the caller stay raw text.

use crate::domain::{BindingError, FailureKind};
use crate::manifest::nearest;
use serde::Deserialize;
use serde::de::value::Error as ValueError;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::fmt;

/// How many characters of a caller's own name a message shows.
const MAX_SHOWN: usize = 40;

/// Reads a JSON object with the fields that its type names, and no others: the type must say `deny_unknown_fields`.
///
/// # Errors
/// `Caller` with what is wrong: an unknown field, with a suggestion and the known fields; a missing or duplicate field; else
/// line and column. Never shows a value.
pub(crate) fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, BindingError> {
    let invalid = |what: String| BindingError::new(FailureKind::Caller, what);
    // serde would also take an array, as the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid("it is not a JSON object".to_owned()));
    }
    serde_json::from_slice(text).map_err(|error| invalid(problem(known_fields::<T>(), text, &error)))
}

/// The beginning of a caller's own name, for messages.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

fn problem(known: &[&str], text: &[u8], error: &serde_json::Error) -> String {
    if let Some(name) = first_unknown_field(known, text) {
        let suggestion = nearest(&name, known.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
        let (name, suggestion) = (shown(&name), suggestion.unwrap_or_else(|| ";".to_owned()));
        return format!("unknown field `{name}`{suggestion} known are {}", list(known));
    }
    let message = error.to_string();
    // These messages name known fields; others may show values.
    if ["unknown field", "missing field", "duplicate field"].iter().any(|start| message.starts_with(start)) {
        return message.chars().take(200).collect();
    }
    format!("wrong at line {}, column {}", error.line(), error.column())
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The fields of a type: `Deserialize` passes them to the deserializer, and this one only records them.
fn known_fields<'t, T: Deserialize<'t>>() -> &'static [&'static str] {
    struct FieldRecorder<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for FieldRecorder<'_> {
        type Error = ValueError;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
            Err(ValueError::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, ValueError> {
            *self.0 = fields;
            Err(ValueError::custom("recorded"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    // It always fails; only the recorded fields are used.
    T::deserialize(FieldRecorder(&mut fields)).map_or(fields, |_| &[])
}

/// The first unknown field of an object; `None` also for a text that is not an object.
fn first_unknown_field<'t>(known: &[&str], text: &'t [u8]) -> Option<Cow<'t, str>> {
    struct Fields<'k>(&'k [&'k str]);

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

    impl<'de> Visitor<'de> for Fields<'_> {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut first = None;
            while let Some((Name(name), IgnoredAny)) = members.next_entry::<Name<'de>, IgnoredAny>()? {
                if first.is_none() && !self.0.contains(&name.as_ref()) {
                    first = Some(name);
                }
            }
            Ok(first)
        }
    }

    serde_json::Deserializer::from_slice(text).deserialize_map(Fields(known)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct TestRequest<'t> {
        #[serde(borrow)]
        key: &'t RawValue,
        next_token: Option<String>,
        segment: Option<Segment>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Segment {
        of: u32,
    }

    fn message_for(text: &str) -> String {
        let error = read::<TestRequest<'_>>(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        error.message().to_owned()
    }

    #[test]
    fn a_misspelt_field_gets_a_suggestion() {
        let known = "known are `key`, `nextToken`, `segment`";
        for (text, expected) in [
            (r#"{"key":1,"nextTokn":"x"}"#, format!("unknown field `nextTokn`, did you mean `nextToken`? {known}")),
            (r#"{"Key":1}"#, format!("unknown field `Key`, did you mean `key`? {known}")),
            (
                r#"{"key":1,"next\u0054okens":null}"#,
                format!("unknown field `nextTokens`, did you mean `nextToken`? {known}"),
            ),
            (r#"{"key":1,"colour":"secret"}"#, format!("unknown field `colour`; {known}")),
        ] {
            assert_eq!(message_for(text), expected, "{text}");
        }
        assert!(message_for(&format!(r#"{{"key":1,"{}":1}}"#, "x".repeat(10_000))).len() < 120);
    }

    #[test]
    fn other_errors_show_no_values() {
        for (text, expected) in [
            ("{}", "missing field `key`"),
            (r#"{"key":1,"key":2}"#, "duplicate field `key`"),
            (r#"{"key":1,"nextToken":{"secret":1}}"#, "wrong at line 1, column"),
            (r#"{"key":1,"segment":{"off":1}}"#, "unknown field `off`, expected `of`"),
            (r#"[1,"secret"]"#, "it is not a JSON object"),
            (r#"{"key":"#, "wrong at line 1"),
        ] {
            let message = message_for(text);
            assert!(message.starts_with(expected) && !message.contains("secret"), "{text}: {message}");
        }
        let request: TestRequest<'_> = read(br#" {"key": 1.50, "segment": {"of": 2}}"#).unwrap();
        assert_eq!((request.key.get(), request.segment.map(|segment| segment.of)), ("1.50", Some(2)));
        assert_eq!(request.next_token, None);
    }
}

//! JSON objects of requests whose fields are ours: all of them are known, and a misspelt one is refused with the name that
//! was meant. What is a user's own (items, keys, payloads) stays raw text here.

use crate::domain::{BindingError, FailureKind};
use crate::manifest::nearest;
use serde::Deserialize;
use serde::de::value::Error as Captured;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::fmt;

/// The most characters of a caller's own word that a message shows.
const LONGEST_WORD: usize = 40;

/// Reads a JSON object with the fields that its type names, and no others: the type must say `deny_unknown_fields`.
///
/// # Errors
/// `Caller` with what is wrong: the unknown field, the one that was likely meant and those that are known; a field that is
/// missing or doubled; else line and column. Never with a value.
pub(super) fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, BindingError> {
    let refused = |what: String| BindingError::new(FailureKind::Caller, what);
    // An array would be taken for the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(refused("it is not a JSON object".to_owned()));
    }
    serde_json::from_slice(text).map_err(|error| refused(what_is_wrong(known::<T>(), text, &error)))
}

/// The beginning of a caller's word, for messages.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

fn what_is_wrong(known: &[&str], text: &[u8], error: &serde_json::Error) -> String {
    if let Some(name) = first_unknown(known, text) {
        let meant = nearest(&name, known.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
        let (name, meant) = (shown(&name), meant.unwrap_or_else(|| ";".to_owned()));
        return format!("unknown field `{name}`{meant} known are {}", list(known));
    }
    let said = error.to_string();
    // These texts name fields of ours, the others may show values.
    if ["unknown field", "missing field", "duplicate field"].iter().any(|start| said.starts_with(start)) {
        return said.chars().take(200).collect();
    }
    format!("wrong at line {}, column {}", error.line(), error.column())
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The fields that a type names: it asks its deserializer for them, and this one gives nothing else.
fn known<'t, T: Deserialize<'t>>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = Captured;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Captured> {
            Err(Captured::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Captured> {
            *self.0 = fields;
            Err(Captured::custom("asked"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    // It always fails; what counts is what was asked for.
    T::deserialize(Asked(&mut fields)).map_or(fields, |_| &[])
}

/// The first field of an object that is not known; `None` also for a text that is no object.
fn first_unknown<'t>(known: &[&str], text: &'t [u8]) -> Option<Cow<'t, str>> {
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
    struct Shape<'t> {
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

    fn refusal(text: &str) -> String {
        let error = read::<Shape<'_>>(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        error.message().to_owned()
    }

    #[test]
    fn a_misspelt_field_is_told_with_the_one_that_was_meant() {
        let known = "known are `key`, `nextToken`, `segment`";
        for (text, told) in [
            (r#"{"key":1,"nextTokn":"x"}"#, format!("unknown field `nextTokn`, did you mean `nextToken`? {known}")),
            (r#"{"Key":1}"#, format!("unknown field `Key`, did you mean `key`? {known}")),
            (
                r#"{"key":1,"next\u0054okens":null}"#,
                format!("unknown field `nextTokens`, did you mean `nextToken`? {known}"),
            ),
            (r#"{"key":1,"colour":"secret"}"#, format!("unknown field `colour`; {known}")),
        ] {
            assert_eq!(refusal(text), told, "{text}");
        }
        assert!(refusal(&format!(r#"{{"key":1,"{}":1}}"#, "x".repeat(10_000))).len() < 120);
    }

    #[test]
    fn what_else_is_wrong_is_told_without_values() {
        for (text, told) in [
            ("{}", "missing field `key`"),
            (r#"{"key":1,"key":2}"#, "duplicate field `key`"),
            (r#"{"key":1,"nextToken":{"secret":1}}"#, "wrong at line 1, column"),
            (r#"{"key":1,"segment":{"off":1}}"#, "unknown field `off`, expected `of`"),
            (r#"[1,"secret"]"#, "it is not a JSON object"),
            (r#"{"key":"#, "wrong at line 1"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(told) && !refusal.contains("secret"), "{text}: {refusal}");
        }
        let shape: Shape<'_> = read(br#" {"key": 1.50, "segment": {"of": 2}}"#).unwrap();
        assert_eq!((shape.key.get(), shape.segment.map(|segment| segment.of)), ("1.50", Some(2)));
        assert_eq!(shape.next_token, None);
    }
}

//! Strings in JSON.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A JSON string, borrowed from the JSON where it has no escapes. One with an unpaired surrogate (`\ud800` to `\udfff`)
/// is an error: it is not text, and with a replacement character two different keys could become the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonText<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonText<'de> {
    // Read as bytes, because `serde_json` reports an unpaired surrogate in a string as a syntax error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = JsonText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        text(bytes).map(|text| JsonText(Cow::Borrowed(text)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        text(bytes).map(|text| JsonText(Cow::Owned(text.to_owned())))
    }

    // `serde_json::Value` as a deserializer calls these.
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Owned(text.to_owned())))
    }
}

fn text<E: Error>(bytes: &[u8]) -> Result<&str, E> {
    std::str::from_utf8(bytes).map_err(|_| E::custom("an unpaired surrogate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::error::Category;

    fn read(json: &str) -> Cow<'_, str> {
        serde_json::from_str::<JsonText<'_>>(json).unwrap().0
    }

    #[test]
    fn surrogate_pairs_are_text_and_halves_are_not() {
        assert!(matches!(read(r#""plain ü""#), Cow::Borrowed("plain ü")));
        assert_eq!(read(r#""a\nb\ud83d\ude00""#), "a\nb😀");
        for half in [r#""\ud800""#, r#""a\udfffb""#, r#""\ude00\ud83d""#, r#""\ud800\u0041""#] {
            let error = serde_json::from_str::<JsonText<'_>>(half).unwrap_err();
            assert_eq!(error.classify(), Category::Data, "{half}");
        }
        for other in ["1", "null", "[]", r#"{"a":1}"#, r#""\x""#] {
            assert!(serde_json::from_str::<JsonText<'_>>(other).is_err(), "{other}");
        }
    }
}

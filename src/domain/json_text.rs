//! Texts inside JSON, read as Go reads them.

use serde::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A JSON string of which escaped lone surrogates are replaced by U+FFFD, as in Go, instead of refused. Borrowed from the
/// JSON where nothing in it is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonText<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonText<'de> {
    // Only as bytes does `serde_json` pass lone surrogates on.
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

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(JsonText(repaired(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Owned(repaired(bytes).into_owned())))
    }

    // A reader of what is parsed already, such as that of `serde_json::Value`, gives strings as such.
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Owned(text.to_owned())))
    }
}

/// A lone surrogate comes as the three bytes that would encode it; U+FFFD has as many.
fn repaired(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        if let Some(surrogate @ [0xed, 0xa0..=0xbf, _]) = bytes.get_mut(at..at + 3) {
            surrogate.copy_from_slice("\u{fffd}".as_bytes());
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Cow<'_, str> {
        serde_json::from_str::<JsonText<'_>>(json).unwrap().0
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_not() {
        assert!(matches!(read(r#""plain ü""#), Cow::Borrowed("plain ü")));
        assert_eq!(read(r#""a\nb\ud83d\ude00""#), "a\nb😀");
        assert_eq!(read(r#""a\ud800b\udfff\udfffü""#), "a\u{fffd}b\u{fffd}\u{fffd}ü", "one for each, as in Go");
        for other in ["1", "null", "[]", r#"{"a":1}"#, r#""\x""#] {
            assert!(serde_json::from_str::<JsonText<'_>>(other).is_err(), "{other}");
        }
    }
}

//! A JSON pointer (RFC 6901) into `data`, followed through the text.
//!
//! Why not `serde_json::Value::pointer`: it needs the whole tree of `data` in memory for each record, and it loses how a
//! number is written (`1.50`, 20 digits), which must be part of the key. Here all but the one value is only skipped.

use crate::domain::JsonText;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Such as `/order/customer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    written: String,
    tokens: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    #[error("a JSON pointer begins with `/`")]
    NoSlash,
    #[error("in a JSON pointer `~` stands only in `~0` (for `~`) and `~1` (for `/`)")]
    Tilde,
}

/// Why the pointer finds no text. Names the type of the value there, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PointerError {
    #[error("there is nothing at that place")]
    Missing,
    #[error("there is {0} at that place")]
    Other(&'static str),
    #[error("the data is not JSON")]
    NotJson,
}

/// The only error that a string can still have once the whole data was read as JSON.
const UNPAIRED_SURROGATE: PointerError = PointerError::Other("a string with an unpaired surrogate");

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let Some(rest) = written.strip_prefix('/') else { return Err(InvalidPointer::NoSlash) };
        let tokens: Result<Vec<String>, InvalidPointer> = rest.split('/').map(unescape).collect();
        Ok(Self { written: written.to_owned(), tokens: tokens? })
    }
}

fn unescape(token: &str) -> Result<String, InvalidPointer> {
    let mut out = String::with_capacity(token.len());
    let mut rest = token;
    while let Some((plain, after)) = rest.split_once('~') {
        out.push_str(plain);
        let mut chars = after.chars();
        out.push(match chars.next() {
            Some('0') => '~',
            Some('1') => '/',
            Some(_) | None => return Err(InvalidPointer::Tilde),
        });
        rest = chars.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

impl Pointer {
    /// The string at the place, or the text of a number or boolean as it is written.
    ///
    /// # Errors
    /// When there is something else, or nothing.
    pub(super) fn text<'d>(&self, data: &'d [u8]) -> Result<Cow<'d, str>, PointerError> {
        let mut value: &RawValue = serde_json::from_slice(data).map_err(|_| PointerError::NotJson)?;
        for token in &self.tokens {
            value = member(value, token)?.ok_or(PointerError::Missing)?;
        }
        match value.get().as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str::<JsonText<'d>>(value.get()).map(|text| text.0).map_err(|_| UNPAIRED_SURROGATE)
            }
            Some(b'{') => Err(PointerError::Other("an object")),
            Some(b'[') => Err(PointerError::Other("an array")),
            Some(b'n') | None => Err(PointerError::Other("null")),
            Some(_) => Ok(Cow::Borrowed(value.get())),
        }
    }
}

/// The member or element; `None` when there is no such one, or `value` is neither object nor array.
fn member<'d>(value: &'d RawValue, token: &str) -> Result<Option<&'d RawValue>, PointerError> {
    if !value.get().starts_with(['{', '[']) {
        return Ok(None);
    }
    Step(token).deserialize(&mut serde_json::Deserializer::from_str(value.get())).map_err(|_| UNPAIRED_SURROGATE)
}

struct Step<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    /// Of members with the same name the last one counts, as in Go and JavaScript.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<JsonText<'de>>()? {
            if name.0 == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let is_index = self.0 == "0" || !self.0.starts_with('0') && self.0.bytes().all(|byte| byte.is_ascii_digit());
        let index: Option<usize> = if is_index { self.0.parse().ok() } else { None };
        let (mut found, mut place) = (None, 0_usize);
        loop {
            if Some(place) == index {
                let Some(value) = elements.next_element()? else { return Ok(found) };
                found = Some(value);
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn at(pointer: &str, data: &str) -> Result<String, PointerError> {
        pointer.parse::<Pointer>().unwrap().text(data.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn scalars_are_found_by_their_place() {
        let data = r#"{"order": {"customer": "c\u00fc", "total": 1.50, "id": 12345678901234567890, "paid": true},
                       "lines": [{"sku": 1}, {"sku": 2}], "a/b": {"~": "odd"}, "": "empty", "x": 1, "x": 2}"#;
        for (pointer, text) in [
            ("/order/customer", "cü"),
            ("/order/total", "1.50"),
            ("/order/id", "12345678901234567890"),
            ("/order/paid", "true"),
            ("/lines/1/sku", "2"),
            ("/a~1b/~0", "odd"),
            ("/", "empty"),
            ("/x", "2"),
        ] {
            assert_eq!(at(pointer, data).as_deref(), Ok(text), "{pointer}");
        }
    }

    #[test]
    fn anything_but_a_scalar_is_an_error_that_names_it() {
        let data = r#"{"o": {}, "l": [1], "n": null, "s": "x"}"#;
        for (pointer, why) in [
            ("/o", PointerError::Other("an object")),
            ("/l", PointerError::Other("an array")),
            ("/n", PointerError::Other("null")),
            ("/gone", PointerError::Missing),
            ("/s/deeper", PointerError::Missing),
            ("/l/1", PointerError::Missing),
            ("/l/00", PointerError::Missing),
            ("/l/-", PointerError::Missing),
        ] {
            assert_eq!(at(pointer, data), Err(why), "{pointer}");
        }
        assert_eq!(at("/a", "not json"), Err(PointerError::NotJson));
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_escapes_correctly() {
        assert_eq!("order".parse::<Pointer>(), Err(InvalidPointer::NoSlash));
        assert_eq!("".parse::<Pointer>(), Err(InvalidPointer::NoSlash));
        for bad in ["/a~", "/a~2", "/~~0"] {
            assert_eq!(bad.parse::<Pointer>(), Err(InvalidPointer::Tilde), "{bad}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[ab/~0-2]{0,2}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// `serde_json` follows pointers over a parsed tree.
        #[test]
        fn the_result_is_that_of_serde_json(data in value(), pointer in "(/([ab2]|~0|~1|0|1){0,2}){1,4}") {
            let expected = match data.pointer(&pointer) {
                None => Err(PointerError::Missing),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(Value::Object(_)) => Err(PointerError::Other("an object")),
                Some(Value::Array(_)) => Err(PointerError::Other("an array")),
                Some(Value::Null) => Err(PointerError::Other("null")),
                Some(scalar) => Ok(scalar.to_string()),
            };
            prop_assert_eq!(at(&pointer, &data.to_string()), expected);
        }
    }
}

//! JSON with its numbers as they are written, and without members of the same name.

use crate::domain::{JsonMembers, JsonText};
use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    String(String),
    /// A number, as it is written.
    Number(String),
    /// `true`, `false` or `null`
    Literal(String),
    Array(Vec<Self>),
    /// In the order of the text.
    Object(Vec<(String, Self)>),
}

/// Deeper values are refused, so that none overflows the stack.
const MAX_DEPTH: usize = 64;

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::read(raw, MAX_DEPTH)
    }

    fn read(raw: &RawValue, depth: usize) -> Result<Self, String> {
        let text = raw.get();
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        };
        let failed = |error: serde_json::Error| error.to_string();
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::String(serde_json::from_str(text).map_err(failed)?),
            Some(b'{') => {
                let JsonMembers(raw) = serde_json::from_str(text).map_err(failed)?;
                let mut members: Vec<(String, Self)> = Vec::with_capacity(raw.len());
                for (JsonText(name), value) in raw {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(format!("`{name}` is written twice"));
                    }
                    members.push((name.into_owned(), Self::read(value, depth)?));
                }
                Self::Object(members)
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
                Self::Array(elements.into_iter().map(|value| Self::read(value, depth)).collect::<Result<_, _>>()?)
            }
            Some(b't' | b'f' | b'n') => Self::Literal(text.to_owned()),
            Some(_) | None => Self::Number(text.to_owned()),
        })
    }
}

//! A value of a record that is neither object nor array.

use crate::domain::JsonText;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'a> {
    String(Cow<'a, str>),
    /// A JSON number, as it is written.
    Number(Cow<'a, str>),
    /// `true`, `false` or `null`
    Literal(&'a str),
}

impl<'a> Scalar<'a> {
    /// `None` for an object, an array, and a string with an unpaired surrogate.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{' | b'[') | None => None,
            Some(b'"') => serde_json::from_str::<JsonText<'a>>(text).ok().map(|text| Self::String(text.0)),
            Some(b't' | b'f' | b'n') => Some(Self::Literal(text)),
            Some(_) => Some(Self::Number(Cow::Borrowed(text))),
        }
    }

    pub(super) fn as_string(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Number(_) | Self::Literal(_) => None,
        }
    }

    /// The number in the precision of EventBridge, IEEE 754 binary64.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            Self::String(_) | Self::Literal(_) => None,
        }
    }
}

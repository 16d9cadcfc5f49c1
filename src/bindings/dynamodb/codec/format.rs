//! The options of the JSON form of items.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The form of items in requests and responses (`itemFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemFormat {
    /// `json`: plain values; sets and binary need `attributeTypes`.
    #[default]
    Plain,
    /// `dynamodb-json`: each value in an object that names its type, such as `{"S":"text"}`.
    Tagged,
}

/// How numbers are written in the plain form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberForm {
    /// As JSON numbers with the digits that DynamoDB returned.
    #[default]
    Number,
    /// As JSON strings (`numbersAsStrings`), for readers whose numbers are floats.
    Text,
}

/// A type that plain JSON cannot express, stated for an attribute by `attributeTypes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedType {
    /// `N`: a number, or a string of its digits.
    Number,
    /// `B`: a string with base64.
    Binary,
    /// `SS`: an array of strings.
    Strings,
    /// `NS`: an array of numbers, or strings of their digits.
    Numbers,
    /// `BS`: an array of strings with base64.
    Binaries,
}

impl StatedType {
    /// The type of a tag, such as `SS`.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag {
            "N" => Some(Self::Number),
            "B" => Some(Self::Binary),
            "SS" => Some(Self::Strings),
            "NS" => Some(Self::Numbers),
            "BS" => Some(Self::Binaries),
            _ => None,
        }
    }
}

/// Types of top-level attributes by name; a name that begins with `:` is that of an expression's value.
pub(in super::super) type AttributeTypes = BTreeMap<String, StatedType>;

/// Parses items from JSON and writes them as JSON. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ItemCodec {
    /// `itemFormat`
    pub format: ItemFormat,
    /// `attributeTypes`; they apply to the plain form only.
    pub types: Arc<AttributeTypes>,
    /// `numbersAsStrings`
    pub numbers: NumberForm,
}

//! How items are spelled as JSON, there and back.

use super::json_in::Reader;
use super::json_out::Spelled;
use super::{Item, ItemFault};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The form of items in requests and answers (`itemFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemFormat {
    /// `json`: plain values; sets and binary need `attributeTypes`.
    #[default]
    Plain,
    /// `dynamodb-json`: each value in an object that tells its type, such as `{"S":"text"}`.
    Tagged,
}

/// How numbers stand in answers of the plain form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberForm {
    /// As JSON numbers with the digits that DynamoDB gave.
    #[default]
    Bare,
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
    /// The type of a word, such as `SS`.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
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
pub type AttributeTypes = BTreeMap<String, StatedType>;

/// Turns JSON into items and items into JSON. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    /// `itemFormat`
    pub format: ItemFormat,
    /// `attributeTypes`; regarded in the plain form.
    pub types: Arc<AttributeTypes>,
    /// `numbersAsStrings`
    pub numbers: NumberForm,
}

impl Spelling {
    /// Reads a JSON object as an item. In the plain form: string → S, number → N with the same digits, true and false
    /// → BOOL, null → NULL, array → L, object → M, and what `attributeTypes` states by its type.
    ///
    /// # Errors
    /// With the place of a value that cannot be an attribute; `TooLarge` for an item over 400 KiB.
    pub fn item(&self, text: &[u8]) -> Result<Item, ItemFault> {
        Reader::new(self).whole(text)
    }

    /// As [`Spelling::item`], for an object at a place within `data`, such as `key`: faults name it.
    ///
    /// # Errors
    /// As [`Spelling::item`].
    pub fn item_at(&self, place: &[&str], text: &RawValue) -> Result<Item, ItemFault> {
        Reader::at(self, place).whole(text.get().as_bytes())
    }

    /// As [`Spelling::item_at`], but in the plain form an array without a stated type is a set of strings or of numbers:
    /// what `add` and `delete` of an update take can be nothing else.
    ///
    /// # Errors
    /// As [`Spelling::item`].
    pub fn sets_at(&self, place: &[&str], text: &RawValue) -> Result<Item, ItemFault> {
        Reader::at(self, place).taking_arrays_for_sets().whole(text.get().as_bytes())
    }

    /// Writes an item as a JSON object with its keys in alphabetical order.
    ///
    /// # Errors
    /// When the JSON library refuses; no item of DynamoDB is known to make it.
    pub fn write(&self, item: &Item) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(&Spelled::item(item, self.format, self.numbers))
    }
}

/// Turns the exact text of a JSON object into an item, by the plain form without `attributeTypes`.
///
/// # Errors
/// As [`Spelling::item`].
pub fn item_from_json(text: &[u8]) -> Result<Item, ItemFault> {
    Spelling::default().item(text)
}

#[cfg(test)]
#[path = "tests/spelling.rs"]
mod tests;

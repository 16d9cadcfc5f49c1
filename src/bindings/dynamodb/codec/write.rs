//! Items as JSON, with the digits of numbers as they are.

use super::format::{ItemCodec, ItemFormat, NumberForm};
use super::number::is_number;
use crate::aws::Item;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

impl ItemCodec {
    /// Writes an item as a JSON object with its keys in alphabetical order.
    ///
    /// # Errors
    /// When the item holds a type that the SDK does not know.
    pub fn write(&self, item: &Item) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(&Json { codec: self, part: Part::Members(item) })
    }
}

struct Json<'a> {
    codec: &'a ItemCodec,
    part: Part<'a>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Members(&'a Item),
    Value(&'a AttributeValue),
    /// A value without its type tag.
    Untagged(&'a AttributeValue),
    Number(&'a str),
}

impl<'a> Json<'a> {
    const fn with(&self, part: Part<'a>) -> Self {
        Self { codec: self.codec, part }
    }

    /// In alphabetical order: a hash map's order would differ from one response to the next.
    fn members<S: Serializer>(&self, item: &'a Item, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<&str, &AttributeValue> = item.iter().map(|(name, value)| (name.as_str(), value)).collect();
        serializer.collect_map(sorted.into_iter().map(|(name, value)| (name, self.with(Part::Value(value)))))
    }

    fn untagged<S: Serializer>(&self, value: &'a AttributeValue, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            AttributeValue::S(text) => serializer.serialize_str(text),
            AttributeValue::N(digits) => self.number(digits, serializer),
            AttributeValue::B(bytes) => serializer.serialize_str(&base64(bytes.as_ref())),
            AttributeValue::Ss(strings) => serializer.collect_seq(strings),
            AttributeValue::Ns(numbers) => {
                serializer.collect_seq(numbers.iter().map(|digits| self.with(Part::Number(digits))))
            }
            AttributeValue::Bs(blobs) => serializer.collect_seq(blobs.iter().map(|bytes| base64(bytes.as_ref()))),
            AttributeValue::M(members) => self.members(members, serializer),
            AttributeValue::L(list) => serializer.collect_seq(list.iter().map(|value| self.with(Part::Value(value)))),
            AttributeValue::Bool(is_true) => serializer.serialize_bool(*is_true),
            AttributeValue::Null(_) => match self.codec.format {
                ItemFormat::Plain => serializer.serialize_unit(),
                ItemFormat::Tagged => serializer.serialize_bool(true),
            },
            // The SDK's enum is open.
            _ => Err(S::Error::custom("DynamoDB returned a value of an unknown type")),
        }
    }

    fn number<S: Serializer>(&self, digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.codec.format, self.codec.numbers) {
            (ItemFormat::Plain, NumberForm::Number) if is_number(digits) => {
                let raw = RawValue::from_string(digits.to_owned()).map_err(S::Error::custom)?;
                raw.serialize(serializer)
            }
            (ItemFormat::Plain | ItemFormat::Tagged, NumberForm::Number | NumberForm::Text) => {
                serializer.serialize_str(digits)
            }
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.part, self.codec.format) {
            (Part::Members(item), _) => self.members(item, serializer),
            (Part::Number(digits), _) => self.number(digits, serializer),
            (Part::Untagged(value), _) | (Part::Value(value), ItemFormat::Plain) => self.untagged(value, serializer),
            (Part::Value(value), ItemFormat::Tagged) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(tag(value), &self.with(Part::Untagged(value)))?;
                map.end()
            }
        }
    }
}

const fn tag(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "S",
        AttributeValue::N(_) => "N",
        AttributeValue::B(_) => "B",
        AttributeValue::Ss(_) => "SS",
        AttributeValue::Ns(_) => "NS",
        AttributeValue::Bs(_) => "BS",
        AttributeValue::M(_) => "M",
        AttributeValue::L(_) => "L",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::Null(_) => "NULL",
        _ => "?",
    }
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

#[cfg(test)]
#[path = "tests/write.rs"]
mod tests;

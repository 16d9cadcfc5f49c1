//! Attributes in, JSON out, with the digits as they are.

use super::json_in::is_number;
use super::spelling::{ItemFormat, NumberForm};
use super::{Item, Value};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// An item or a value on its way to JSON.
pub(super) struct Spelled<'a> {
    what: What<'a>,
    format: ItemFormat,
    numbers: NumberForm,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Members(&'a Item),
    Value(&'a Value),
    /// The tagged form's inner half.
    Bare(&'a Value),
    Number(&'a str),
}

impl<'a> Spelled<'a> {
    pub(super) const fn item(item: &'a Item, format: ItemFormat, numbers: NumberForm) -> Self {
        Self { what: What::Members(item), format, numbers }
    }

    const fn with(&self, what: What<'a>) -> Self {
        Self { what, format: self.format, numbers: self.numbers }
    }

    /// Keys in alphabetical order: a hash map's own would differ from one answer to the next.
    fn members<S: Serializer>(&self, item: &'a Item, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<&str, &Value> = item.iter().map(|(name, value)| (name.as_str(), value)).collect();
        serializer.collect_map(sorted.into_iter().map(|(name, value)| (name, self.with(What::Value(value)))))
    }

    fn bare<S: Serializer>(&self, value: &'a Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::S(text) => serializer.serialize_str(text),
            Value::N(digits) => self.number(digits, serializer),
            Value::B(bytes) => serializer.serialize_str(&base64(bytes.as_ref())),
            Value::Ss(strings) => serializer.collect_seq(strings),
            Value::Ns(numbers) => serializer.collect_seq(numbers.iter().map(|digits| self.with(What::Number(digits)))),
            Value::Bs(binaries) => serializer.collect_seq(binaries.iter().map(|bytes| base64(bytes.as_ref()))),
            Value::M(members) => self.members(members, serializer),
            Value::L(elements) => serializer.collect_seq(elements.iter().map(|value| self.with(What::Value(value)))),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Null(_) => match self.format {
                ItemFormat::Plain => serializer.serialize_unit(),
                ItemFormat::Tagged => serializer.serialize_bool(true),
            },
            // The SDK's enum is open.
            _ => Err(S::Error::custom("DynamoDB gave a value of a type that is not known here")),
        }
    }

    fn number<S: Serializer>(&self, digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.format, self.numbers) {
            (ItemFormat::Plain, NumberForm::Bare) if is_number(digits) => {
                let raw = RawValue::from_string(digits.to_owned()).map_err(S::Error::custom)?;
                raw.serialize(serializer)
            }
            (ItemFormat::Plain | ItemFormat::Tagged, NumberForm::Bare | NumberForm::Text) => {
                serializer.serialize_str(digits)
            }
        }
    }
}

impl Serialize for Spelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.what, self.format) {
            (What::Members(item), _) => self.members(item, serializer),
            (What::Number(digits), _) => self.number(digits, serializer),
            (What::Bare(value), _) | (What::Value(value), ItemFormat::Plain) => self.bare(value, serializer),
            (What::Value(value), ItemFormat::Tagged) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(tag(value), &self.with(What::Bare(value)))?;
                map.end()
            }
        }
    }
}

const fn tag(value: &Value) -> &'static str {
    match value {
        Value::S(_) => "S",
        Value::N(_) => "N",
        Value::B(_) => "B",
        Value::Ss(_) => "SS",
        Value::Ns(_) => "NS",
        Value::Bs(_) => "BS",
        Value::M(_) => "M",
        Value::L(_) => "L",
        Value::Bool(_) => "BOOL",
        Value::Null(_) => "NULL",
        _ => "?",
    }
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

//! Whether an object has the fields of a pattern, decided while its text is read once: without a copy, and without a list
//! of its members. Records are filtered one by one, so this is what a filter costs.

use super::alternatives::{Field, Node};
use super::values::{MAX_DEPTH, value_matches};
use crate::domain::JsonText;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// `None` if the text is no object of JSON, or the pattern or the object is too large or too deep for this.
pub(super) fn matches(node: &Node, text: &str) -> Option<bool> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let is_match = Object { node, depth: MAX_DEPTH - 1 }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(is_match)
}

/// Whether a value is decided while it is read: only objects can match, and each alone.
fn is_read_through(field: &Field) -> bool {
    field.leaves.is_empty() && !field.asks_for_absence()
}

/// The fields that were found, and those of them that match: one bit for each.
#[derive(Default)]
struct Found {
    present: u64,
    matching: u64,
}

impl Found {
    /// Of members with the same name the last one counts.
    fn set(&mut self, bit: u64, is_match: bool) {
        self.present |= bit;
        self.matching = if is_match { self.matching | bit } else { self.matching & !bit };
    }
}

/// An object that must have the fields of a node.
#[derive(Clone, Copy)]
struct Object<'n> {
    node: &'n Node,
    /// Levels below this one.
    depth: usize,
}

impl Object<'_> {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let fields = &self.node.fields;
        if fields.len() > u64::BITS as usize {
            return Err(A::Error::custom("more fields than bits"));
        }
        let mut found = Found::default();
        while let Some(name) = map.next_key::<JsonText<'de>>()? {
            let Some(index) = fields.iter().position(|field| field.name == name.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &fields[index];
            let is_match = match &field.children {
                Some(node) if is_read_through(field) => map.next_value_seed(Value::new(node, self.depth))?,
                _ => value_matches(field, map.next_value::<&RawValue>()?, self.depth),
            };
            found.set(1 << index, is_match);
        }
        let holds = |(index, field): (usize, &Field)| match found.present & (1 << index) {
            0 => field.allows_absence(),
            bit => found.matching & bit != 0,
        };
        Ok(fields.iter().enumerate().all(holds))
    }
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        self.read(map)
    }
}

/// A value that matches if it is an object with the fields of a node, or an array, also in arrays, with such an object.
#[derive(Clone, Copy)]
struct Value<'n> {
    node: &'n Node,
    /// Levels of objects that may follow.
    depth: usize,
    /// Levels of arrays that may follow before an object.
    arrays: usize,
}

impl<'n> Value<'n> {
    const fn new(node: &'n Node, depth: usize) -> Self {
        Self { node, depth, arrays: depth }
    }
}

/// One level deeper. An error where what is below counts as absent.
fn below<E: Error>(depth: usize) -> Result<usize, E> {
    depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    /// `serde_json` gives numbers as an object of one member, too: it has no field that a pattern names.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        Object { node: self.node, depth: below(self.depth)? }.read(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let element = Self { arrays: below(self.arrays)?, ..self };
        while let Some(is_match) = elements.next_element_seed(element)? {
            if is_match {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
}

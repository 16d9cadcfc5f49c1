//! Reads items from JSON, or reports the path of a value that cannot be stored.
//!
//! The text is read level by level as raw slices, so that a number keeps its digits, and a user's key is never mistaken
//! for a marker that the JSON library uses internally.

use super::error::{ItemFault, ItemProblem, MAX_ITEM_SIZE};
use super::format::{ItemCodec, ItemFormat, StatedType};
use super::number::{canonical, is_number, number_text, stored_size};
use crate::aws::Item;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write as _};
use std::hash::Hash;

/// How many maps and lists may enclose a value. AWS allows 32 levels; the attribute is the first.
const MAX_DEPTH: usize = 31;
/// How many characters of a key an error path shows.
const MAX_SHOWN_KEY: usize = 40;

impl ItemCodec {
    /// Reads a JSON object as an item. In the plain form: string → S, number → N with the same digits, true and false
    /// → BOOL, null → NULL, array → L, object → M, and what `attributeTypes` states by its type.
    ///
    /// # Errors
    /// With the place of a value that cannot be an attribute; `TooLarge` for an item over 400 KiB.
    pub fn item(&self, text: &[u8]) -> Result<Item, ItemFault> {
        Reader::new(self, &[], Arrays::Lists).whole(text)
    }

    /// Like [`ItemCodec::item`], for an object within `data`, such as `key`: faults include that place.
    pub fn item_at(&self, place: &str, text: &RawValue) -> Result<Item, ItemFault> {
        Reader::new(self, &[place], Arrays::Lists).whole(text.get().as_bytes())
    }

    /// Like [`ItemCodec::item_at`], but in the plain form an array without a stated type is a set of strings or of
    /// numbers: `add` and `delete` of an update take nothing else.
    pub fn sets_at(&self, place: &str, text: &RawValue) -> Result<Item, ItemFault> {
        Reader::new(self, &[place], Arrays::Sets).whole(text.get().as_bytes())
    }
}

#[cfg(test)]
pub(in super::super) fn item_from_json(text: &[u8]) -> Result<Item, ItemFault> {
    ItemCodec::default().item(text)
}

struct Reader<'c> {
    codec: &'c ItemCodec,
    arrays: Arrays,
    path: Vec<Step>,
    /// Bytes that the item takes in DynamoDB so far.
    size: usize,
}

/// What an array is at the top level when its type is not stated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrays {
    Lists,
    Sets,
}

enum Step {
    Key(String),
    Index(usize),
}

#[derive(Default)]
struct Members<'t> {
    by_name: BTreeMap<String, &'t RawValue>,
    /// The first key that occurs twice.
    duplicate: Option<String>,
}

impl<'t: 'd, 'd> Deserialize<'t> for Members<'d> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'t> Visitor<'t> for Collect {
            type Value = Members<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.by_name.contains_key(&name) && members.duplicate.is_none() {
                        members.duplicate = Some(name.clone());
                    }
                    members.by_name.insert(name, value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'c> Reader<'c> {
    fn new(codec: &'c ItemCodec, place: &[&str], arrays: Arrays) -> Self {
        let path = place.iter().map(|step| Step::Key((*step).to_owned())).collect();
        Self { codec, arrays, path, size: 0 }
    }

    fn whole(mut self, text: &[u8]) -> Result<Item, ItemFault> {
        let whole: &RawValue = serde_json::from_slice(text)
            .map_err(|error| self.fault(ItemProblem::NotJson { line: error.line(), column: error.column() }))?;
        if !whole.get().starts_with('{') {
            return Err(self.fault(ItemProblem::NotAnObject));
        }
        self.members(whole.get(), 0)
    }

    /// The value of a top-level attribute or of an expression's placeholder.
    fn top_level(&mut self, attribute: &str, text: &str) -> Result<AttributeValue, ItemFault> {
        let stated = match self.codec.format {
            ItemFormat::Plain => self.codec.types.get(attribute).copied().or_else(|| self.as_set(text)),
            ItemFormat::Tagged => None,
        };
        match stated {
            // An explicit null stays null, whatever type is stated.
            Some(stated) if text != "null" => self.stated(stated, text),
            Some(_) | None => self.value(text, 0),
        }
    }

    fn as_set(&self, text: &str) -> Option<StatedType> {
        let elements = text.strip_prefix('[').filter(|_| self.arrays == Arrays::Sets)?;
        let holds_text = elements.trim_start().starts_with('"');
        Some(if holds_text { StatedType::Strings } else { StatedType::Numbers })
    }

    /// The members of an object. `depth` is that of its values.
    fn members(&mut self, text: &str, depth: usize) -> Result<Item, ItemFault> {
        let members: Members<'_> = self.decode(text)?;
        if let Some(duplicate) = members.duplicate {
            self.path.push(Step::Key(duplicate));
            return Err(self.fault(ItemProblem::DuplicateKey));
        }
        let mut item = Item::with_capacity(members.by_name.len());
        for (name, value) in members.by_name {
            self.path.push(Step::Key(name.clone()));
            if name.is_empty() {
                return Err(self.fault(ItemProblem::EmptyName));
            }
            self.count(name.len() + usize::from(depth > 0))?;
            let value = if depth == 0 { self.top_level(&name, value.get())? } else { self.value(value.get(), depth)? };
            item.insert(name, value);
            self.path.pop();
        }
        Ok(item)
    }

    fn elements(&mut self, text: &str, depth: usize) -> Result<Vec<AttributeValue>, ItemFault> {
        let elements: Vec<&RawValue> = self.decode(text)?;
        let mut values = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            self.path.push(Step::Index(index));
            self.count(1)?;
            values.push(self.value(element.get(), depth)?);
            self.path.pop();
        }
        Ok(values)
    }

    /// One value with `depth` maps and lists around it.
    fn value(&mut self, text: &str, depth: usize) -> Result<AttributeValue, ItemFault> {
        if depth > MAX_DEPTH {
            return Err(self.fault(ItemProblem::TooDeep));
        }
        match self.codec.format {
            ItemFormat::Plain => self.plain(text, depth),
            ItemFormat::Tagged => self.tagged(text, depth),
        }
    }

    fn plain(&mut self, text: &str, depth: usize) -> Result<AttributeValue, ItemFault> {
        match text.as_bytes().first() {
            Some(b'{') => self.map(text, depth),
            Some(b'[') => self.list(text, depth),
            Some(b'"') => self.string(text).map(AttributeValue::S),
            Some(b't' | b'f') => {
                self.count(1)?;
                Ok(AttributeValue::Bool(text == "true"))
            }
            Some(b'n') => {
                self.count(1)?;
                Ok(AttributeValue::Null(true))
            }
            Some(_) | None => self.number(text).map(AttributeValue::N),
        }
    }

    fn tagged(&mut self, text: &str, depth: usize) -> Result<AttributeValue, ItemFault> {
        if !text.starts_with('{') {
            return Err(self.fault(ItemProblem::NotTagged));
        }
        let members: Members<'_> = self.decode(text)?;
        let has_duplicate = members.duplicate.is_some();
        let mut members = members.by_name.into_iter();
        let (Some((tag, value)), None, false) = (members.next(), members.next(), has_duplicate) else {
            return Err(self.fault(ItemProblem::NotTagged));
        };
        let text = value.get();
        self.path.push(Step::Key(tag.clone()));
        let value = match (tag.as_str(), text.as_bytes().first()) {
            ("S", Some(b'"')) => self.string(text).map(AttributeValue::S),
            ("N", Some(b'"')) => self.stated(StatedType::Number, text),
            ("B", _) => self.stated(StatedType::Binary, text),
            ("SS", _) => self.stated(StatedType::Strings, text),
            ("NS", _) => self.stated(StatedType::Numbers, text),
            ("BS", _) => self.stated(StatedType::Binaries, text),
            ("M", Some(b'{')) => self.map(text, depth),
            ("L", Some(b'[')) => self.list(text, depth),
            ("BOOL", Some(b't' | b'f')) | ("NULL", Some(b't')) => {
                self.count(1)?;
                Ok(if tag == "NULL" { AttributeValue::Null(true) } else { AttributeValue::Bool(text == "true") })
            }
            ("S" | "N", _) => Err(self.fault(ItemProblem::Expected("a string"))),
            ("M", _) => Err(self.fault(ItemProblem::Expected("an object"))),
            ("L", _) => Err(self.fault(ItemProblem::Expected("an array"))),
            ("BOOL", _) => Err(self.fault(ItemProblem::Expected("true or false"))),
            ("NULL", _) => Err(self.fault(ItemProblem::Expected("true"))),
            _ => Err(self.fault(ItemProblem::NotTagged)),
        }?;
        self.path.pop();
        Ok(value)
    }

    fn map(&mut self, text: &str, depth: usize) -> Result<AttributeValue, ItemFault> {
        self.count(3)?;
        self.members(text, depth + 1).map(AttributeValue::M)
    }

    fn list(&mut self, text: &str, depth: usize) -> Result<AttributeValue, ItemFault> {
        self.count(3)?;
        self.elements(text, depth + 1).map(AttributeValue::L)
    }

    /// A value whose type is stated.
    fn stated(&mut self, stated: StatedType, text: &str) -> Result<AttributeValue, ItemFault> {
        match stated {
            StatedType::Number => self.digits(text).map(AttributeValue::N),
            StatedType::Binary => self.binary(text).map(|bytes| AttributeValue::B(Blob::new(bytes))),
            StatedType::Strings => {
                let strings = self.set(text, Self::text, String::clone)?;
                Ok(AttributeValue::Ss(strings))
            }
            StatedType::Numbers => Ok(AttributeValue::Ns(self.set(text, Self::digits, |digits| canonical(digits))?)),
            StatedType::Binaries => {
                let binaries = self.set(text, Self::binary, Vec::clone)?;
                Ok(AttributeValue::Bs(binaries.into_iter().map(Blob::new).collect()))
            }
        }
    }

    /// The elements of a set. Two elements with the same `identity` are duplicates.
    fn set<T, K: Eq + Hash>(
        &mut self,
        text: &str,
        read: fn(&mut Self, &str) -> Result<T, ItemFault>,
        identity: fn(&T) -> K,
    ) -> Result<Vec<T>, ItemFault> {
        if !text.starts_with('[') {
            return Err(self.fault(ItemProblem::Expected("an array, as the attribute is a set")));
        }
        self.count(3)?;
        let raw: Vec<&RawValue> = self.decode(text)?;
        if raw.is_empty() {
            return Err(self.fault(ItemProblem::EmptySet));
        }
        let (mut elements, mut seen) = (Vec::new(), HashSet::new());
        for (index, element) in raw.into_iter().enumerate() {
            self.path.push(Step::Index(index));
            self.count(1)?;
            let element = read(self, element.get())?;
            self.path.pop();
            if !seen.insert(identity(&element)) {
                return Err(self.fault(ItemProblem::DuplicateInSet { index }));
            }
            elements.push(element);
        }
        Ok(elements)
    }

    /// A value that must be a JSON string.
    fn text(&mut self, text: &str) -> Result<String, ItemFault> {
        if text.starts_with('"') { self.string(text) } else { Err(self.fault(ItemProblem::Expected("a string"))) }
    }

    fn string(&mut self, text: &str) -> Result<String, ItemFault> {
        let string: String = self.decode(text)?;
        self.count(string.len())?;
        Ok(string)
    }

    fn binary(&mut self, text: &str) -> Result<Vec<u8>, ItemFault> {
        if !text.starts_with('"') {
            return Err(self.fault(ItemProblem::Expected("a string with base64")));
        }
        let string: String = self.decode(text)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(string.as_bytes());
        let bytes = bytes.map_err(|_| self.fault(ItemProblem::NotBase64))?;
        self.count(bytes.len())?;
        Ok(bytes)
    }

    /// A number by its digits, bare or in a string.
    fn digits(&mut self, text: &str) -> Result<String, ItemFault> {
        let expected = ItemProblem::Expected("a number, or a string with its digits");
        match text.as_bytes().first() {
            Some(b'"') => {
                let digits: String = self.decode(text)?;
                if !is_number(&digits) {
                    return Err(self.fault(expected));
                }
                self.number(&digits)
            }
            Some(b'-' | b'0'..=b'9') => self.number(text),
            Some(_) | None => Err(self.fault(expected)),
        }
    }

    fn number(&mut self, text: &str) -> Result<String, ItemFault> {
        let number = number_text(text).map_err(|problem| self.fault(problem.into()))?;
        self.count(stored_size(&number))?;
        Ok(number)
    }

    /// Decodes one level. The grammar was checked when the whole text was read, so only a bad escape can fail here.
    fn decode<'t, T: Deserialize<'t>>(&self, text: &'t str) -> Result<T, ItemFault> {
        serde_json::from_str(text).map_err(|_| self.fault(ItemProblem::NotUnicode))
    }

    /// Counts while reading, so that a body that would take far more memory as an item is refused early.
    fn count(&mut self, bytes: usize) -> Result<(), ItemFault> {
        self.size += bytes;
        if self.size > MAX_ITEM_SIZE {
            self.path.clear();
            return Err(self.fault(ItemProblem::TooLarge { size: self.size }));
        }
        Ok(())
    }

    fn fault(&self, problem: ItemProblem) -> ItemFault {
        ItemFault { path: path_text(&self.path), problem }
    }
}

fn path_text(steps: &[Step]) -> String {
    let mut path = "$".to_owned();
    for step in steps {
        let written = match step {
            Step::Index(index) => write!(path, "[{index}]"),
            Step::Key(key) if is_plain(key) => write!(path, ".{key}"),
            Step::Key(key) => write!(path, "[{:?}]", key.chars().take(MAX_SHOWN_KEY).collect::<String>()),
        };
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    path
}

/// Whether a key can stand after a dot.
fn is_plain(key: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !key.is_empty() && key.len() <= MAX_SHOWN_KEY && key.bytes().all(is_word)
}

#[cfg(test)]
#[path = "tests/read.rs"]
mod tests;

//! JSON in, attributes out, with the place of whatever cannot be one.
//!
//! The text is read level by level as raw slices, so that a number keeps its digits and no key of the caller can be
//! taken for a mark of the JSON library.

use super::number::{canonical, number_text, stored_size};
use super::spelling::{ItemFormat, Spelling, StatedType};
use super::{Item, ItemFault, ItemProblem, LARGEST_ITEM, Value};
use aws_sdk_dynamodb::primitives::Blob;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write as _};
use std::hash::Hash;

/// How many maps and lists may stand around a value (AWS: 32 levels, of which the attribute itself is the first).
const DEEPEST: usize = 31;
/// The most of a key that is shown in a path, in characters.
const SHOWN_KEY: usize = 40;

/// Reads one item or value.
pub(super) struct Reader<'s> {
    spelling: &'s Spelling,
    arrays: Arrays,
    path: Vec<Step>,
    size: usize,
}

/// What an array is whose type nobody states.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrays {
    Lists,
    Sets,
}

enum Step {
    Key(String),
    Index(usize),
}

/// The members of one object, and the first key that is there twice.
#[derive(Default)]
struct Members<'t> {
    by_name: BTreeMap<String, &'t RawValue>,
    double: Option<String>,
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
                    if members.by_name.contains_key(&name) && members.double.is_none() {
                        members.double = Some(name.clone());
                    }
                    members.by_name.insert(name, value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'s> Reader<'s> {
    pub(super) const fn new(spelling: &'s Spelling) -> Self {
        Self { spelling, arrays: Arrays::Lists, path: Vec::new(), size: 0 }
    }

    /// A reader whose faults name a place within `data`.
    pub(super) fn at(spelling: &'s Spelling, place: &[&str]) -> Self {
        let path = place.iter().map(|step| Step::Key((*step).to_owned())).collect();
        Self { path, ..Self::new(spelling) }
    }

    /// At the top level, an array of no stated type is a set.
    pub(super) const fn taking_arrays_for_sets(mut self) -> Self {
        self.arrays = Arrays::Sets;
        self
    }

    /// An object as an item.
    pub(super) fn whole(mut self, text: &[u8]) -> Result<Item, ItemFault> {
        let whole: &RawValue = serde_json::from_slice(text)
            .map_err(|error| self.fault(ItemProblem::NotJson { line: error.line(), column: error.column() }))?;
        if !whole.get().starts_with('{') {
            return Err(self.fault(ItemProblem::NotAnObject));
        }
        self.members(whole.get(), 0)
    }

    /// The value of a top-level attribute or of an expression.
    fn named(&mut self, attribute: &str, text: &str) -> Result<Value, ItemFault> {
        let stated = match self.spelling.format {
            ItemFormat::Plain => self.spelling.types.get(attribute).copied().or_else(|| self.as_set(text)),
            ItemFormat::Tagged => None,
        };
        match stated {
            // An explicit null stays one.
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
        if let Some(double) = members.double {
            self.path.push(Step::Key(double));
            return Err(self.fault(ItemProblem::Twice));
        }
        let mut item = Item::with_capacity(members.by_name.len());
        for (name, value) in members.by_name {
            self.path.push(Step::Key(name.clone()));
            if name.is_empty() {
                return Err(self.fault(ItemProblem::EmptyName));
            }
            self.count(name.len() + usize::from(depth > 0))?;
            let value = if depth == 0 { self.named(&name, value.get())? } else { self.value(value.get(), depth)? };
            item.insert(name, value);
            self.path.pop();
        }
        Ok(item)
    }

    fn elements(&mut self, text: &str, depth: usize) -> Result<Vec<Value>, ItemFault> {
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
    fn value(&mut self, text: &str, depth: usize) -> Result<Value, ItemFault> {
        if depth > DEEPEST {
            return Err(self.fault(ItemProblem::TooDeep));
        }
        match self.spelling.format {
            ItemFormat::Plain => self.plain(text, depth),
            ItemFormat::Tagged => self.tagged(text, depth),
        }
    }

    fn plain(&mut self, text: &str, depth: usize) -> Result<Value, ItemFault> {
        match text.as_bytes().first() {
            Some(b'{') => self.map(text, depth),
            Some(b'[') => self.list(text, depth),
            Some(b'"') => self.string(text).map(Value::S),
            Some(b't' | b'f') => {
                self.count(1)?;
                Ok(Value::Bool(text == "true"))
            }
            Some(b'n') => {
                self.count(1)?;
                Ok(Value::Null(true))
            }
            Some(_) | None => self.number(text).map(Value::N),
        }
    }

    fn tagged(&mut self, text: &str, depth: usize) -> Result<Value, ItemFault> {
        if !text.starts_with('{') {
            return Err(self.fault(ItemProblem::NotTagged));
        }
        let members: Members<'_> = self.decode(text)?;
        let is_double = members.double.is_some();
        let mut members = members.by_name.into_iter();
        let (Some((tag, value)), None, false) = (members.next(), members.next(), is_double) else {
            return Err(self.fault(ItemProblem::NotTagged));
        };
        let text = value.get();
        self.path.push(Step::Key(tag.clone()));
        let value = match (tag.as_str(), text.as_bytes().first()) {
            ("S", Some(b'"')) => self.string(text).map(Value::S),
            ("N", Some(b'"')) => self.stated(StatedType::Number, text),
            ("B", _) => self.stated(StatedType::Binary, text),
            ("SS", _) => self.stated(StatedType::Strings, text),
            ("NS", _) => self.stated(StatedType::Numbers, text),
            ("BS", _) => self.stated(StatedType::Binaries, text),
            ("M", Some(b'{')) => self.map(text, depth),
            ("L", Some(b'[')) => self.list(text, depth),
            ("BOOL", Some(b't' | b'f')) | ("NULL", Some(b't')) => {
                self.count(1)?;
                Ok(if tag == "NULL" { Value::Null(true) } else { Value::Bool(text == "true") })
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

    fn map(&mut self, text: &str, depth: usize) -> Result<Value, ItemFault> {
        self.count(3)?;
        self.members(text, depth + 1).map(Value::M)
    }

    fn list(&mut self, text: &str, depth: usize) -> Result<Value, ItemFault> {
        self.count(3)?;
        self.elements(text, depth + 1).map(Value::L)
    }

    /// A value whose type is stated.
    fn stated(&mut self, stated: StatedType, text: &str) -> Result<Value, ItemFault> {
        match stated {
            StatedType::Number => self.digits(text).map(Value::N),
            StatedType::Binary => self.binary(text).map(|bytes| Value::B(Blob::new(bytes))),
            StatedType::Strings => {
                let strings = self.set(text, Self::text, String::clone)?;
                Ok(Value::Ss(strings))
            }
            StatedType::Numbers => Ok(Value::Ns(self.set(text, Self::digits, |digits| canonical(digits))?)),
            StatedType::Binaries => {
                let binaries = self.set(text, Self::binary, Vec::clone)?;
                Ok(Value::Bs(binaries.into_iter().map(Blob::new).collect()))
            }
        }
    }

    /// The elements of a set. `same` tells by what two of them are the same.
    fn set<T, K: Eq + Hash>(
        &mut self,
        text: &str,
        read: fn(&mut Self, &str) -> Result<T, ItemFault>,
        same: fn(&T) -> K,
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
            if !seen.insert(same(&element)) {
                return Err(self.fault(ItemProblem::DoubleInSet { index }));
            }
            elements.push(element);
        }
        Ok(elements)
    }

    /// A JSON string where only one will do.
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

    /// Decodes one level. The grammar was checked with the whole, so only a bad escape can be found here.
    fn decode<'t, T: Deserialize<'t>>(&self, text: &'t str) -> Result<T, ItemFault> {
        serde_json::from_str(text).map_err(|_| self.fault(ItemProblem::NotUnicode))
    }

    /// Adds to the size at once, so that a body that unfolds into far more memory is stopped early.
    fn count(&mut self, bytes: usize) -> Result<(), ItemFault> {
        self.size += bytes;
        if self.size > LARGEST_ITEM {
            self.path.clear();
            return Err(self.fault(ItemProblem::TooLarge { size: self.size }));
        }
        Ok(())
    }

    fn fault(&self, problem: ItemProblem) -> ItemFault {
        ItemFault { path: path_text(&self.path), problem }
    }
}

/// Whether a text follows JSON's grammar of a number, with nothing around it.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

fn path_text(steps: &[Step]) -> String {
    let mut path = "$".to_owned();
    for step in steps {
        let written = match step {
            Step::Index(index) => write!(path, "[{index}]"),
            Step::Key(key) if is_plain(key) => write!(path, ".{key}"),
            Step::Key(key) => write!(path, "[{:?}]", key.chars().take(SHOWN_KEY).collect::<String>()),
        };
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    path
}

/// Whether a key can stand after a dot.
fn is_plain(key: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !key.is_empty() && key.len() <= SHOWN_KEY && key.bytes().all(is_word)
}

#[cfg(test)]
#[path = "tests/json_in.rs"]
mod tests;

//! Parses the text of a YAML or JSON document into a tree of values.
//!
//! Both formats give the same tree, and in both a duplicate key is an error. YAML is read with a budget: aliases are
//! expanded while reading, so a file of a few kilobytes could expand to gigabytes.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

/// Bytes that aliases may expand to in all documents of one load: text, and [`NODE_BYTES`] for each value.
const ALIAS_BUDGET: usize = 8 << 20;
const NODE_BYTES: usize = 32;
/// Brackets that may be open at once.
const MAX_DEPTH: usize = 500;
/// Brackets in one document.
const MAX_BRACKETS: usize = 20_000;

/// The remaining bytes for the expansion of aliases in all documents of one load. Each document may also use what it
/// needs without aliases: its own text, and one value for each byte of it.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(Cell::new(ALIAS_BUDGET))
    }

    /// Runs `read` with the budget of one document, then subtracts what it used beyond its own text.
    pub(super) fn with_document<T>(&self, text: &str, read: impl FnOnce(&Cell<usize>) -> T) -> T {
        let own = text.len().saturating_mul(NODE_BYTES + 1);
        let left = Cell::new(self.0.get().saturating_add(own));
        let value = read(&left);
        self.0.set(self.0.get().min(left.get()));
        value
    }
}

/// Parses one YAML document. `lines_before` is added to the line numbers in messages. Words such as `yes` and `010` stay
/// strings; Dapr's YAML 1.1 reads a boolean and an octal number.
pub(super) fn from_yaml(text: &str, lines_before: usize, budget: &Budget) -> Result<Value, String> {
    if opens_too_much(text) {
        let limits = format!("more than {MAX_DEPTH} at once, or more than {MAX_BRACKETS} in all");
        return Err(format!("the document opens too many `[` or `{{`: {limits}"));
    }
    let quoted = QuotedMerge::hide(text);
    let text = quoted.as_ref().map_or(text, |quoted| quoted.text.as_str());
    let read = budget.with_document(text, |left| read(text, left));
    let mut tree = read.map_err(|error| {
        let error = match &quoted {
            Some(quoted) => quoted.shown(&error),
            None => error,
        };
        shift_lines(&error, lines_before)
    })?;
    merge(&mut tree)?;
    if let Some(quoted) = quoted {
        quoted.show(&mut tree);
    }
    Ok(tree)
}

/// Only a plain `<<` is a merge key, and the parser does not say which keys had quotes: so a character that the text does not
/// have marks those with quotes while merge keys are applied.
struct QuotedMerge {
    text: String,
    marked: String,
}

impl QuotedMerge {
    /// `None` for a text without a `<<` in quotes.
    fn hide(text: &str) -> Option<Self> {
        let quoted = ["\"<<\"", "'<<'"];
        if !quoted.iter().any(|key| text.contains(key)) {
            return None;
        }
        let mark = ('\u{e000}'..='\u{f8ff}').find(|mark| !text.contains(*mark))?;
        let marked = format!("<{mark}<");
        let hidden = quoted.iter().fold(text.to_owned(), |text, key| text.replace(key, &key.replace("<<", &marked)));
        Some(Self { text: hidden, marked })
    }

    /// The text without marks.
    fn shown(&self, text: &str) -> String {
        text.replace(&self.marked, "<<")
    }

    /// Removes the marks, wherever they are.
    fn show(&self, tree: &mut Value) {
        match tree {
            Value::String(text) => *text = self.shown(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.show(value)),
            Value::Object(map) => {
                let members = std::mem::take(map).into_iter().map(|(name, mut value)| {
                    self.show(&mut value);
                    (self.shown(&name), value)
                });
                *map = members.collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

pub(super) fn read(text: &str, left: &Cell<usize>) -> Result<Value, String> {
    Node { budget: left }.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| error.to_string())
}

/// The YAML scanner visits every open bracket for each token, so that a megabyte of them would take minutes before its
/// own depth limit (128) is reached. Brackets inside strings count too; no component has so many.
fn opens_too_much(text: &str) -> bool {
    let (mut depth, mut total) = (0_usize, 0_usize);
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                total += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH || total > MAX_BRACKETS
    })
}

/// Parses one JSON document.
pub(super) fn from_json(text: &str) -> Result<Value, String> {
    // With arbitrary precision, serde_json passes numbers as maps to other visitors; so one pass looks for duplicate keys
    // and a second pass reads the values.
    serde_json::from_str::<UniqueKeys>(text)
        .and_then(|UniqueKeys| serde_json::from_str(text))
        .map_err(|error| error.to_string())
}

/// Adds to each number that follows the word `line`.
fn shift_lines(message: &str, lines: usize) -> String {
    let mut after_line = false;
    let mut words = Vec::new();
    for word in message.split(' ') {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        match number.parse::<usize>() {
            Ok(line) if after_line => {
                let tail = word.get(number.len()..).unwrap_or_default();
                words.push(format!("{}{tail}", line.saturating_add(lines)));
            }
            Ok(_) | Err(_) => words.push(word.to_owned()),
        }
        after_line = word == "line";
    }
    words.join(" ")
}

/// Applies YAML's merge keys (`<<: *base`): a key of the mapping itself wins, then the key of the first base.
fn merge(tree: &mut Value) -> Result<(), String> {
    match tree {
        Value::Object(map) => {
            if let Some(bases) = map.remove("<<") {
                let bases = if let Value::Array(list) = bases { list } else { vec![bases] };
                for base in bases {
                    let Value::Object(mut base) = base else {
                        return Err("a merge key `<<` takes a mapping or a list of mappings".to_owned());
                    };
                    merge_object(&mut base)?;
                    for (key, value) in base {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().try_for_each(merge)
        }
        Value::Array(list) => list.iter_mut().try_for_each(merge),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn merge_object(map: &mut Map<String, Value>) -> Result<(), String> {
    let mut value = Value::Object(std::mem::take(map));
    merge(&mut value)?;
    if let Value::Object(merged) = value {
        *map = merged;
    }
    Ok(())
}

/// Reads any value within a budget.
#[derive(Clone, Copy)]
pub(super) struct Node<'b> {
    pub(super) budget: &'b Cell<usize>,
}

impl Node<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.budget.get().checked_sub(bytes.saturating_add(NODE_BYTES));
        self.budget.set(left.ok_or_else(|| E::custom("aliases make the documents too large"))?);
        Ok(())
    }

    fn number<E: Error>(self, text: &str) -> Result<Value, E> {
        self.spend(text.len())?;
        text.parse::<Number>().map(Value::Number).map_err(|_| E::custom("a number must be finite"))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.number(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.number(&value.to_string())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.number(&value.to_string())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.number(&value.to_string())
    }

    // Rust prints `5` for 5.0, as Go does.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.number(&value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len()).map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let key = key_text(key)?;
            let value = entries.next_value_seed(self)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(twice(&key)));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

pub(super) fn key_text<E: Error>(key: Value) -> Result<String, E> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(E::custom("a key must be a plain text")),
    }
}

fn twice(key: &str) -> String {
    let shown: String = key.chars().take(64).collect();
    format!("the key `{shown}` is written twice in one mapping")
}

/// Accepts any JSON in which no object names a key twice.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) {
                entries.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(twice(&key)));
            }
            entries.next_value::<Self>()?;
            seen.insert(key);
        }
        Ok(self)
    }
}

#[cfg(test)]
#[path = "tests/tree.rs"]
mod tests;

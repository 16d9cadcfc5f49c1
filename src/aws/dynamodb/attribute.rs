//! JSON in, item out, with the place of whatever cannot be an attribute.
//!
//! The text is read level by level as raw slices, so that a number keeps its digits and no key of the caller can be
//! taken for a mark of the JSON library.

use super::number::{NumberProblem, number_text, stored_size};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// The most that an item may take, names and values together, in bytes (AWS, "Service quotas": 400 KB).
pub const LARGEST_ITEM: usize = 400 * 1024;
/// How many maps and lists may stand around a value (AWS: 32 levels, of which the attribute itself is the first).
const DEEPEST: usize = 31;
/// The most of a key that is shown in a path, in characters.
const SHOWN_KEY: usize = 40;

/// An item, ready to be put.
pub type Item = HashMap<String, AttributeValue>;

/// A JSON text that cannot become an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`data` cannot be stored: at {path}: {problem}")]
pub struct ItemFault {
    /// Where in the data, such as `$.lines[3].price`.
    pub path: String,
    /// What is wrong there.
    pub problem: ItemProblem,
}

impl ItemFault {
    /// What the fault means for an answer: `TooLarge` for an item over the limit, else `Caller`.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self.problem {
            ItemProblem::TooLarge => FailureKind::TooLarge,
            ItemProblem::NotJson { .. }
            | ItemProblem::NotAnObject
            | ItemProblem::NotUnicode
            | ItemProblem::EmptyName
            | ItemProblem::TooDeep
            | ItemProblem::Number(_) => FailureKind::Caller,
        }
    }
}

impl From<ItemFault> for BindingError {
    fn from(fault: ItemFault) -> Self {
        Self::new(fault.kind(), fault.to_string())
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemProblem {
    /// The text is not JSON.
    #[error("the text is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the beginning of a line.
        column: usize,
    },
    /// The whole is not an object.
    #[error("an item must be a JSON object")]
    NotAnObject,
    /// A string holds an escape that is no character, such as a lone surrogate.
    #[error("a string holds an escape that is not a Unicode character")]
    NotUnicode,
    /// A key is the empty string.
    #[error("an attribute name must not be empty")]
    EmptyName,
    /// Too many maps and lists around a value.
    #[error("values may be nested up to 32 levels")]
    TooDeep,
    /// The item is over 400 KiB.
    #[error("the item is larger than 400 KB, names and values together")]
    TooLarge,
    /// A number cannot be held.
    #[error("{0}")]
    Number(#[from] NumberProblem),
}

/// Turns the exact text of a JSON object into an item: string → S, number → N with the same digits, true and false →
/// BOOL, null → NULL, array → L, object → M. Of equal keys the last one wins, as in Dapr.
///
/// # Errors
/// With the place of a value that cannot be an attribute.
pub fn item_from_json(text: &[u8]) -> Result<Item, ItemFault> {
    let mut reader = Reader::default();
    let whole: &RawValue = serde_json::from_slice(text)
        .map_err(|error| reader.fault(ItemProblem::NotJson { line: error.line(), column: error.column() }))?;
    if !whole.get().starts_with('{') {
        return Err(reader.fault(ItemProblem::NotAnObject));
    }
    reader.members(whole.get(), 0)
}

#[derive(Default)]
struct Reader {
    path: Vec<Step>,
    size: usize,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Reader {
    /// The members of an object. `depth` is that of its values.
    fn members(&mut self, text: &str, depth: usize) -> Result<Item, ItemFault> {
        let members: BTreeMap<String, &RawValue> = self.decode(text)?;
        let mut item = Item::with_capacity(members.len());
        for (name, value) in members {
            self.path.push(Step::Key(name.clone()));
            if name.is_empty() {
                return Err(self.fault(ItemProblem::EmptyName));
            }
            self.count(name.len() + usize::from(depth > 0))?;
            let value = self.value(value.get(), depth)?;
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
        if depth > DEEPEST {
            return Err(self.fault(ItemProblem::TooDeep));
        }
        match text.as_bytes().first() {
            Some(b'{') => {
                self.count(3)?;
                Ok(AttributeValue::M(self.members(text, depth + 1)?))
            }
            Some(b'[') => {
                self.count(3)?;
                Ok(AttributeValue::L(self.elements(text, depth + 1)?))
            }
            Some(b'"') => {
                let string: String = self.decode(text)?;
                self.count(string.len())?;
                Ok(AttributeValue::S(string))
            }
            Some(b't' | b'f') => {
                self.count(1)?;
                Ok(AttributeValue::Bool(text == "true"))
            }
            Some(b'n') => {
                self.count(1)?;
                Ok(AttributeValue::Null(true))
            }
            Some(_) | None => {
                let number = number_text(text).map_err(|problem| self.fault(problem.into()))?;
                self.count(stored_size(&number))?;
                Ok(AttributeValue::N(number))
            }
        }
    }

    /// Decodes one level. The grammar was checked with the whole, so only a bad escape can be found here.
    fn decode<'t, T: serde::Deserialize<'t>>(&self, text: &'t str) -> Result<T, ItemFault> {
        serde_json::from_str(text).map_err(|_| self.fault(ItemProblem::NotUnicode))
    }

    /// Adds to the size at once, so that a body that unfolds into far more memory is stopped early.
    fn count(&mut self, bytes: usize) -> Result<(), ItemFault> {
        self.size += bytes;
        if self.size > LARGEST_ITEM {
            self.path.clear();
            return Err(self.fault(ItemProblem::TooLarge));
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
#[path = "attribute_tests.rs"]
mod tests;

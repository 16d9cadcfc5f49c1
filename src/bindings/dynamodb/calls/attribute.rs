//! Items, and what keeps a JSON text from being one.

use super::number::NumberProblem;
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::types::AttributeValue;

/// The most that an item may take, names and values together, in bytes (AWS, "Service quotas": 400 KB).
pub const LARGEST_ITEM: usize = 400 * 1024;

pub use crate::aws::Item;

/// One value, of any type that DynamoDB has.
pub type Value = AttributeValue;

/// A JSON text that cannot become an item or a value.
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
        if self.problem.size().is_some() { FailureKind::TooLarge } else { FailureKind::Caller }
    }
}

impl From<ItemFault> for BindingError {
    fn from(fault: ItemFault) -> Self {
        let error = Self::new(fault.kind(), fault.to_string());
        match fault.problem.size() {
            Some(size) => error.with_detail("size", size.to_string()).with_detail("limit", LARGEST_ITEM.to_string()),
            None => error.with_detail("path", fault.path),
        }
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
    /// An object names the same key twice; most readers would keep the last silently.
    #[error("the same key is given twice in one object; leave one out")]
    Twice,
    /// Too many maps and lists around a value.
    #[error("values may be nested up to 32 levels")]
    TooDeep,
    /// The item is over 400 KiB. Counting stops there, so the size is the least that it has.
    #[error("the item is larger than 400 KB ({LARGEST_ITEM} bytes), names and values together: at least {size} bytes")]
    TooLarge {
        /// Bytes counted until it was found.
        size: usize,
    },
    /// A number cannot be held.
    #[error("{0}")]
    Number(#[from] NumberProblem),
    /// The value is not of the type that `attributeTypes` or the tag of DynamoDB's JSON states.
    #[error("expected {0}")]
    Expected(&'static str),
    /// DynamoDB has no empty sets.
    #[error("a set must not be empty; leave the attribute out")]
    EmptySet,
    /// A set holds the same element twice.
    #[error("element {index} of the set is there twice; leave one out")]
    DoubleInSet {
        /// The place of the second one, counted from 0.
        index: usize,
    },
    /// A binary value is not base64.
    #[error("a binary value must be valid base64, with padding")]
    NotBase64,
    /// DynamoDB's JSON wraps each value in an object with one tag.
    #[error(
        "expected an object with one of the tags S, N, B, SS, NS, BS, M, L, BOOL or NULL, as `itemFormat` is `dynamodb-json`"
    )]
    NotTagged,
}

impl ItemProblem {
    /// The bytes of an item over the limit; `None` for all that is wrong with single values.
    const fn size(self) -> Option<usize> {
        match self {
            Self::TooLarge { size } => Some(size),
            Self::NotJson { .. }
            | Self::NotAnObject
            | Self::NotUnicode
            | Self::EmptyName
            | Self::Twice
            | Self::TooDeep
            | Self::Number(_)
            | Self::Expected(_)
            | Self::EmptySet
            | Self::DoubleInSet { .. }
            | Self::NotBase64
            | Self::NotTagged => None,
        }
    }
}

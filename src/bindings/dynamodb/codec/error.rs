//! Why a JSON text cannot be stored as an item.

use super::number::NumberProblem;
use crate::domain::{BindingError, FailureKind};

/// The size of an item, names and values together, in bytes (AWS, "Service quotas": 400 KB).
pub(super) const MAX_ITEM_SIZE: usize = 400 * 1024;

/// A JSON text that cannot become an item or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`data` cannot be stored: at {path}: {problem}")]
pub struct ItemFault {
    /// Where in the data, such as `$.lines[3].price`.
    pub path: String,
    pub problem: ItemProblem,
}

impl ItemFault {
    /// `TooLarge` for an item over the limit, else `Caller`.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        if self.problem.size().is_some() { FailureKind::TooLarge } else { FailureKind::Caller }
    }
}

impl From<ItemFault> for BindingError {
    fn from(fault: ItemFault) -> Self {
        let error = Self::new(fault.kind(), fault.to_string());
        match fault.problem.size() {
            Some(size) => error.with_detail("size", size.to_string()).with_detail("limit", MAX_ITEM_SIZE.to_string()),
            None => error.with_detail("path", fault.path),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemProblem {
    #[error("the text is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the beginning of a line.
        column: usize,
    },
    #[error("an item must be a JSON object")]
    NotAnObject,
    #[error("a string holds an escape that is not a Unicode character")]
    NotUnicode,
    #[error("an attribute name must not be empty")]
    EmptyName,
    /// An object has the same key twice; most parsers would silently keep the last.
    #[error("the same key is given twice in one object; leave one out")]
    DuplicateKey,
    #[error("values may be nested up to 32 levels")]
    TooDeep,
    /// The item is over 400 KiB. Counting stops there, so the real size may be larger.
    #[error("the item is larger than 400 KB ({MAX_ITEM_SIZE} bytes), names and values together: at least {size} bytes")]
    TooLarge {
        /// Bytes counted until it was found.
        size: usize,
    },
    #[error("{0}")]
    Number(#[from] NumberProblem),
    /// The value is not of the type that `attributeTypes` or the tag of DynamoDB's JSON states.
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("a set must not be empty; leave the attribute out")]
    EmptySet,
    #[error("element {index} of the set is a duplicate; leave it out")]
    DuplicateInSet {
        /// The index of the second one, from 0.
        index: usize,
    },
    #[error("a binary value must be valid base64, with padding")]
    NotBase64,
    /// DynamoDB's JSON wraps each value in an object with one tag.
    #[error(
        "expected an object with one of the tags S, N, B, SS, NS, BS, M, L, BOOL or NULL, as `itemFormat` is `dynamodb-json`"
    )]
    NotTagged,
}

impl ItemProblem {
    /// The bytes counted of an item over the limit; `None` for faults of single values.
    const fn size(self) -> Option<usize> {
        if let Self::TooLarge { size } = self { Some(size) } else { None }
    }
}

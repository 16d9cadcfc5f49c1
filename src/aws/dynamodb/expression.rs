//! What a write asks of DynamoDB, in its own terms: items, keys, expressions and their placeholders.

use super::{Item, Value};
use std::collections::HashMap;

/// What stands behind the placeholders of the expressions of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placeholders {
    /// Attribute names by placeholder, which begins with `#`.
    pub names: HashMap<String, String>,
    /// Values by placeholder, which begins with `:`.
    pub values: Item,
}

impl Placeholders {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.values.is_empty()
    }

    /// Adds those of another expression of the same call.
    pub fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.values.extend(other.values);
    }

    /// Adds an attribute's name.
    #[must_use]
    pub fn name(mut self, placeholder: impl Into<String>, name: impl Into<String>) -> Self {
        self.names.insert(placeholder.into(), name.into());
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn value(mut self, placeholder: impl Into<String>, value: Value) -> Self {
        self.values.insert(placeholder.into(), value);
        self
    }

    /// The names as the SDK takes them: none is `None`, for DynamoDB refuses an empty map.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    /// As [`Placeholders::names`].
    pub(super) fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

/// A condition on the item as it is before a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The expression.
    pub text: String,
    /// What its placeholders stand for.
    pub placeholders: Placeholders,
}

impl Condition {
    /// Both must hold. The placeholders must not be the same.
    #[must_use]
    pub fn and(mut self, other: Option<Self>) -> Self {
        if let Some(other) = other {
            self.text = format!("({}) AND ({})", self.text, other.text);
            self.placeholders.extend(other.placeholders);
        }
        self
    }
}

/// A whole item to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// The item, key included.
    pub item: Item,
    /// When it may be stored.
    pub condition: Option<Condition>,
}

/// A change of some attributes of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The key.
    pub key: Item,
    /// The update expression.
    pub change: String,
    /// The condition's expression.
    pub condition: Option<String>,
    /// What the placeholders of both stand for.
    pub placeholders: Placeholders,
}

/// The removal of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The key.
    pub key: Item,
    /// When it may be removed.
    pub condition: Option<Condition>,
}

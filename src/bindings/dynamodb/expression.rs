//! Expressions of DynamoDB and what their placeholders stand for.

use crate::aws::Item;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// What the placeholders of the expressions of one call stand for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Placeholders {
    /// Attribute names by placeholder, which begins with `#`.
    pub(super) names: HashMap<String, String>,
    /// Values by placeholder, which begins with `:`.
    pub(super) values: Item,
}

impl Placeholders {
    /// Adds those of another expression of the same call.
    pub(super) fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.values.extend(other.values);
    }

    pub(super) fn with_name(mut self, placeholder: &str, name: &str) -> Self {
        self.names.insert(placeholder.to_owned(), name.to_owned());
        self
    }

    pub(super) fn with_value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }

    /// As the SDK takes them: `None` instead of an empty map, which DynamoDB refuses.
    pub(super) fn into_parts(self) -> (Option<HashMap<String, String>>, Option<Item>) {
        let Self { names, values } = self;
        (Some(names).filter(|names| !names.is_empty()), Some(values).filter(|values| !values.is_empty()))
    }
}

/// A condition on the item as it is before a write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) placeholders: Placeholders,
}

impl Condition {
    /// Both must hold. They must not share placeholders.
    pub(super) fn and(self, other: Option<Self>) -> Self {
        match other {
            Some(other) => self.join("AND", other),
            None => self,
        }
    }

    /// At least one must hold. They must not share placeholders.
    pub(super) fn or(self, other: Self) -> Self {
        self.join("OR", other)
    }

    fn join(mut self, operator: &str, other: Self) -> Self {
        self.text = format!("({}) {operator} ({})", self.text, other.text);
        self.placeholders.extend(other.placeholders);
        self
    }
}

/// Sets an optional condition on an SDK builder: the builders share method names, but no trait.
macro_rules! with_condition {
    ($builder:expr, $condition:expr) => {{
        let (text, placeholders) = match $condition {
            Some(condition) => (Some(condition.text), condition.placeholders),
            None => Default::default(),
        };
        let (names, values) = placeholders.into_parts();
        $builder
            .set_condition_expression(text)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
    }};
}
pub(super) use with_condition;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_joined_within_brackets() {
        let condition = |text: &str| Condition { text: text.to_owned(), placeholders: Placeholders::default() };
        assert_eq!(condition("a OR b").and(Some(condition("c"))).text, "(a OR b) AND (c)");
        assert_eq!(condition("a").or(condition("b AND c")).text, "(a) OR (b AND c)");
    }
}

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

    /// One of both must hold. The placeholders must not be the same.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.text = format!("({}) OR ({})", self.text, other.text);
        self.placeholders.extend(other.placeholders);
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
    /// What a second time would do.
    pub effect: Effect,
}

/// What a change does when it is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The same as once.
    Fixed,
    /// It may count or append again.
    Growing,
}

impl Update {
    /// Sets one more attribute, in the expression's own `SET` clause where it has one. `name` and `value` are
    /// placeholders that the update does not have yet.
    pub fn set(&mut self, (name, attribute): (&str, &str), (value, stored): (&str, Value)) {
        let assignment = format!("{name} = {value}");
        match after_set(&self.change) {
            Some(at) => self.change.insert_str(at, &format!(" {assignment},")),
            None => self.change.push_str(&format!(" SET {assignment}")),
        }
        self.placeholders.names.insert(name.to_owned(), attribute.to_owned());
        self.placeholders.values.insert(value.to_owned(), stored);
    }

    /// Whether the expression writes to this attribute, or to something within it.
    #[must_use]
    pub fn writes_to(&self, attribute: &str) -> bool {
        let names = &self.placeholders.names;
        targets(&self.change).into_iter().any(|name| names.get(name).map_or(name, String::as_str) == attribute)
    }

    /// Adds a condition that must hold too. Its placeholders must be others.
    pub fn require(&mut self, condition: Condition) {
        self.condition = Some(match self.condition.take() {
            Some(text) => format!("({text}) AND ({})", condition.text),
            None => condition.text,
        });
        self.placeholders.extend(condition.placeholders);
    }
}

/// The words that begin the clauses of an update. They are reserved in expressions, so none is an attribute's name there.
const CLAUSES: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

/// The place after the keyword `SET`; one that follows `#`, `:` or a dot is part of another word.
fn after_set(change: &str) -> Option<usize> {
    let set = tokens(change).into_iter().find(|(_, token)| token.eq_ignore_ascii_case("SET"))?;
    Some(set.0 + set.1.len())
}

/// The attributes that an update writes to, at any depth: names or placeholders of the first step of each path.
fn targets(change: &str) -> Vec<&str> {
    let (mut depth, mut is_target, mut targets) = (0_usize, false, Vec::new());
    for (_, token) in tokens(change) {
        match token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 0 => is_target = true,
            word if CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause)) => is_target = true,
            path if is_target => {
                targets.extend(path.split('.').next());
                is_target = false;
            }
            _ => {}
        }
    }
    targets
}

/// The words of an expression and the marks between them, each with its place.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '#' | ':' | '.' | '-');
    let (mut tokens, mut start) = (Vec::new(), None);
    for (at, c) in text.char_indices() {
        if is_part(c) {
            start.get_or_insert(at);
            continue;
        }
        tokens.extend(start.take().map(|begun: usize| (begun, &text[begun..at])));
        if !c.is_whitespace() {
            tokens.push((at, &text[at..at + c.len_utf8()]));
        }
    }
    tokens.extend(start.map(|begun| (begun, &text[begun..])));
    tokens
}

/// The removal of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The key.
    pub key: Item,
    /// When it may be removed.
    pub condition: Option<Condition>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(change: &str) -> Update {
        let (change, placeholders) = (change.to_owned(), Placeholders::default());
        Update { key: Item::new(), change, condition: None, placeholders, effect: Effect::Fixed }
    }

    #[test]
    fn an_attribute_joins_the_set_clause_or_brings_one() {
        for (before, after) in [
            ("SET a = :a", "SET #v = :v, a = :a"),
            ("REMOVE b set a = if_not_exists(a, :x), c = :c", "REMOVE b set #v = :v, a = if_not_exists(a, :x), c = :c"),
            ("REMOVE #set ADD m.set :set", "REMOVE #set ADD m.set :set SET #v = :v"),
            ("ADD n :one", "ADD n :one SET #v = :v"),
        ] {
            let mut update = update(before);
            update.set(("#v", "version"), (":v", Value::S("1".to_owned())));
            assert_eq!(update.change, after);
            assert_eq!(update.placeholders.names["#v"], "version");
            assert_eq!(update.placeholders.values[":v"], Value::S("1".to_owned()));
        }
    }

    #[test]
    fn what_an_update_writes_to_is_known() {
        for (change, written) in [
            ("SET a = :a, #v.n[3] = if_not_exists(b, :x) + c, d = list_append(:x, e)", &["a", "#v", "d"][..]),
            ("remove a[0], b.c  ADD #n :one, set1 :s delete s :t", &["a", "b", "#n", "set1", "s"]),
            ("SET a=b-:x,c=:c", &["a", "c"]),
            ("SET", &[]),
            ("", &[]),
        ] {
            assert_eq!(targets(change), written, "{change}");
        }
        let mut update = update("SET #v = w REMOVE x.y");
        update.placeholders.names.insert("#v".to_owned(), "v.1".to_owned());
        for (attribute, is_written) in [("v.1", true), ("x", true), ("w", false), ("#v", false), ("y", false)] {
            assert_eq!(update.writes_to(attribute), is_written, "{attribute}");
        }
    }

    #[test]
    fn conditions_are_joined_within_brackets() {
        let condition = |text: &str| Condition { text: text.to_owned(), placeholders: Placeholders::default() };
        assert_eq!(condition("a OR b").and(Some(condition("c"))).text, "(a OR b) AND (c)");
        let mut update = update("SET a = :a");
        update.require(condition("x"));
        update.require(condition("y OR z"));
        assert_eq!(update.condition.as_deref(), Some("(x) AND (y OR z)"));
    }
}

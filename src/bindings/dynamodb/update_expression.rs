//! Updates: parsed from `data`, and the update expression that results. Pure.

use super::super::strict_json::shown;
use super::codec::ItemCodec;
use super::expression::{Condition, Placeholders};
use super::failure::invalid_request;
use super::request_data::{RESERVED_NAME_PREFIX, RESERVED_VALUE_PREFIX, RawPlaceholders, parse, parse_key};
use crate::aws::Item;
use crate::domain::BindingError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

const FORM: &str = r#"{"key":{…},"set"?:{…},"remove"?:["…"],"add"?:{…},"delete"?:{…},"condition"?:"…","names"?:{…},"values"?:{…}} or {"key":{…},"updateExpression":"…","names"?:{…},"values"?:{…},"condition"?:"…"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateData<'t> {
    #[serde(borrow)]
    key: &'t RawValue,
    #[serde(borrow)]
    set: Option<&'t RawValue>,
    remove: Option<Vec<String>>,
    #[serde(borrow)]
    add: Option<&'t RawValue>,
    #[serde(borrow)]
    delete: Option<&'t RawValue>,
    update_expression: Option<String>,
    condition: Option<String>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
    #[serde(borrow)]
    values: Option<&'t RawValue>,
}

/// A change of some attributes of one item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) key: Item,
    /// The update expression.
    pub(super) expression: String,
    /// The condition expression.
    pub(super) condition: Option<String>,
    /// What the placeholders of both stand for.
    pub(super) placeholders: Placeholders,
    pub(super) repetition: Repetition,
}

/// What happens if an update is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repetition {
    /// The same as once.
    Harmless,
    /// It may count or append again.
    Cumulative,
}

/// Parses an update. `set`, `remove`, `add` and `delete` have names of top-level attributes, which reach DynamoDB as
/// placeholders only, whatever characters they have; paths into maps need `updateExpression`.
///
/// # Errors
/// When the text has another form, changes nothing, changes an attribute twice or changes the key.
pub(super) fn parse_update(codec: &ItemCodec, text: &[u8]) -> Result<Update, BindingError> {
    let data: UpdateData<'_> = parse(text, FORM)?;
    let key = parse_key(codec, data.key)?;
    let mut placeholders = RawPlaceholders { names: data.names, values: data.values }.parse(codec)?;
    let clauses = Clauses::parse(codec, &data)?;
    let (expression, repetition) = match data.update_expression.filter(|text| !text.trim().is_empty()) {
        // What a caller's expression does is not known.
        Some(text) if clauses.is_empty() => (text, Repetition::Cumulative),
        Some(_) => {
            return Err(invalid_request("give either `updateExpression` or `set`, `remove`, `add` and `delete`"));
        }
        None if clauses.is_empty() => return Err(invalid_request(format!("the update changes nothing: send {FORM}"))),
        None => {
            clauses.check(&key)?;
            let repetition = clauses.repetition();
            (clauses.into_expression(&mut placeholders), repetition)
        }
    };
    let condition = data.condition.filter(|text| !text.trim().is_empty());
    Ok(Update { key, expression, condition, placeholders, repetition })
}

impl Update {
    /// Sets one more attribute, in the expression's `SET` clause if it has one. `name` and `value` are placeholders
    /// that the update does not have yet.
    pub(super) fn set(&mut self, (name, attribute): (&str, &str), (value, stored): (&str, AttributeValue)) {
        let assignment = format!("{name} = {value}");
        match after_set(&self.expression) {
            Some(at) => self.expression.insert_str(at, &format!(" {assignment},")),
            None => self.expression.push_str(&format!(" SET {assignment}")),
        }
        self.placeholders.names.insert(name.to_owned(), attribute.to_owned());
        self.placeholders.values.insert(value.to_owned(), stored);
    }

    /// Whether the expression writes to this attribute, or to something within it.
    pub(super) fn writes_to(&self, attribute: &str) -> bool {
        let names = &self.placeholders.names;
        targets(&self.expression).into_iter().any(|name| names.get(name).map_or(name, String::as_str) == attribute)
    }

    /// Adds a condition that must hold too. It must not share placeholders with the update.
    pub(super) fn require(&mut self, condition: Condition) {
        self.condition = Some(match self.condition.take() {
            Some(text) => format!("({text}) AND ({})", condition.text),
            None => condition.text,
        });
        self.placeholders.extend(condition.placeholders);
    }
}

/// The keywords that begin clauses. They are reserved in expressions, so none is an attribute's name there.
const CLAUSES: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

/// The offset after the keyword `SET`, which after `#`, `:` or a dot is part of another token.
fn after_set(expression: &str) -> Option<usize> {
    let set = tokens(expression).into_iter().find(|(_, token)| token.eq_ignore_ascii_case("SET"))?;
    Some(set.0 + set.1.len())
}

/// The attributes that an update writes to, at any depth: names or placeholders of the first step of each path.
fn targets(expression: &str) -> Vec<&str> {
    let (mut depth, mut is_target, mut targets) = (0_usize, false, Vec::new());
    for (_, token) in tokens(expression) {
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

/// The words and punctuation of an expression, each with its offset.
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

/// Changes by clause, each in alphabetical order, so that equal requests give equal expressions.
#[derive(Debug, Default)]
struct Clauses {
    set: BTreeMap<String, AttributeValue>,
    remove: Vec<String>,
    add: BTreeMap<String, AttributeValue>,
    delete: BTreeMap<String, AttributeValue>,
}

impl Clauses {
    fn parse(codec: &ItemCodec, data: &UpdateData<'_>) -> Result<Self, BindingError> {
        let set = data.set.map(|text| codec.item_at("set", text)).transpose()?;
        let add = data.add.map(|text| codec.sets_at("add", text)).transpose()?;
        let delete = data.delete.map(|text| codec.sets_at("delete", text)).transpose()?;
        let mut remove = data.remove.clone().unwrap_or_default();
        remove.sort();
        if remove.iter().any(String::is_empty) {
            return Err(invalid_request("`remove` has an empty attribute name"));
        }
        let sorted = |item: Option<Item>| item.unwrap_or_default().into_iter().collect();
        Ok(Self { set: sorted(set), remove, add: sorted(add), delete: sorted(delete) })
    }

    fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// Adding to a number counts; adding an element to a set again changes nothing.
    fn repetition(&self) -> Repetition {
        let counts = self.add.values().any(|value| matches!(value, AttributeValue::N(_)));
        if counts { Repetition::Cumulative } else { Repetition::Harmless }
    }

    fn attributes(&self) -> impl Iterator<Item = &String> {
        self.set.keys().chain(&self.remove).chain(self.add.keys()).chain(self.delete.keys())
    }

    fn check(&self, key: &Item) -> Result<(), BindingError> {
        let mut seen = BTreeSet::new();
        for attribute in self.attributes() {
            let shown = shown(attribute);
            if key.contains_key(attribute) {
                let advice = "a key cannot be changed, create another item instead";
                return Err(invalid_request(format!("`{shown}` is part of the key: {advice}")));
            }
            if !seen.insert(attribute) {
                return Err(invalid_request(format!("`{shown}` is changed twice in one update")));
            }
        }
        Ok(())
    }

    /// Placeholders are numbered in the order of the expression.
    fn into_expression(self, placeholders: &mut Placeholders) -> String {
        let removed = self.remove.into_iter().map(|attribute| (attribute, None)).collect();
        let valued = |changes: BTreeMap<String, AttributeValue>| {
            changes.into_iter().map(|(attribute, value)| (attribute, Some(value))).collect::<Vec<_>>()
        };
        let (set, add, delete) = (valued(self.set), valued(self.add), valued(self.delete));
        let clauses = [("SET", " = ", set), ("REMOVE", "", removed), ("ADD", " ", add), ("DELETE", " ", delete)];
        let (mut number, mut texts) = (0, Vec::new());
        for (keyword, operator, changes) in clauses.into_iter().filter(|(_, _, changes)| !changes.is_empty()) {
            let change = |(attribute, value): (String, Option<AttributeValue>)| {
                number += 1;
                let (name, placeholder) =
                    (format!("{RESERVED_NAME_PREFIX}{number}"), format!("{RESERVED_VALUE_PREFIX}{number}"));
                placeholders.names.insert(name.clone(), attribute);
                match value {
                    Some(value) => {
                        placeholders.values.insert(placeholder.clone(), value);
                        format!("{name}{operator}{placeholder}")
                    }
                    None => name,
                }
            };
            let changes: Vec<String> = changes.into_iter().map(change).collect();
            texts.push(format!("{keyword} {}", changes.join(", ")));
        }
        texts.join(" ")
    }
}

#[cfg(test)]
#[path = "tests/update_expression.rs"]
mod tests;

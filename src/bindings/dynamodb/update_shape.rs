//! The shape of an update, and the expression that comes of it. Pure.

use super::super::strict_json::shown;
use super::calls::{Effect, Item, Placeholders, Spelling, Update, Value};
use super::shapes::{Behind, OWN_NAME, OWN_VALUE, read_key, read_shape, refused};
use crate::domain::BindingError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

const FORM: &str = r#"{"key":{…},"set"?:{…},"remove"?:["…"],"add"?:{…},"delete"?:{…},"condition"?:"…","names"?:{…},"values"?:{…}} or {"key":{…},"updateExpression":"…","names"?:{…},"values"?:{…},"condition"?:"…"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Shape<'t> {
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

/// Reads an update. Attributes of `set`, `remove`, `add` and `delete` are whole names of top-level attributes and reach
/// DynamoDB by placeholders alone, whatever characters they have; paths into maps need `updateExpression`.
///
/// # Errors
/// When the text has another form, changes nothing, changes an attribute twice or changes the key.
pub(super) fn read_update(spelling: &Spelling, text: &[u8]) -> Result<Update, BindingError> {
    let shape: Shape<'_> = read_shape(text, FORM)?;
    let key = read_key(spelling, shape.key)?;
    let mut placeholders = Behind { names: shape.names, values: shape.values }.read(spelling)?;
    let clauses = Clauses::read(spelling, &shape)?;
    // Nobody knows what a caller's own expression does.
    let effect = if clauses.is_empty() { Effect::Growing } else { clauses.effect() };
    let change = match shape.update_expression.filter(|text| !text.trim().is_empty()) {
        Some(text) if clauses.is_empty() => text,
        Some(_) => return Err(refused("give either `updateExpression` or `set`, `remove`, `add` and `delete`")),
        None if clauses.is_empty() => return Err(refused(format!("the update changes nothing: send {FORM}"))),
        None => {
            clauses.check(&key)?;
            let (change, made) = clauses.expression();
            placeholders.extend(made);
            change
        }
    };
    let condition = shape.condition.filter(|text| !text.trim().is_empty());
    Ok(Update { key, change, condition, placeholders, effect })
}

/// Changes by clause, each in alphabetical order, so that equal requests give equal expressions.
#[derive(Debug, Default)]
struct Clauses {
    set: BTreeMap<String, Value>,
    remove: Vec<String>,
    add: BTreeMap<String, Value>,
    delete: BTreeMap<String, Value>,
}

impl Clauses {
    fn read(spelling: &Spelling, shape: &Shape<'_>) -> Result<Self, BindingError> {
        let sorted = |item: Item| item.into_iter().collect::<BTreeMap<_, _>>();
        let set = shape.set.map(|text| spelling.item_at(&["set"], text)).transpose()?;
        let add = shape.add.map(|text| spelling.sets_at(&["add"], text)).transpose()?;
        let delete = shape.delete.map(|text| spelling.sets_at(&["delete"], text)).transpose()?;
        let mut remove = shape.remove.clone().unwrap_or_default();
        remove.sort();
        if remove.iter().any(String::is_empty) {
            return Err(refused("`remove` names an attribute that is empty"));
        }
        Ok(Self {
            set: set.map(sorted).unwrap_or_default(),
            remove,
            add: add.map(sorted).unwrap_or_default(),
            delete: delete.map(sorted).unwrap_or_default(),
        })
    }

    fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// Adding to a number counts; elements of a set are there or not, however often they are added.
    fn effect(&self) -> Effect {
        let counts = self.add.values().any(|value| matches!(value, Value::N(_)));
        if counts { Effect::Growing } else { Effect::Fixed }
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
                return Err(refused(format!("`{shown}` is part of the key: {advice}")));
            }
            if !seen.insert(attribute) {
                return Err(refused(format!("`{shown}` is changed twice in one update")));
            }
        }
        Ok(())
    }

    fn expression(self) -> (String, Placeholders) {
        let mut made = Made::default();
        let set = made.each(self.set, " = ");
        let remove: Vec<String> = self.remove.into_iter().map(|attribute| made.name(attribute)).collect();
        let add = made.each(self.add, " ");
        let delete = made.each(self.delete, " ");
        let clauses = [("SET", set), ("REMOVE", remove), ("ADD", add), ("DELETE", delete)];
        let clauses = clauses.into_iter().filter(|(_, changes)| !changes.is_empty());
        let texts: Vec<String> = clauses.map(|(word, changes)| format!("{word} {}", changes.join(", "))).collect();
        (texts.join(" "), made.placeholders)
    }
}

/// Placeholders, numbered in the order in which they are made.
#[derive(Default)]
struct Made {
    count: usize,
    placeholders: Placeholders,
}

impl Made {
    fn name(&mut self, attribute: String) -> String {
        self.count += 1;
        let placeholder = format!("{OWN_NAME}{}", self.count);
        self.placeholders.names.insert(placeholder.clone(), attribute);
        placeholder
    }

    fn each(&mut self, changes: BTreeMap<String, Value>, between: &str) -> Vec<String> {
        let change = |(attribute, value)| {
            let name = self.name(attribute);
            let placeholder = format!("{OWN_VALUE}{}", self.count);
            self.placeholders.values.insert(placeholder.clone(), value);
            format!("{name}{between}{placeholder}")
        };
        changes.into_iter().map(change).collect()
    }
}

#[cfg(test)]
#[path = "tests/update_shape.rs"]
mod tests;

//! Finds the secrets of a document: in the values of the items of `spec.metadata`, and in all other members, such as
//! annotations and what bindd does not know (a mistyped `value`).

use super::raw_document::item_name;
use super::scalar::scalar;
use super::secret_text::{MASK, is_secret_name, shows_secret};
use serde_json::{Map, Value};

/// Parts of the names of annotations in which tools of Kubernetes keep the whole document, with its secrets.
const WHOLE_DOCUMENTS: [&str; 3] = ["last-applied-configuration", "rio.cattle.io/applied", "kapp.k14s.io/original"];

/// The members of an item that are references, or that have a rule of their own.
const ITEM_MEMBERS: [&str; 4] = ["name", "value", "envRef", "secretKeyRef"];
/// The member of `auth` that names a secret store.
const SECRET_STORE: &str = "secretStore";

/// A member other than the values of the items of `spec.metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretMember {
    /// As RFC 6901 has it.
    pub(super) pointer: String,
    /// For messages, with dots.
    pub(super) path: String,
    /// Whether its name, or that of what it is in, says that its value is secret.
    pub(super) is_named_secret: bool,
}

/// Whether the value of an item is in the document and must not be shown: its name says so, or its form.
pub(super) fn is_secret_item(item: &Value) -> bool {
    item.get("value").is_some_and(|value| is_secret_value(&item_name(item), value))
}

fn is_secret_value(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty() && (is_secret_name(name) || shows_secret(text)),
        Value::Bool(_) | Value::Number(_) => is_secret_name(name),
        Value::Array(_) | Value::Object(_) => is_secret_name(name) || has_secret(value),
    }
}

/// The members that must not be shown.
pub(super) fn secret_members(document: &Value) -> Vec<SecretMember> {
    let is_secret = |member: &SecretMember, value: &Value| match value {
        Value::String(text) => {
            !text.is_empty() && (member.is_named_secret || shows_secret(text) || has_secret_in_json(text))
        }
        Value::Null => false,
        _ => member.is_named_secret,
    };
    members(document, &is_secret)
}

/// The members that have a mask.
pub(super) fn masked_members(document: &Value) -> Vec<SecretMember> {
    members(document, &|_, value| value.as_str() == Some(MASK))
}

type Filter<'f> = dyn Fn(&SecretMember, &Value) -> bool + 'f;

/// The members without members of their own that pass the filter.
fn members(document: &Value, filter: &Filter<'_>) -> Vec<SecretMember> {
    let mut found = Vec::new();
    let root = SecretMember { pointer: String::new(), path: String::new(), is_named_secret: false };
    collect(document, root, filter, &mut found);
    found
}

fn collect(value: &Value, member: SecretMember, filter: &Filter<'_>, found: &mut Vec<SecretMember>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                collect(value, member.child(name), filter, found);
            }
        }
        Value::Array(list) => {
            let is_items = member.pointer == "/spec/metadata";
            for (index, value) in list.iter().enumerate() {
                let member = member.child(&index.to_string());
                match value {
                    Value::Object(item) if is_items => collect_item(item, &member, filter, found),
                    value => collect(value, member, filter, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if filter(&member, value) {
                found.push(member);
            }
        }
    }
}

fn collect_item(item: &Map<String, Value>, member: &SecretMember, filter: &Filter<'_>, found: &mut Vec<SecretMember>) {
    let is_named_secret = is_secret_name(&scalar(item.get("name")).unwrap_or_default());
    for (name, value) in item.iter().filter(|(name, _)| !ITEM_MEMBERS.contains(&name.as_str())) {
        let member = member.child(name);
        let is_named_secret = is_named_secret || member.is_named_secret;
        collect(value, SecretMember { is_named_secret, ..member }, filter, found);
    }
}

impl SecretMember {
    fn child(&self, name: &str) -> Self {
        let pointer = format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"));
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { pointer, path, is_named_secret: self.is_named_secret || is_secret_member(name) }
    }
}

fn is_secret_member(name: &str) -> bool {
    let is_named = name != SECRET_STORE && is_secret_name(name);
    is_named || WHOLE_DOCUMENTS.iter().any(|part| name.contains(part))
}

/// Whether a text is JSON with a secret, such as a document that was kept in an annotation.
fn has_secret_in_json(text: &str) -> bool {
    let is_json = text.trim_start().starts_with(['{', '[']);
    is_json && serde_json::from_str(text).is_ok_and(|value: Value| has_secret(&value))
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => shows_secret(text),
        Value::Array(list) => list.iter().any(has_secret),
        Value::Object(map) => {
            // A reference has the name of a secret, and not the secret.
            let is_secret = |(name, value): (&String, &Value)| match value {
                Value::Object(_) | Value::Array(_) => has_secret(value),
                value => is_secret_value(name, value),
            };
            is_secret_item(value) || map.iter().any(is_secret)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

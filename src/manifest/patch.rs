//! Changes parts of a document, and names the parts in which two differ.

use super::RawDocument;
use super::raw_document::item_name;
use serde_json::{Map, Value};

/// A part of a patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongPatch {
    pub field: String,
    pub problem: String,
    pub remedy: &'static str,
}

impl WrongPatch {
    fn new(field: impl Into<String>, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { field: field.into(), problem: problem.into(), remedy }
    }
}

impl RawDocument {
    /// The document with the items of `spec.metadata` of the patch in place of those of the same name, and its `disabled`
    /// (or `spec.disabled`). An item whose `value` is `null` is left out.
    ///
    /// # Errors
    /// With the first part of the patch that is neither of these.
    pub fn patched(&self, patch: &Self) -> Result<Self, WrongPatch> {
        let mut patched = self.clone();
        let Value::Object(root) = &patch.0 else {
            return Err(WrongPatch::new("patch", "it is not an object", "send an object with `spec` or `disabled`"));
        };
        for (name, value) in root {
            match (name.as_str(), value) {
                ("disabled", value) => patched = patched.with_disabled(flag("disabled", value)?),
                ("spec", Value::Object(spec)) => patched = patched.with_spec(spec)?,
                ("apiVersion" | "kind", _) => {}
                ("metadata", Value::Object(metadata)) if metadata.keys().all(|key| key == "name") => {}
                (name, _) => {
                    let remedy = "send `spec.metadata` and `disabled` only; PUT replaces the whole document";
                    return Err(WrongPatch::new(name, "it cannot be patched", remedy));
                }
            }
        }
        Ok(patched)
    }

    fn with_spec(mut self, spec: &Map<String, Value>) -> Result<Self, WrongPatch> {
        for (name, value) in spec {
            match (name.as_str(), value) {
                ("disabled", value) => self = self.with_disabled(flag("spec.disabled", value)?),
                ("metadata", Value::Array(items)) => self.merge(items)?,
                (name, _) => {
                    let remedy =
                        "send `spec.metadata` as a list of items, and `disabled`; PUT replaces the whole document";
                    return Err(WrongPatch::new(format!("spec.{name}"), "it cannot be patched", remedy));
                }
            }
        }
        Ok(self)
    }

    fn merge(&mut self, patch: &[Value]) -> Result<(), WrongPatch> {
        let Some(spec) = self.object_mut("spec") else { return Ok(()) };
        let items = spec.entry("metadata").or_insert_with(|| Value::Array(Vec::new()));
        if items.is_null() {
            *items = Value::Array(Vec::new());
        }
        let Value::Array(items) = items else { return Ok(()) };
        for item in patch {
            let name = item_name(item);
            if name.is_empty() {
                let remedy = "write items as `{\"name\": …, \"value\": …}`";
                return Err(WrongPatch::new("spec.metadata", "an item has no name", remedy));
            }
            let is_removal = item.get("value").is_some_and(Value::is_null)
                && item.as_object().is_some_and(|item| item.keys().all(|key| key == "name" || key == "value"));
            let at = items.iter().position(|known| item_name(known).eq_ignore_ascii_case(&name));
            match (at, is_removal) {
                (Some(at), true) => drop(items.remove(at)),
                (Some(at), false) => items[at] = item.clone(),
                (None, true) => {}
                (None, false) => items.push(item.clone()),
            }
        }
        Ok(())
    }

    /// The names of the items of `spec.metadata`. No values.
    #[must_use]
    pub fn item_names(&self) -> Vec<String> {
        self.items().iter().map(item_name).collect()
    }

    /// The names of the parts in which the document differs from another: items by their names, other members by their
    /// paths. No values.
    #[must_use]
    pub fn changed_fields(&self, other: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        compare("", &self.0, &other.0, &mut changed);
        let find = |items: &[Value], name: &str| items.iter().find(|item| item_name(item) == name).cloned();
        let names = self.items().iter().chain(other.items()).map(item_name);
        for name in names {
            if find(self.items(), &name) != find(other.items(), &name) && !changed.contains(&name) {
                changed.push(name);
            }
        }
        changed
    }
}

fn flag(field: &str, value: &Value) -> Result<bool, WrongPatch> {
    value.as_bool().ok_or_else(|| WrongPatch::new(field, "this is not a boolean", "write `true` or `false`"))
}

/// Adds the paths of the members that differ, two levels deep, but that of the items.
fn compare(path: &str, one: &Value, other: &Value, changed: &mut Vec<String>) {
    let empty = Map::new();
    let (left, right) = (one.as_object().unwrap_or(&empty), other.as_object().unwrap_or(&empty));
    for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
        let (member, value, same) = (format!("{path}{name}"), left.get(name), right.get(name));
        if value == same || member == "spec.metadata" {
            continue;
        }
        let null = Value::Null;
        if path.is_empty() && (value.is_some_and(Value::is_object) || same.is_some_and(Value::is_object)) {
            compare(&format!("{member}."), value.unwrap_or(&null), same.unwrap_or(&null), changed);
        } else {
            changed.push(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DocumentFormat;

    fn json(text: &str) -> RawDocument {
        RawDocument::parse(text, DocumentFormat::Json).unwrap()
    }

    fn base() -> RawDocument {
        json(
            r#"{"kind":"Component","metadata":{"name":"a"},"spec":{"type":"t","metadata":[
            {"name":"table","value":"rows"},{"name":"region","value":"r"}]}}"#,
        )
    }

    #[test]
    fn items_are_merged_by_name_and_null_removes_one() {
        let patch = json(
            r#"{"disabled":true,"spec":{"metadata":[{"name":"TABLE","envRef":"T"},{"name":"region","value":null},
            {"name":"none","value":null},{"name":"ttl","value":"5"}]}}"#,
        );
        let patched = base().patched(&patch).unwrap();
        let expected = json(
            r#"{"kind":"Component","metadata":{"name":"a"},"spec":{"type":"t","metadata":[
            {"name":"TABLE","envRef":"T"},{"name":"ttl","value":"5"}],"disabled":true}}"#,
        );
        assert_eq!(patched, expected);
        assert!(!patched.patched(&json(r#"{"spec":{"disabled":false}}"#)).unwrap().is_disabled());
        assert_eq!(base().patched(&json("{}")), Ok(base()));
        let bare = json(r#"{"spec":{"type":"t"}}"#).patched(&json(r#"{"spec":{"metadata":[{"name":"a"}]}}"#)).unwrap();
        assert_eq!(bare, json(r#"{"spec":{"type":"t","metadata":[{"name":"a"}]}}"#));
    }

    #[test]
    fn what_cannot_be_patched_is_named() {
        for (patch, field) in [
            (r#"{"scopes":[]}"#, "scopes"),
            (r#"{"spec":{"type":"u"}}"#, "spec.type"),
            (r#"{"spec":{"metadata":{"table":"x"}}}"#, "spec.metadata"),
            (r#"{"spec":{"metadata":[{"value":"x"}]}}"#, "spec.metadata"),
            (r#"{"spec":[]}"#, "spec"),
            (r#"{"disabled":"yes"}"#, "disabled"),
            (r#"{"metadata":{"name":"a","labels":{}}}"#, "metadata"),
        ] {
            assert_eq!(base().patched(&json(patch)).unwrap_err().field, field, "{patch}");
        }
    }

    #[test]
    fn changed_parts_are_named_without_their_values() {
        let other = json(
            r#"{"kind":"Component","metadata":{"name":"a","labels":{"x":"y"}},"scopes":["s"],"spec":{"type":"u",
            "disabled":true,"metadata":[{"name":"table","value":"other"},{"name":"ttl","value":"1"}]}}"#,
        );
        let expected = ["metadata.labels", "spec.type", "spec.disabled", "scopes", "table", "region", "ttl"];
        let mut changed = base().changed_fields(&other);
        changed.sort_by_key(|name| expected.iter().position(|known| known == name));
        assert_eq!(changed, expected);
        assert!(base().changed_fields(&base()).is_empty());
    }
}

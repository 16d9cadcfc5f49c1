//! A component document as it was written, for those who read and change it while the daemon runs.

use super::scalar::scalar;
use super::split::{is_blank, split};
use super::tree;
use super::values::boolean;
use serde_json::{Map, Value};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

/// The syntax of a document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    Yaml,
    Json,
}

/// A document with its references as they stand. Values may be secrets, so `Debug` shows only the name.
#[derive(Clone, PartialEq, Eq)]
pub struct RawDocument(pub(super) Value);

impl fmt::Debug for RawDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawDocument").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl RawDocument {
    /// Parses one document. Its member `status`, which reads have beside the document, is left out.
    ///
    /// # Errors
    /// With what is wrong, as a sentence.
    pub fn parse(text: &str, format: DocumentFormat) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let tree = match format {
            DocumentFormat::Json => tree::from_json(text),
            DocumentFormat::Yaml => one_yaml(text),
        }?;
        let Value::Object(root) = tree else { return Err("the document is not an object".to_owned()) };
        Ok(Self::of(root))
    }

    /// Without the member `status`, so that a document is the same one whether it was read from a file or sent.
    pub(super) fn of(mut root: Map<String, Value>) -> Self {
        root.shift_remove("status");
        Self(Value::Object(root))
    }

    /// `metadata.name`
    #[must_use]
    pub fn name(&self) -> Option<String> {
        scalar(self.0.get("metadata")?.get("name"))
    }

    /// Whether it has a member of this name.
    #[must_use]
    pub fn has(&self, member: &str) -> bool {
        self.0.get(member).is_some()
    }

    /// The same document with this `metadata.name`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let Some(metadata) = self.object_mut("metadata") {
            metadata.insert("name".to_owned(), Value::String(name.to_owned()));
        }
        self
    }

    /// `spec.type` in lower case; empty without one.
    #[must_use]
    pub fn component_type(&self) -> String {
        self.0.get("spec").and_then(|spec| scalar(spec.get("type"))).unwrap_or_default().to_lowercase()
    }

    /// `auth.secretStore`
    #[must_use]
    pub fn secret_store(&self) -> Option<String> {
        scalar(self.0.get("auth")?.get("secretStore"))
    }

    /// `spec.disabled`
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        let text = self.0.get("spec").and_then(|spec| scalar(spec.get("disabled")));
        text.and_then(|text| boolean(&text)).unwrap_or(false)
    }

    /// The same document with this `spec.disabled`, which is left out if it is false.
    #[must_use]
    pub fn with_disabled(mut self, disabled: bool) -> Self {
        if let Some(spec) = self.object_mut("spec") {
            if disabled {
                spec.insert("disabled".to_owned(), Value::Bool(true));
            } else {
                spec.shift_remove("disabled");
            }
        }
        self
    }

    /// A number that changes with the content, and not with the order of members. With random `keys` it reveals nothing
    /// of the values.
    #[must_use]
    pub fn fingerprint(&self, keys: &impl BuildHasher) -> u64 {
        let mut hasher = keys.build_hasher();
        hash(&self.0, &mut hasher);
        hasher.finish()
    }

    /// The member of this name, which is created if it does not exist; `None` if it is no object.
    pub(super) fn object_mut(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        let root = self.0.as_object_mut()?;
        let member = root.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if member.is_null() {
            *member = Value::Object(Map::new());
        }
        member.as_object_mut()
    }

    /// The items of `spec.metadata`.
    pub(super) fn items(&self) -> &[Value] {
        let items = self.0.get("spec").and_then(|spec| spec.get("metadata"));
        items.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The name of an item; empty without one.
pub(super) fn item_name(item: &Value) -> String {
    scalar(item.get("name")).unwrap_or_default()
}

fn one_yaml(text: &str) -> Result<Value, String> {
    let chunks = split(text);
    let mut filled = chunks.iter().filter(|chunk| !is_blank(chunk.text));
    let Some(first) = filled.next() else { return Err("the document is empty".to_owned()) };
    if filled.next().is_some() {
        return Err("there is more than one document; send each on its own".to_owned());
    }
    tree::from_yaml(first.text, first.lines_before, &tree::Budget::new())
}

fn hash(value: &Value, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(flag) => flag.hash(hasher),
        Value::Number(number) => number.to_string().hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(list) => {
            list.len().hash(hasher);
            list.iter().for_each(|value| hash(value, hasher));
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            members.len().hash(hasher);
            for (name, value) in members {
                name.hash(hasher);
                hash(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    const TEXT: &str = r#"{"kind":"Component","metadata":{"name":"a"},"spec":{"type":"Bindings.Cron","metadata":[]}}"#;

    fn json(text: &str) -> RawDocument {
        RawDocument::parse(text, DocumentFormat::Json).unwrap()
    }

    #[test]
    fn yaml_and_json_give_the_same_document_without_its_status() {
        let yaml = "---\n# a comment\nkind: Component\nstatus: {state: running}\nmetadata: {name: a}\nspec:\n  \
                    type: Bindings.Cron\n  metadata: []\n---\n";
        assert_eq!(RawDocument::parse(yaml, DocumentFormat::Yaml), Ok(json(TEXT)));
        assert_eq!(
            (json(TEXT).name().as_deref(), json(TEXT).component_type()),
            (Some("a"), "bindings.cron".to_owned())
        );
        for (text, problem) in
            [("a: 1\n---\nb: 2\n", "more than one"), ("# nothing\n", "empty"), ("- a\n", "not an object")]
        {
            let error = RawDocument::parse(text, DocumentFormat::Yaml).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(RawDocument::parse(r#"{"a":1,"a":2}"#, DocumentFormat::Json).unwrap_err().contains("written twice"));
    }

    #[test]
    fn the_fingerprint_changes_with_the_content_and_not_with_the_order_of_members() {
        let keys = RandomState::new();
        let first = json(TEXT).fingerprint(&keys);
        let turned = r#"{"spec":{"metadata":[],"type":"Bindings.Cron"},"metadata":{"name":"a"},"kind":"Component"}"#;
        assert_eq!(json(turned).fingerprint(&keys), first);
        assert_ne!(json(TEXT).with_disabled(true).fingerprint(&keys), first);
        assert_eq!(json(TEXT).with_disabled(true).with_disabled(false).fingerprint(&keys), first);
        assert_ne!(json(TEXT).fingerprint(&RandomState::new()), first, "another process has other keys");
    }

    #[test]
    fn debug_shows_no_value() {
        let document = json(r#"{"metadata":{"name":"a"},"spec":{"metadata":[{"name":"secretKey","value":"s3cret"}]}}"#);
        assert_eq!(format!("{document:?}"), r#"RawDocument { name: Some("a"), .. }"#);
    }
}

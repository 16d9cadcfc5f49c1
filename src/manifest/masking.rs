//! Hides the secrets of a document from those who read it, and puts them back where a mask was sent back.

use super::RawDocument;
use super::raw_document::item_name;
use serde_json::Value;

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// Parts of the names of secret items.
const SECRET_WORDS: [&str; 10] = [
    "authorization",
    "connectionstring",
    "credential",
    "externalid",
    "key",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "token",
];
/// Items with such a part in their names that are not secret.
const PLAIN_NAMES: [&str; 15] = [
    "credentialsource",
    "credentialsfile",
    "explicithashkey",
    "explicithashkeyexpression",
    "explicithashkeyfrom",
    "explicithashkeypath",
    "key",
    "partitionkey",
    "partitionkeyexpression",
    "partitionkeyfrom",
    "partitionkeyname",
    "partitionkeypath",
    "securitytokenheader",
    "sortkey",
    "sortkeyname",
];

/// An item whose mask stands for no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSecret {
    /// The name of the item.
    pub field: String,
}

impl RawDocument {
    /// The document with [`MASK`] in place of each secret. References stay, since they are none.
    #[must_use]
    pub fn masked(&self) -> Value {
        let mut document = self.clone();
        for item in document.items_mut() {
            if is_secret(item)
                && let Some(value) = item.get_mut("value")
            {
                *value = Value::String(MASK.to_owned());
            }
        }
        document.0
    }

    /// The document with the values of `old` where it has masks, as a client sends back what it has read. A value that
    /// came by a reference comes by it again.
    ///
    /// # Errors
    /// When `old` has no secret of that name.
    pub fn unmasked(mut self, old: Option<&Self>) -> Result<Self, LostSecret> {
        let known = old.map(Self::items).unwrap_or_default();
        for item in self.items_mut() {
            if item.get("value").and_then(Value::as_str) != Some(MASK) {
                continue;
            }
            let name = item_name(item);
            let same = known.iter().find(|old| item_name(old).eq_ignore_ascii_case(&name));
            match same {
                Some(old) if is_secret_name(&name) || is_secret(old) => *item = old.clone(),
                None if is_secret_name(&name) => return Err(LostSecret { field: name }),
                Some(_) | None => {}
            }
        }
        Ok(self)
    }

    /// The names of the items whose secret is in the document itself.
    #[must_use]
    pub fn inline_secrets(&self) -> Vec<String> {
        self.items().iter().filter(|item| is_secret(item)).map(item_name).collect()
    }

    fn items_mut(&mut self) -> &mut [Value] {
        let items = self.0.get_mut("spec").and_then(|spec| spec.get_mut("metadata"));
        items.and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default()
    }
}

/// Whether the value of an item is in the document and must not be shown: its name says so, or it is a URL with a user.
fn is_secret(item: &Value) -> bool {
    let text = match item.get("value") {
        None | Some(Value::Null) => return false,
        Some(Value::String(text)) if text.is_empty() => return false,
        Some(Value::String(text)) => Some(text),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    is_secret_name(&item_name(item)) || text.is_some_and(|text| has_user(text))
}

/// Whether the value of an item of this name must not be shown.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    !PLAIN_NAMES.contains(&lower.as_str()) && SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// Whether a text has a URL with a user, which may have a password.
fn has_user(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = &text[at + separator.len()..];
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DocumentFormat;
    use serde_json::json;

    fn document(items: &Value) -> RawDocument {
        let text = json!({"metadata": {"name": "a"}, "spec": {"type": "x", "metadata": items}}).to_string();
        RawDocument::parse(&text, DocumentFormat::Json).unwrap()
    }

    fn secrets() -> RawDocument {
        document(&json!([
            {"name": "secretKey", "value": "s3cret"},
            {"name": "accessKey", "value": 12},
            {"name": "sessionToken", "secretKeyRef": {"name": "t", "key": "k"}},
            {"name": "url", "value": "https://user:pass@example.com/x"},
            {"name": "ourPassword", "value": "p"},
            {"name": "partitionKeyFrom", "value": "/id"},
            {"name": "endpoint", "value": "https://example.com/a@b"},
        ]))
    }

    #[test]
    fn secrets_are_masked_and_references_and_other_values_are_shown() {
        let masked = secrets().masked();
        let items = masked["spec"]["metadata"].as_array().unwrap();
        let values: Vec<_> = items.iter().map(|item| item["value"].as_str().unwrap_or("-")).collect();
        assert_eq!(values, [MASK, MASK, "-", MASK, MASK, "/id", "https://example.com/a@b"]);
        assert_eq!(items[2]["secretKeyRef"]["key"], "k");
        assert_eq!(secrets().inline_secrets(), ["secretKey", "accessKey", "url", "ourPassword"]);
    }

    #[test]
    fn a_masked_document_that_is_sent_back_keeps_its_secrets() {
        let back = RawDocument(secrets().masked());
        assert_eq!(back.unmasked(Some(&secrets())), Ok(secrets()));
        let by_reference = document(&json!([{"name": "SECRETKEY", "value": MASK}]));
        let old = document(&json!([{"name": "secretKey", "secretKeyRef": {"name": "s", "key": "k"}}]));
        assert_eq!(by_reference.clone().unmasked(Some(&old)), Ok(old));
        let lost = Err(LostSecret { field: "SECRETKEY".to_owned() });
        assert_eq!(by_reference.clone().unmasked(None), lost);
        assert_eq!(by_reference.unmasked(Some(&document(&json!([])))), lost);
        let plain = document(&json!([{"name": "table", "value": MASK}]));
        assert_eq!(plain.clone().unmasked(Some(&secrets())), Ok(plain), "it is no mask of a secret");
    }
}

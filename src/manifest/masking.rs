//! Hides the secrets of a document from those who read it, and puts them back where a mask was sent back.

use super::RawDocument;
use super::raw_document::item_name;
use super::secret_members::{SecretMember, is_secret_item, masked_members, secret_members};
use super::secret_text::{MASK, is_secret_name};
use serde_json::Value;

/// A part of a document whose mask stands for no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSecret {
    /// The name of the item, or the path of another member.
    pub field: String,
}

impl RawDocument {
    /// The document with [`MASK`] in place of each secret. References stay, since they are none.
    #[must_use]
    pub fn masked(&self) -> Value {
        let mut document = self.clone();
        for item in document.items_mut() {
            if is_secret_item(item)
                && let Some(value) = item.get_mut("value")
            {
                *value = Value::String(MASK.to_owned());
            }
        }
        for SecretMember { pointer, .. } in secret_members(&self.0) {
            if let Some(value) = document.0.pointer_mut(&pointer) {
                *value = Value::String(MASK.to_owned());
            }
        }
        document.0
    }

    /// The document with the values of `old` where it has masks, as a client sends back what it has read. A value that
    /// came by a reference comes by it again.
    ///
    /// # Errors
    /// When `old` has no secret there: a mask is no value.
    pub fn unmasked(mut self, old: Option<&Self>) -> Result<Self, LostSecret> {
        let known = old.map(Self::items).unwrap_or_default();
        for item in self.items_mut() {
            if item.get("value").and_then(Value::as_str) != Some(MASK) {
                continue;
            }
            let name = item_name(item);
            let same = known.iter().find(|old| item_name(old).eq_ignore_ascii_case(&name));
            match same {
                Some(old) if is_secret_name(&name) || is_secret_item(old) => *item = old.clone(),
                // It was written so.
                Some(old) if old.get("value") == item.get("value") => {}
                Some(_) | None => return Err(LostSecret { field: name }),
            }
        }
        self.unmask_members(old)?;
        Ok(self)
    }

    /// The names of the items, and the paths of the other members, whose secret is in the document itself.
    #[must_use]
    pub fn inline_secrets(&self) -> Vec<String> {
        let items = self.items().iter().filter(|item| is_secret_item(item)).map(item_name);
        items.chain(secret_members(&self.0).into_iter().map(|member| member.path)).collect()
    }

    /// Only the secret of the same member is put back: a mask that was moved must not move the secret.
    fn unmask_members(&mut self, old: Option<&Self>) -> Result<(), LostSecret> {
        let known = old.map(|old| secret_members(&old.0)).unwrap_or_default();
        for member in masked_members(&self.0) {
            let known_in = old.filter(|_| known.contains(&member));
            let secret = known_in.and_then(|old| old.0.pointer(&member.pointer)).cloned();
            let was_so = old.and_then(|old| old.0.pointer(&member.pointer)).and_then(Value::as_str) == Some(MASK);
            match (secret, self.0.pointer_mut(&member.pointer)) {
                (Some(secret), Some(value)) => *value = secret,
                (None, _) if !was_so => return Err(LostSecret { field: member.path }),
                (Some(_) | None, _) => {}
            }
        }
        Ok(())
    }

    fn items_mut(&mut self) -> &mut [Value] {
        let items = self.0.get_mut("spec").and_then(|spec| spec.get_mut("metadata"));
        items.and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "tests/masking.rs"]
mod tests;

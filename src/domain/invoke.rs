//! Requests to output bindings, and responses.

use super::{BodyMemory, BodyMemoryFull, ReservedMemory};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashMap;

/// The `metadata` of a request; keys are compared with case, as in Dapr.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(HashMap<String, String>);

impl Metadata {
    /// The value of a key; an empty value counts as absent, as in Dapr's components.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All keys with a value, in no particular order; an empty value counts as absent.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// All keys, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Adds the pairs of `other` whose keys are not here yet.
    pub fn extend_missing(&mut self, other: Self) {
        for (key, value) in other.0 {
            self.0.entry(key).or_insert(value);
        }
    }

    /// About how many bytes of memory the pairs take, which may be many times their size in the request.
    #[must_use]
    pub fn memory(&self) -> usize {
        let pair = 2 * size_of::<String>() + size_of::<u64>();
        self.0.iter().map(|(key, value)| pair + key.len() + value.len()).sum()
    }

    /// Whether a key is set to one of Dapr's words for true (`y`, `yes`, `t`, `true`, `on`, `1`, any case).
    #[must_use]
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| {
            ["y", "yes", "t", "true", "on", "1"].iter().any(|word| value.eq_ignore_ascii_case(word))
        })
    }
}

impl FromIterator<(String, String)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// A request to an output binding.
#[derive(Debug, Clone)]
pub struct InvokeRequest {
    /// Compared with case.
    pub operation: String,
    /// The exact text of `data`: a JSON string keeps its quotes, numbers and key order are untouched. Or the whole body,
    /// as `form` says.
    pub data: Bytes,
    pub form: DataForm,
    pub metadata: Metadata,
}

/// `part` of `body`: shares its memory, or is copied where it is less than a quarter of the body. A record may wait longer
/// than its request lives, and a small part must not keep a large body in memory.
#[must_use]
pub fn slice_or_copy(body: &Bytes, part: &[u8]) -> Bytes {
    if part.len().saturating_mul(4) < body.len() { Bytes::copy_from_slice(part) } else { body.slice_ref(part) }
}

/// How the data of a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataForm {
    /// As the JSON text of the field `data`.
    #[default]
    Json,
    /// As the body itself, which may be any bytes.
    Raw,
}

/// The name of the error detail and response metadata that shows whether the dead letter binding stored the request.
pub const DEAD_LETTERED: &str = "deadLettered";

/// The response of a successful request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvokeResponse {
    /// A JSON body; without one the HTTP status is 204.
    pub data: Option<Bytes>,
    /// Each becomes a response header `metadata.<key>`.
    pub metadata: Vec<(Cow<'static, str>, String)>,
    pub completion: Completion,
    /// Set by components that reserve the memory of `data` before they read them; the API reserves that of others.
    pub memory: ReservedMemory,
}

impl InvokeResponse {
    /// The same response, whose data keep their memory reserved until the last slice of them is dropped.
    ///
    /// # Errors
    /// When the component has reserved none, and it does not fit now.
    pub fn hold(mut self, memory: &BodyMemory) -> Result<Self, BodyMemoryFull> {
        let Some(data) = self.data.take() else { return Ok(self) };
        let mut reserved = std::mem::take(&mut self.memory);
        if !reserved.is_reserved() {
            let mut reservation = memory.reservation();
            reservation.grow(data.len())?;
            reserved = reservation.into();
        }
        self.data = Some(reserved.hold(data));
        Ok(self)
    }
}

/// How much of a request with many items was done. The body has the result of each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completion {
    /// All of it.
    #[default]
    Full,
    /// At least one item failed, perhaps all.
    Partial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_part_does_not_keep_the_body_alive() {
        let body = Bytes::from(vec![7; 100]);
        let (small, large) = (slice_or_copy(&body, &body[40..64]), slice_or_copy(&body, &body[40..65]));
        assert!((small.len(), large.len()) == (24, 25) && large.as_ptr() == body[40..].as_ptr());
        assert!(!body.as_ptr_range().contains(&small.as_ptr()));
        drop(large);
        assert!(body.is_unique(), "the copy holds nothing");
    }
}

//! One call of an output binding.

use bytes::Bytes;
use std::collections::HashMap;

/// The string pairs that came with a request; keys are compared exactly, as in Dapr.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(HashMap<String, String>);

impl Metadata {
    /// The value of a key; an empty value counts as absent, as in Dapr's components.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The keys that came, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sets a value; the last one wins.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// About how many bytes of memory the pairs take, which may be many times what they took in the request.
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

/// What a caller asks of an output binding.
#[derive(Debug, Clone)]
pub struct InvokeRequest {
    /// The operation, compared with case.
    pub operation: String,
    /// The exact text of `data`: a JSON string keeps its quotes, numbers and key order are untouched. Or the whole body,
    /// as `form` says.
    pub data: Bytes,
    /// What `data` is.
    pub form: DataForm,
    /// The `metadata` of the request.
    pub metadata: Metadata,
}

/// A record may wait long after its request was answered, so a small part must not keep a large body alive.
const PINNED: usize = 4;

/// `part` of `body`: in the same memory, or copied where it is less than a quarter of the whole.
#[must_use]
pub fn cut_out(body: &Bytes, part: &[u8]) -> Bytes {
    if part.len().saturating_mul(PINNED) < body.len() { Bytes::copy_from_slice(part) } else { body.slice_ref(part) }
}

/// How the data of a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataForm {
    /// As the JSON text of the field `data`.
    #[default]
    Json,
    /// As the body itself: any bytes.
    Raw,
}

/// The fact in failures and the response metadata that says: a dead letter was taken.
pub const DEAD_LETTERED: &str = "deadLettered";

/// What a successful call gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvokeResponse {
    /// A JSON body; without one the answer is 204.
    pub data: Option<Bytes>,
    /// Facts about the call; each becomes a response header `metadata.<key>`.
    pub metadata: Vec<(&'static str, String)>,
    /// Whether all that was asked was done.
    pub extent: Extent,
}

/// How much of a request with many items was done. The body tells of each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// At least one item failed, perhaps all.
    Mixed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_part_does_not_keep_the_body_alive() {
        let body = Bytes::from(vec![7; 100]);
        let (small, large) = (cut_out(&body, &body[40..64]), cut_out(&body, &body[40..65]));
        assert!((small.len(), large.len()) == (24, 25) && large.as_ptr() == body[40..].as_ptr());
        assert!(!body.as_ptr_range().contains(&small.as_ptr()));
        drop(large);
        assert!(body.is_unique(), "the copy holds nothing");
    }
}

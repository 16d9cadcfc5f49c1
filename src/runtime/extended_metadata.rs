//! The values that clients add to the metadata of the sidecar: `PUT /v1.0/metadata/<key>` and `SetMetadata`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Clients could otherwise fill the memory, as no value is ever removed.
const MAX_VALUES: usize = 1_000;
/// Bytes of all keys and values.
const MAX_BYTES: usize = 1 << 20;

/// Keys and values, shown as `extended` in the metadata. Bounded: 1,000 keys, 1 MiB in all.
#[derive(Debug, Default)]
pub struct ExtendedMetadata(Mutex<BTreeMap<String, String>>);

/// The value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the extended metadata is full: it has at most {MAX_VALUES} keys and {MAX_BYTES} bytes; use fewer or shorter ones"
)]
pub struct ExtendedMetadataFull;

impl ExtendedMetadata {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of all keys and values.
    #[must_use]
    pub fn get_all(&self) -> BTreeMap<String, String> {
        self.with(|values| values.clone())
    }

    /// Adds or replaces a value. An empty key is ignored, as in Dapr.
    ///
    /// # Errors
    /// When the limits are reached; nothing is changed then.
    pub fn set(&self, key: &str, value: &str) -> Result<(), ExtendedMetadataFull> {
        if key.is_empty() {
            return Ok(());
        }
        self.with(|values| {
            let others = values.iter().filter(|(known, _)| known.as_str() != key);
            let (count, bytes) =
                others.fold((0, 0), |(count, bytes), (key, value)| (count + 1, bytes + key.len() + value.len()));
            if count >= MAX_VALUES || bytes + key.len() + value.len() > MAX_BYTES {
                return Err(ExtendedMetadataFull);
            }
            values.insert(key.to_owned(), value.to_owned());
            Ok(())
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        // No change leaves the map half done, so one that panicked harms nothing.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_replaced_and_an_empty_key_is_ignored() {
        let extended = ExtendedMetadata::new();
        for (key, value) in [("cliPID", "1"), ("cliPID", "2"), ("", "x")] {
            assert_eq!(extended.set(key, value), Ok(()));
        }
        assert_eq!(extended.get_all(), BTreeMap::from([("cliPID".to_owned(), "2".to_owned())]));
    }

    #[test]
    fn clients_cannot_fill_the_memory() {
        let extended = ExtendedMetadata::new();
        for number in 0..MAX_VALUES {
            assert_eq!(extended.set(&number.to_string(), ""), Ok(()));
        }
        assert_eq!(extended.set("more", ""), Err(ExtendedMetadataFull));
        assert_eq!(extended.set("7", "a known key may change"), Ok(()));
        assert_eq!(extended.set("7", &"x".repeat(MAX_BYTES)), Err(ExtendedMetadataFull));
        assert_eq!(extended.get_all()["7"], "a known key may change");
    }
}

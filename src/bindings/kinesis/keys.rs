//! The partition key and explicit hash key of a record: the request's, else the component's, else a random one. Keys in the
//! data are read before it is decoded or compressed.

use super::pointer::{Pointer, PointerError};
use crate::domain::{BindingError, FailureKind, PartitionKey};
use std::borrow::Cow;

/// The component's partition key, for requests that give none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// No key, whatever the request gives: Kinesis distributes the records (`recordDistribution: auto`).
    None,
    /// A random one for each record, as Dapr does.
    Random,
    /// `partitionKey`
    Constant(PartitionKey),
    /// `partitionKeyFrom`
    Pointer(Pointer),
}

/// The component's explicit hash key, for requests that give none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKeySource {
    None,
    /// `explicitHashKey`
    Constant(u128),
    /// `explicitHashKeyFrom`
    Pointer(Pointer),
}

impl KeySource {
    /// The key of one record. `requested` is the request's own; `data` is the JSON text as it was sent.
    ///
    /// # Errors
    /// `Caller` when the key is not valid, or the data has none at the pointer's place.
    pub(super) fn choose(&self, requested: Option<&str>, data: &[u8]) -> Result<Option<PartitionKey>, BindingError> {
        match (self, requested) {
            (Self::None, _) => Ok(None),
            (_, Some(key)) => partition_key(key, || "`partitionKey`".to_owned()).map(Some),
            (Self::Random, None) => {
                let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
                let mut buffer = uuid::Uuid::encode_buffer();
                partition_key(id.hyphenated().encode_lower(&mut buffer), || "the random key".to_owned()).map(Some)
            }
            (Self::Constant(key), None) => Ok(Some(key.clone())),
            (Self::Pointer(pointer), None) => {
                let key = value_at(pointer, data, "partitionKeyFrom")?;
                partition_key(&key, || format!("`{pointer}` in the data (`partitionKeyFrom`)")).map(Some)
            }
        }
    }
}

impl HashKeySource {
    /// The explicit hash key of one record; arguments and errors as in [`KeySource::choose`].
    pub(super) fn choose(&self, requested: Option<&str>, data: &[u8]) -> Result<Option<u128>, BindingError> {
        let number = |text: &str, place: &str| {
            let text = hash_key(text).ok_or_else(|| {
                invalid(format!("{place}: the explicit hash key must be a decimal number from 0 to 2^128 - 1"))
            });
            text.map(Some)
        };
        match (self, requested) {
            (_, Some(text)) => number(text, "`explicitHashKey`"),
            (Self::None, None) => Ok(None),
            (Self::Constant(key), None) => Ok(Some(*key)),
            (Self::Pointer(pointer), None) => {
                let text = value_at(pointer, data, "explicitHashKeyFrom")?;
                number(&text, &format!("`{pointer}` in the data (`explicitHashKeyFrom`)"))
            }
        }
    }
}

/// A decimal number below 2^128, as `ExplicitHashKey` takes it.
pub(super) fn hash_key(text: &str) -> Option<u128> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn partition_key(key: &str, place: impl Fn() -> String) -> Result<PartitionKey, BindingError> {
    key.parse().map_err(|error| invalid(format!("{}: {error}", place())))
}

fn value_at<'d>(pointer: &Pointer, data: &'d [u8], field: &str) -> Result<Cow<'d, str>, BindingError> {
    pointer.text(data).map_err(|error: PointerError| {
        let advice = "it must be a string, a number or a boolean, or the request must give the key in its metadata";
        invalid(format!("`{pointer}` in the data (`{field}`): {error}; {advice}"))
    })
}

fn invalid(message: String) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        text.parse().unwrap()
    }

    fn key(source: &KeySource, requested: Option<&str>, data: &str) -> Result<String, String> {
        let key = source.choose(requested, data.as_bytes()).map_err(|error| error.message().to_owned())?;
        Ok(key.map(|key| key.as_str().to_owned()).unwrap_or_default())
    }

    #[test]
    fn the_key_of_the_request_wins_over_the_component_and_the_component_over_a_random_one() {
        let data = r#"{"customer": 7, "tags": []}"#;
        let from_data = KeySource::Pointer(pointer("/customer"));
        let constant = KeySource::Constant("all".parse().unwrap());
        for (source, requested, expected) in [
            (&from_data, Some("mine"), "mine"),
            (&from_data, None, "7"),
            (&constant, Some("mine"), "mine"),
            (&constant, None, "all"),
            (&KeySource::Random, Some("mine"), "mine"),
            (&KeySource::None, Some("mine"), ""),
        ] {
            assert_eq!(key(source, requested, data).as_deref(), Ok(expected), "{source:?}");
        }
        let (first, second) = (key(&KeySource::Random, None, data), key(&KeySource::Random, None, data));
        assert!(first != second && first.unwrap().parse::<uuid::Uuid>().is_ok());
    }

    #[test]
    fn an_invalid_key_is_refused_with_its_place() {
        let long = "k".repeat(257);
        for (source, requested, data, part) in [
            (KeySource::Random, Some(long.as_str()), "1", "`partitionKey`: the partition key has 257"),
            (KeySource::Pointer(pointer("/a/b")), None, r#"{"a":{"b":""}}"#, "`/a/b` in the data"),
            (KeySource::Pointer(pointer("/a")), None, r#"{"a":[]}"#, "there is an array at that place"),
            (KeySource::Pointer(pointer("/b")), None, r#"{"a":1}"#, "there is nothing at that place"),
        ] {
            let message = key(&source, requested, data).unwrap_err();
            assert!(message.contains(part) && !message.contains(&long), "{message}");
        }
    }

    #[test]
    fn hash_keys_are_decimal_numbers_below_two_to_the_128() {
        let max = u128::MAX.to_string();
        assert_eq!(HashKeySource::None.choose(Some(&max), b"").unwrap(), Some(u128::MAX));
        assert_eq!(HashKeySource::Constant(5).choose(None, b"").unwrap(), Some(5));
        assert_eq!(HashKeySource::None.choose(None, b"").unwrap(), None);
        let from_data = HashKeySource::Pointer(pointer("/h"));
        let data = format!(r#"{{"h":{max}}}"#);
        assert_eq!(from_data.choose(None, data.as_bytes()).unwrap(), Some(u128::MAX));
        for bad in ["340282366920938463463374607431768211456", "-1", "+1", "1e3", "0x1", "one"] {
            assert_eq!(HashKeySource::None.choose(Some(bad), b"").unwrap_err().kind(), FailureKind::Caller, "{bad}");
        }
    }
}

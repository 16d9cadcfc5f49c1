//! The partition key and explicit hash key of a record: the request's, else the component's, else a random one. Keys in the
//! data are read after the transform, and before the data is decoded or compressed.

use super::super::shaping::Expression;
use super::interpolation::Interpolation;
use super::payload::PayloadForm;
use super::pointer::{Pointer, PointerError};
use crate::domain::{BindingError, FailureKind, Metadata, PartitionKey};
use bytes::Bytes;
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
    /// `partitionKeyExpression`
    Expression(Expression),
    /// `partitionKey` with `${! … }` in it.
    Interpolation(Interpolation),
}

/// The component's explicit hash key, for requests that give none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKeySource {
    None,
    /// `explicitHashKey`
    Constant(u128),
    /// `explicitHashKeyFrom`
    Pointer(Pointer),
    /// `explicitHashKeyExpression`. Null, or no output, is no hash key.
    Expression(Expression),
    /// `explicitHashKey` with `${! … }` in it.
    Interpolation(Interpolation),
}

/// The record that a key is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyInput<'r> {
    /// The JSON text as it was sent, or as the transform made it.
    pub(super) data: &'r Bytes,
    pub(super) metadata: &'r Metadata,
    /// How the data becomes the bytes of the record.
    pub(super) form: PayloadForm,
}

impl KeyInput<'_> {
    fn interpolated(&self, text: &Interpolation) -> Result<String, BindingError> {
        text.text(self.data, self.metadata, || self.form.bytes(self.data.clone()))
    }

    fn computed(&self, program: &Expression, field: &str) -> Result<Option<String>, BindingError> {
        program.key(self.data, self.metadata.pairs()).map_err(|error| error.of_field(field))
    }
}

impl KeySource {
    /// Whether it is in the data of the record.
    pub(super) const fn reads_data(&self) -> bool {
        match self {
            Self::None | Self::Random | Self::Constant(_) => false,
            Self::Pointer(_) | Self::Expression(_) | Self::Interpolation(_) => true,
        }
    }

    /// The key of one record. `requested` is the request's own.
    ///
    /// # Errors
    /// `Caller` when the key is not valid, or the record has none at the place that the component names.
    pub(super) fn choose(
        &self,
        requested: Option<&str>,
        record: &KeyInput<'_>,
    ) -> Result<Option<PartitionKey>, BindingError> {
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
                let key = value_at(pointer, record.data, "partitionKeyFrom")?;
                partition_key(&key, || format!("`{pointer}` in the data (`partitionKeyFrom`)")).map(Some)
            }
            (Self::Expression(program), None) => {
                let key = record.computed(program, "partitionKeyExpression")?.ok_or_else(no_key)?;
                partition_key(&key, || "`partitionKeyExpression`".to_owned()).map(Some)
            }
            (Self::Interpolation(text), None) => {
                partition_key(&record.interpolated(text)?, || "`partitionKey` of the component".to_owned()).map(Some)
            }
        }
    }
}

impl HashKeySource {
    /// Whether it is in the data of the record.
    pub(super) const fn reads_data(&self) -> bool {
        match self {
            Self::None | Self::Constant(_) => false,
            Self::Pointer(_) | Self::Expression(_) | Self::Interpolation(_) => true,
        }
    }

    /// The explicit hash key of one record; arguments and errors as in [`KeySource::choose`].
    pub(super) fn choose(&self, requested: Option<&str>, record: &KeyInput<'_>) -> Result<Option<u128>, BindingError> {
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
                let text = value_at(pointer, record.data, "explicitHashKeyFrom")?;
                number(&text, &format!("`{pointer}` in the data (`explicitHashKeyFrom`)"))
            }
            (Self::Expression(program), None) => {
                let text = record.computed(program, "explicitHashKeyExpression")?;
                text.map_or(Ok(None), |text| number(&text, "`explicitHashKeyExpression`"))
            }
            (Self::Interpolation(text), None) => {
                number(&record.interpolated(text)?, "`explicitHashKey` of the component")
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

fn no_key() -> BindingError {
    let advice = "it must give a string, a number or a boolean, or the request must give the key in its metadata";
    invalid(format!("`partitionKeyExpression` gives null or nothing for the record: {advice}"))
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

    fn chosen(source: &KeySource, requested: Option<&str>, data: &str) -> Result<Option<PartitionKey>, BindingError> {
        let (data, metadata) = (Bytes::copy_from_slice(data.as_bytes()), metadata());
        source.choose(requested, &KeyInput { data: &data, metadata: &metadata, form: PayloadForm::Text })
    }

    fn hashed(source: &HashKeySource, requested: Option<&str>, data: &str) -> Result<Option<u128>, BindingError> {
        let (data, metadata) = (Bytes::copy_from_slice(data.as_bytes()), metadata());
        source.choose(requested, &KeyInput { data: &data, metadata: &metadata, form: PayloadForm::Text })
    }

    fn metadata() -> Metadata {
        [("tenant".to_owned(), "acme".to_owned())].into_iter().collect()
    }

    fn key(source: &KeySource, requested: Option<&str>, data: &str) -> Result<String, String> {
        let key = chosen(source, requested, data).map_err(|error| error.message().to_owned())?;
        Ok(key.map(|key| key.as_str().to_owned()).unwrap_or_default())
    }

    #[test]
    fn the_key_of_the_request_wins_over_the_component_and_the_component_over_a_random_one() {
        let data = r#"{"customer": 7, "tags": []}"#;
        let from_data = KeySource::Pointer(pointer("/customer"));
        let constant = KeySource::Constant("all".parse().unwrap());
        let expression = KeySource::Expression(Expression::compile("\"\\($metadata.tenant)/\\(.customer)\"").unwrap());
        let text = r#"${! meta("tenant") }-${! json("customer") }"#;
        let interpolation = KeySource::Interpolation(Interpolation::parse(text).unwrap());
        for (source, requested, expected) in [
            (&from_data, Some("mine"), "mine"),
            (&from_data, None, "7"),
            (&constant, Some("mine"), "mine"),
            (&constant, None, "all"),
            (&KeySource::Random, Some("mine"), "mine"),
            (&KeySource::None, Some("mine"), ""),
            (&expression, Some("mine"), "mine"),
            (&expression, None, "acme/7"),
            (&interpolation, Some("mine"), "mine"),
            (&interpolation, None, "acme-7"),
        ] {
            assert_eq!(key(source, requested, data).as_deref(), Ok(expected), "{source:?}");
        }
        let (first, second) = (key(&KeySource::Random, None, data), key(&KeySource::Random, None, data));
        assert!(first != second && first.unwrap().parse::<uuid::Uuid>().is_ok());
    }

    #[test]
    fn an_invalid_key_is_refused_with_its_place() {
        let long = "k".repeat(257);
        let expression = |text: &str| KeySource::Expression(Expression::compile(text).unwrap());
        let interpolation = KeySource::Interpolation(Interpolation::parse(r#"${! json("a") }"#).unwrap());
        for (source, requested, data, part) in [
            (KeySource::Random, Some(long.as_str()), "1", "`partitionKey`: the partition key has 257"),
            (KeySource::Pointer(pointer("/a/b")), None, r#"{"a":{"b":""}}"#, "`/a/b` in the data"),
            (KeySource::Pointer(pointer("/a")), None, r#"{"a":[]}"#, "there is an array at that place"),
            (KeySource::Pointer(pointer("/b")), None, r#"{"a":1}"#, "there is nothing at that place"),
            (expression(".b"), None, r#"{"a":1}"#, "`partitionKeyExpression` gives null or nothing"),
            (expression("empty"), None, "1", "`partitionKeyExpression` gives null or nothing"),
            (
                expression("."),
                None,
                "[1]",
                "`partitionKeyExpression` failed on the record: the expression gives an array",
            ),
            (
                expression(".a.b"),
                None,
                r#"{"a":"x"}"#,
                "`partitionKeyExpression` failed on the record: the program failed",
            ),
            (expression(".a"), None, r#"{"a":""}"#, "`partitionKeyExpression`: the partition key"),
            (expression("[range(999999999)]"), None, "1", "over its limit"),
            (interpolation.clone(), None, r#"{"b":1}"#, "`/a` in the data: there is nothing"),
            (interpolation, None, r#"{"a":""}"#, "`partitionKey` of the component: the partition key"),
        ] {
            let message = key(&source, requested, data).unwrap_err();
            assert!(message.contains(part) && !message.contains(&long), "{message}");
        }
    }

    #[test]
    fn hash_keys_are_decimal_numbers_below_two_to_the_128() {
        let max = u128::MAX.to_string();
        assert_eq!(hashed(&HashKeySource::None, Some(&max), "").unwrap(), Some(u128::MAX));
        assert_eq!(hashed(&HashKeySource::Constant(5), None, "").unwrap(), Some(5));
        assert_eq!(hashed(&HashKeySource::None, None, "").unwrap(), None);
        let from_data = HashKeySource::Pointer(pointer("/h"));
        let data = format!(r#"{{"h":{max}}}"#);
        assert_eq!(hashed(&from_data, None, &data).unwrap(), Some(u128::MAX));
        let computed = HashKeySource::Expression(Expression::compile(".h").unwrap());
        assert_eq!(hashed(&computed, None, &data).unwrap(), Some(u128::MAX));
        assert_eq!(hashed(&computed, Some("7"), &data).unwrap(), Some(7));
        assert_eq!(hashed(&computed, None, "{}").unwrap(), None, "null is no hash key");
        assert!(hashed(&computed, None, r#"{"h": -1}"#).unwrap_err().message().contains("decimal number"));
        let text = HashKeySource::Interpolation(Interpolation::parse(r#"1${! json("h") }"#).unwrap());
        assert_eq!(hashed(&text, None, r#"{"h": 23}"#).unwrap(), Some(123));
        for bad in ["340282366920938463463374607431768211456", "-1", "+1", "1e3", "0x1", "one"] {
            assert_eq!(hashed(&HashKeySource::None, Some(bad), "").unwrap_err().kind(), FailureKind::Caller, "{bad}");
        }
    }
}

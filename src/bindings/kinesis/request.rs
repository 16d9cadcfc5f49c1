//! The options in a request's metadata. Unknown names have no effect, as in Dapr.

use super::super::retry::time_allowed;
use super::output_spec::OutputSpec;
use super::payload::{Compression, PayloadForm};
use crate::domain::{BindingError, FailureKind, Metadata, SequenceNumber};
use crate::producer::PutOptions;
use tokio::time::Instant;

/// Names of the metadata that has an effect.
pub(super) const KEYS: &[&str] = &[
    "partitionKey",
    "explicitHashKey",
    "sequenceNumberForOrdering",
    "timeout",
    "failIfThrottled",
    "compression",
    "returnResult",
    "rawPayload",
    "decodeBase64",
];

/// The options of one request; where it gives none, those of the component.
#[derive(Debug, Clone)]
pub(super) struct RequestOptions {
    pub(super) put: PutOptions,
    pub(super) form: PayloadForm,
    pub(super) compression: Compression,
    pub(super) returns_result: bool,
}

impl RequestOptions {
    /// Reads the options of a single record. The request's timeout begins now.
    ///
    /// # Errors
    /// `Caller` for a value that is not valid.
    pub(super) fn read(metadata: &Metadata, spec: &OutputSpec) -> Result<Self, BindingError> {
        let time = time_allowed(metadata.get("timeout"), spec.request_timeout, spec.max_request_timeout)?;
        let after = metadata.get("sequenceNumberForOrdering").map(sequence_number).transpose()?;
        Ok(Self {
            put: PutOptions {
                deadline: Instant::now() + time,
                after,
                fail_if_throttled: is_set(metadata, "failIfThrottled", spec.producer.rate_limit.fail_if_throttled),
                is_single_attempt: false,
                ends_batch: false,
            },
            form: spec.form.for_request(metadata),
            compression: compression(metadata, spec)?,
            returns_result: Self::returns_result(metadata, spec),
        })
    }

    /// Whether the response has the result in its body.
    pub(super) fn returns_result(metadata: &Metadata, spec: &OutputSpec) -> bool {
        is_set(metadata, "returnResult", spec.return_result)
    }

    /// Reads the options of a bulk, which apply to each of its items.
    ///
    /// # Errors
    /// As [`RequestOptions::read`], and for `sequenceNumberForOrdering`, which only a single record can have.
    pub(super) fn read_bulk(metadata: &Metadata, spec: &OutputSpec) -> Result<Self, BindingError> {
        let options = Self::read(metadata, spec)?;
        if options.put.after.is_some() {
            return Err(invalid(
                "`sequenceNumberForOrdering` is for a single record: leave it out of a bulk, or use `create`",
            ));
        }
        Ok(options)
    }

    /// Reads the options of a raw body, which is the record itself and not JSON.
    ///
    /// # Errors
    /// As [`RequestOptions::read`], and for options that decode a JSON string.
    pub(super) fn read_raw(metadata: &Metadata, spec: &OutputSpec) -> Result<Self, BindingError> {
        match ["rawPayload", "decodeBase64"].into_iter().find(|key| metadata.is_true(key)) {
            Some(key) => Err(invalid(&format!(
                "`{key}` decodes a JSON string, and this body is the record itself: leave it out"
            ))),
            None => Ok(Self { form: PayloadForm::Text, ..Self::read(metadata, spec)? }),
        }
    }
}

/// How the record is compressed before it is passed to the producer. A joined record is compressed later, when it has all its
/// records.
fn compression(metadata: &Metadata, spec: &OutputSpec) -> Result<Compression, BindingError> {
    let compression = spec.compression.for_request(metadata)?;
    match spec.join_form() {
        None => Ok(compression),
        Some(_) if compression == spec.compression => Ok(Compression::None),
        Some(_) => Err(invalid(
            "`compression` of a request cannot differ from that of the component when `aggregation` is `lines` or \
             `json-array`, because records of several requests are compressed together: leave it out",
        )),
    }
}

fn is_set(metadata: &Metadata, key: &str, default: bool) -> bool {
    metadata.get(key).map_or(default, |_| metadata.is_true(key))
}

fn sequence_number(text: &str) -> Result<SequenceNumber, BindingError> {
    text.parse().map_err(|_| {
        invalid("`sequenceNumberForOrdering` in the request's metadata is not a sequence number: write its digits")
    })
}

fn invalid(message: &str) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

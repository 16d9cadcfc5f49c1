//! What a request's metadata asks for. Keys that nobody knows have no effect, as in Dapr.

use super::super::retry::time_allowed;
use super::output_spec::OutputSpec;
use super::payload::{Compression, PayloadForm};
use crate::domain::{BindingError, FailureKind, Metadata, SequenceNumber};
use crate::producer::PutOptions;
use tokio::time::Instant;

/// The metadata that requests may carry, in its true case.
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

/// The wishes of one request, those of the component where it has none.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    pub(super) put: PutOptions,
    pub(super) form: PayloadForm,
    pub(super) compression: Compression,
    pub(super) returns_result: bool,
}

impl Wishes {
    /// Reads them. The time runs from here.
    ///
    /// # Errors
    /// `Caller` for a value that makes no sense.
    pub(super) fn read(metadata: &Metadata, spec: &OutputSpec) -> Result<Self, BindingError> {
        let is_set = |key: &str, usual: bool| metadata.get(key).map_or(usual, |_| metadata.is_true(key));
        let time = time_allowed(metadata.get("timeout"), spec.request_timeout, spec.max_request_timeout)?;
        let after = metadata.get("sequenceNumberForOrdering").map(sequence_number).transpose()?;
        Ok(Self {
            put: PutOptions {
                deadline: Instant::now() + time,
                after,
                fail_if_throttled: is_set("failIfThrottled", spec.producer.rate_limit.fail_if_throttled),
            },
            form: spec.form.for_request(metadata),
            compression: spec.compression.for_request(metadata)?,
            returns_result: is_set("returnResult", spec.return_result),
        })
    }
}

/// The wishes of a bulk, which are those of each of its items.
///
/// # Errors
/// As [`Wishes::read`], and for metadata that can only be meant for one record.
pub(super) fn of_bulk(metadata: &Metadata, spec: &OutputSpec) -> Result<Wishes, BindingError> {
    let wishes = Wishes::read(metadata, spec)?;
    if wishes.put.after.is_some() {
        let why = "`sequenceNumberForOrdering` is meant for one record: leave it out of a bulk, or use `create`";
        return Err(BindingError::new(FailureKind::Caller, why));
    }
    Ok(wishes)
}

/// A raw body is the record as it is.
///
/// # Errors
/// `Caller` when the request asks to decode a JSON string that is not there.
pub(super) fn no_decoding(metadata: &Metadata) -> Result<(), BindingError> {
    let Some(key) = ["rawPayload", "decodeBase64"].into_iter().find(|key| metadata.is_true(key)) else { return Ok(()) };
    let why = format!("`{key}` decodes a JSON string, and this body is the record itself: leave it out");
    Err(BindingError::new(FailureKind::Caller, why))
}

fn sequence_number(text: &str) -> Result<SequenceNumber, BindingError> {
    text.parse().map_err(|_| {
        let why = "`sequenceNumberForOrdering` in the request's metadata is not a sequence number: write its digits";
        BindingError::new(FailureKind::Caller, why)
    })
}

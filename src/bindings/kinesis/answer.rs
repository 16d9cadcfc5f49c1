//! What callers are told about records that were stored, and about items of a bulk.

use super::super::item_failure::ItemFailure;
use crate::domain::{BindingError, Extent, InvokeResponse};
use crate::producer::Written;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// What the body says of one record. Numbers of up to 56 digits are strings; JSON readers would round them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    sequence_number: &'a str,
    shard_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<u64>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Stored(Stored<'a>),
    Failed(ItemFailure<'a>),
}

impl<'a> Stored<'a> {
    fn of(written: &'a Written, id: Option<&'a RawValue>) -> Self {
        Self {
            id,
            sequence_number: written.receipt.sequence.as_str(),
            shard_id: written.receipt.shard.as_str(),
            sub_sequence_number: written.sub_sequence,
            attempts: written.attempts,
            encryption_type: written.receipt.encryption.as_deref(),
        }
    }
}

/// The answer about one record: facts in headers, and in the body where `returnResult` asks for it.
pub(super) fn single(written: &Written, returns_result: bool) -> InvokeResponse {
    let receipt = &written.receipt;
    let mut metadata = vec![
        ("sequenceNumber", receipt.sequence.as_str().to_owned()),
        ("shardId", receipt.shard.as_str().to_owned()),
        ("attempts", written.attempts.to_string()),
    ];
    metadata.extend(written.sub_sequence.map(|number| ("subSequenceNumber", number.to_string())));
    metadata.extend(receipt.encryption.as_deref().map(|kind| ("encryptionType", kind.to_owned())));
    let data = returns_result.then(|| json(&Stored::of(written, None)));
    InvokeResponse { data, metadata, extent: Extent::Whole }
}

/// The answer about the items of a bulk, in the order in which they came.
pub(super) fn many(items: &[(Option<&RawValue>, Result<Written, BindingError>)]) -> InvokeResponse {
    let lines: Vec<Line<'_>> = items
        .iter()
        .enumerate()
        .map(|(index, (id, result))| match result {
            Ok(written) => Line::Stored(Stored::of(written, *id)),
            Err(error) => Line::Failed(ItemFailure { id: *id, index, error }),
        })
        .collect();
    let failed = items.iter().filter(|(_, result)| result.is_err()).count();
    InvokeResponse {
        data: Some(json(&lines)),
        metadata: vec![("succeeded", (items.len() - failed).to_string()), ("failed", failed.to_string())],
        extent: if failed == 0 { Extent::Whole } else { Extent::Mixed },
    }
}

/// Strings, numbers and checked JSON: serialising cannot fail, and if it did, the headers still tell.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

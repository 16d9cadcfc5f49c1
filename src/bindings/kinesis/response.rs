//! Responses to `create` and `bulkCreate`.

use super::super::item_failure::ItemFailure;
use crate::domain::{BindingError, Completion, InvokeResponse};
use crate::producer::Written;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// Sequence numbers have up to 56 digits; they are strings, because JSON readers would round them.
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
enum ItemResult<'a> {
    Stored(Stored<'a>),
    Failed(ItemFailure<'a>),
}

impl<'a> Stored<'a> {
    fn new(written: &'a Written, id: Option<&'a RawValue>) -> Self {
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

/// The response about one record: in headers, and with `returnResult` in the body too.
pub(super) fn single(written: &Written, returns_result: bool) -> InvokeResponse {
    let receipt = &written.receipt;
    let mut metadata = vec![
        ("sequenceNumber".into(), receipt.sequence.as_str().to_owned()),
        ("shardId".into(), receipt.shard.as_str().to_owned()),
        ("attempts".into(), written.attempts.to_string()),
    ];
    metadata.extend(written.sub_sequence.map(|number| ("subSequenceNumber".into(), number.to_string())));
    metadata.extend(receipt.encryption.as_deref().map(|kind| ("encryptionType".into(), kind.to_owned())));
    let data = returns_result.then(|| json(&Stored::new(written, None)));
    InvokeResponse { data, metadata, ..InvokeResponse::default() }
}

/// The response about the items of a bulk, in their order.
pub(super) fn many(items: &[(Option<&RawValue>, Result<Written, BindingError>)]) -> InvokeResponse {
    let results: Vec<ItemResult<'_>> = items
        .iter()
        .enumerate()
        .map(|(index, (id, result))| match result {
            Ok(written) => ItemResult::Stored(Stored::new(written, *id)),
            Err(error) => ItemResult::Failed(ItemFailure { id: *id, index, error }),
        })
        .collect();
    let failed = items.iter().filter(|(_, result)| result.is_err()).count();
    InvokeResponse {
        data: Some(json(&results)),
        metadata: vec![("succeeded".into(), (items.len() - failed).to_string()), ("failed".into(), failed.to_string())],
        completion: if failed == 0 { Completion::Full } else { Completion::Partial },
        ..InvokeResponse::default()
    }
}

/// Serialising strings, numbers and checked JSON cannot fail; if it did, the headers would still have the result.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

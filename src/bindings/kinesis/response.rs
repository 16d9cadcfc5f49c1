//! Responses to `create` and `bulkCreate`.

use super::super::item_failure::ItemFailure;
use super::super::shaping::{LeftOut, counts};
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
    Several {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        records: Vec<Stored<'a>>,
    },
    LeftOut(ItemLeftOut<'a>),
    Failed(ItemFailure<'a>),
}

#[derive(Serialize)]
struct ItemLeftOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    filtered: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dropped: bool,
}

/// What became of an item without a failure.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Written),
    /// The transform made several records.
    Several(Vec<Written>),
    LeftOut(LeftOut),
}

impl<'a> ItemLeftOut<'a> {
    fn new(why: LeftOut, id: Option<&'a RawValue>) -> Self {
        Self { id, filtered: why == LeftOut::Filtered, dropped: why == LeftOut::Dropped }
    }
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

/// The response about the records that a transform made of one: as that of a bulk.
pub(super) fn several(written: &[Written]) -> InvokeResponse {
    let results: Vec<Stored<'_>> = written.iter().map(|written| Stored::new(written, None)).collect();
    let metadata = vec![("succeeded".into(), written.len().to_string()), ("failed".into(), "0".to_owned())];
    InvokeResponse { data: Some(json(&results)), metadata, ..InvokeResponse::default() }
}

/// The response about a record that was not written, although nothing failed.
pub(super) fn left_out(why: LeftOut, returns_result: bool) -> InvokeResponse {
    let data = returns_result.then(|| json(&ItemLeftOut::new(why, None)));
    InvokeResponse { data, metadata: vec![(why.as_str().into(), "true".to_owned())], ..InvokeResponse::default() }
}

/// The response about the items of a bulk, in their order.
pub(super) fn many(items: &[(Option<&RawValue>, Result<Answer, BindingError>)]) -> InvokeResponse {
    let results: Vec<ItemResult<'_>> = items
        .iter()
        .enumerate()
        .map(|(index, (id, result))| match result {
            Ok(Answer::Stored(written)) => ItemResult::Stored(Stored::new(written, *id)),
            Ok(Answer::Several(written)) => {
                let records = written.iter().map(|written| Stored::new(written, None)).collect();
                ItemResult::Several { id: *id, records }
            }
            Ok(Answer::LeftOut(why)) => ItemResult::LeftOut(ItemLeftOut::new(*why, *id)),
            Err(error) => ItemResult::Failed(ItemFailure { id: *id, index, error }),
        })
        .collect();
    let failed = items.iter().filter(|(_, result)| result.is_err()).count();
    let is_left_out =
        |result: &Result<Answer, BindingError>, why| matches!(result, Ok(Answer::LeftOut(own)) if *own == why);
    let count = |why| items.iter().filter(|(_, result)| is_left_out(result, why)).count();
    let metadata = counts(items.len(), failed, LeftOut::ALL.map(count));
    InvokeResponse {
        data: Some(json(&results)),
        metadata,
        completion: if failed == 0 { Completion::Full } else { Completion::Partial },
        ..InvokeResponse::default()
    }
}

/// Serialising strings, numbers and checked JSON cannot fail; if it did, the headers would still have the result.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

//! The limits of one record, as AWS counts them.
//!
//! The emulator counts a partition key in bytes, where AWS allows 256 characters; and it limits the data alone, where AWS
//! counts data and key together (PutRecord, API reference).

use super::shim::{self, JSON, error_answer, refusal};
use axum::body::Body;
use axum::response::Response;
use ferrokinesis::actions::{Operation, dispatch};
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::store::Store;
use ferrokinesis::validation::{FieldDef, check_types, check_validations};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// The longest partition key: in characters in AWS, in bytes for the emulator.
const MAX_KEY: usize = 256;

/// What of a PutRecord or PutRecords request is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put<'a> {
    #[serde(borrow)]
    stream_name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    partition_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    records: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    partition_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

impl Entry<'_> {
    fn key(&self) -> &str {
        self.partition_key.as_deref().unwrap_or_default()
    }

    /// Bytes of data and key.
    fn size(&self) -> usize {
        let data = self.data.as_deref().unwrap_or_default();
        let padding = data.bytes().rev().take_while(|byte| *byte == b'=').count();
        self.key().len() + (data.len() / 4 * 3).saturating_sub(padding)
    }
}

/// The answer to a put that the emulator would judge wrongly; `None` where it judges as AWS does.
pub(super) async fn answer(store: &Store, operation: Operation, body: &[u8]) -> Option<Response> {
    let mut put: Put<'_> = serde_json::from_slice(body).ok()?;
    // The record of PutRecord stands beside the stream.
    put.records.push(Entry { partition_key: put.partition_key.take(), data: put.data.take() });
    let stream = match (&put.stream_name, &put.stream_arn) {
        (Some(name), _) => name.to_string(),
        (None, Some(arn)) => store.stream_name_from_arn(arn)?,
        (None, None) => return None,
    };
    let limit = store.get_stream(&stream).await.ok()?.max_record_size_kib as usize * 1_024;
    if let Some(size) = put.records.iter().map(Entry::size).find(|size| *size > limit) {
        let text =
            format!("a record has {size} bytes of data and partition key, the limit of stream {stream} is {limit}");
        return Some(refusal("InvalidArgumentException", &text));
    }
    if put.records.iter().all(|entry| entry.key().len() <= MAX_KEY) {
        return None;
    }
    Some(match with_long_keys(store, operation, body).await {
        Ok(answer) => shim::answer(StatusCode::OK, JSON, Body::from(answer.unwrap_or_default().to_string())),
        Err(error) => error_answer(&error),
    })
}

/// Carries out a put whose keys are short in characters but not in bytes. It is checked as the emulator's handler does,
/// with keys of as many ASCII characters.
async fn with_long_keys(
    store: &Store,
    operation: Operation,
    body: &[u8],
) -> Result<Option<Value>, KinesisErrorResponse> {
    let unreadable = |_| KinesisErrorResponse::serialization_error("the request body is not JSON");
    let asked: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let rules = operation.validation_rules();
    let rules: Vec<(&str, &FieldDef)> = rules.iter().map(|(name, rule)| (*name, rule)).collect();
    let asked = check_types(&asked, &rules)?;
    let mut counted = asked.clone();
    count_characters(&mut counted);
    check_validations(&counted, &rules, None)?;
    dispatch(store, operation, asked).await
}

fn count_characters(put: &mut Value) {
    if let Some(Value::String(key)) = put.get_mut("PartitionKey") {
        *key = "x".repeat(key.chars().count());
    }
    if let Some(Value::Array(records)) = put.get_mut("Records") {
        records.iter_mut().for_each(count_characters);
    }
}

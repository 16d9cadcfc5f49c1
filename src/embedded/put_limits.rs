//! The size limits of a record in PutRecord and PutRecords.
//!
//! AWS allows a partition key of 256 characters; ferrokinesis allows 256 bytes. AWS limits data and key together;
//! ferrokinesis limits the data only (PutRecord, API reference).

use super::protocol::{JSON, error_response, response, service_error_response};
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

/// The longest partition key: in characters for AWS, in bytes for ferrokinesis.
const MAX_PARTITION_KEY: usize = 256;

/// The checked members of a PutRecord or PutRecords request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
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

/// The response to a put that ferrokinesis would handle wrongly; `None` if it handles the put as AWS does.
pub(super) async fn corrected_response(store: &Store, operation: Operation, body: &[u8]) -> Option<Response> {
    let mut put: PutRequest<'_> = serde_json::from_slice(body).ok()?;
    // The members of the record in PutRecord are beside those of the stream.
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
        return Some(error_response("InvalidArgumentException", &text));
    }
    if put.records.iter().all(|entry| entry.key().len() <= MAX_PARTITION_KEY) {
        return None;
    }
    Some(match put_with_long_keys(store, operation, body).await {
        Ok(output) => response(StatusCode::OK, JSON, Body::from(output.unwrap_or_default().to_string())),
        Err(error) => service_error_response(&error),
    })
}

/// Executes a put with keys that are short enough in characters but not in bytes. It validates the request as the handler
/// of ferrokinesis does, but on a copy whose keys are as many ASCII characters.
async fn put_with_long_keys(
    store: &Store,
    operation: Operation,
    body: &[u8],
) -> Result<Option<Value>, KinesisErrorResponse> {
    let unreadable = |_| KinesisErrorResponse::serialization_error("the request body is not JSON");
    let request: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let rules = operation.validation_rules();
    let rules: Vec<(&str, &FieldDef)> = rules.iter().map(|(name, rule)| (*name, rule)).collect();
    let request = check_types(&request, &rules)?;
    let mut ascii = request.clone();
    replace_keys_with_ascii(&mut ascii);
    check_validations(&ascii, &rules, None)?;
    dispatch(store, operation, request).await
}

fn replace_keys_with_ascii(put: &mut Value) {
    if let Some(Value::String(key)) = put.get_mut("PartitionKey") {
        *key = "x".repeat(key.chars().count());
    }
    if let Some(Value::Array(records)) = put.get_mut("Records") {
        records.iter_mut().for_each(replace_keys_with_ascii);
    }
}

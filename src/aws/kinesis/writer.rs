//! Writes records into a stream.

use super::super::failure::{CallError, classify, classify_entry};
use super::super::{Connection, StreamRef};
use crate::domain::{BindingError, FailureKind, NewRecord, Outcome, Receipt, RecordWriter, SequenceNumber, ShardId};
use async_trait::async_trait;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::types::{EncryptionType, PutRecordsRequestEntry, PutRecordsResultEntry};
use aws_smithy_types::Blob;
use aws_smithy_types::error::operation::BuildError;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Writer {
    connection: Connection,
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
    attempt_timeout: Duration,
}

impl Writer {
    /// The stream need not exist yet. An attempt ends after `attempt_timeout`, with an unknown outcome. Waiting for one of
    /// `maxConnections` calls is not part of the attempt; it takes at most as long again and ends with `Throttled`.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef, attempt_timeout: Duration) -> Self {
        let client = connection.kinesis_within(attempt_timeout);
        Self { connection: connection.clone(), client, stream, attempt_timeout }
    }
}

#[async_trait]
impl RecordWriter for Writer {
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
        let _permit = self.connection.permit_within(self.attempt_timeout).await?;
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.put_record().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.put_record().stream_arn(arn),
        };
        let call = call
            .data(Blob::from_maybe_shared(record.data.clone()))
            .set_partition_key(record.partition_key.as_ref().map(|key| key.as_str().to_owned()))
            .set_explicit_hash_key(record.explicit_hash_key.map(|key| key.to_string()))
            .set_sequence_number_for_ordering(after.map(|number| number.as_str().to_owned()));
        let output = call.send().await.map_err(|error| call_error(classify("Kinesis: PutRecord", error)))?;
        receipt(&output.sequence_number, output.shard_id, encryption(output.encryption_type.as_ref()))
    }

    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        let _permit = self.connection.permit_within(self.attempt_timeout).await?;
        let entries: Result<Vec<_>, BuildError> = records.iter().map(entry).collect();
        let entries = entries.map_err(|error| entry_error(classify("Kinesis: PutRecords", not_built(error))))?;
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.put_records().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.put_records().stream_arn(arn),
        };
        let output = call.set_records(Some(entries)).send().await;
        let output = output.map_err(|error| batch_error(classify("Kinesis: PutRecords", error)))?;
        results(output, records.len())
    }
}

fn entry(record: &NewRecord) -> Result<PutRecordsRequestEntry, BuildError> {
    PutRecordsRequestEntry::builder()
        .data(Blob::from_maybe_shared(record.data.clone()))
        .set_partition_key(record.partition_key.as_ref().map(|key| key.as_str().to_owned()))
        .set_explicit_hash_key(record.explicit_hash_key.map(|key| key.to_string()))
        .build()
}

fn not_built(error: BuildError) -> SdkError<PutRecordsError> {
    SdkError::construction_failure(error)
}

fn results(output: PutRecordsOutput, sent: usize) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
    let request_id = output.request_id().map(str::to_owned);
    if output.records.len() != sent {
        let text = format!("the response has {} results for {sent} records", output.records.len());
        return Err(unreadable(&text, request_id.as_deref()));
    }
    let encryption = encryption(output.encryption_type.as_ref());
    let result = |entry| result(entry, encryption.clone(), request_id.as_deref());
    Ok(output.records.into_iter().map(result).collect())
}

fn result(
    entry: PutRecordsResultEntry,
    encryption: Option<Arc<str>>,
    request_id: Option<&str>,
) -> Result<Receipt, BindingError> {
    match (entry.error_code, entry.sequence_number, entry.shard_id) {
        (None, Some(number), Some(shard)) => receipt(&number, shard, encryption),
        (Some(code), _, _) => {
            let mut error = classify_entry("Kinesis: PutRecords", &code, entry.error_message.as_deref());
            error.request_id = request_id.map(str::to_owned);
            Err(entry_error(error))
        }
        (None, _, _) => {
            Err(unreadable("the result of a record has neither a sequence number nor an error", request_id))
        }
    }
}

/// The error of one record, with what only the texts of Kinesis contain: the shard that was throttled, and size limits,
/// which have the codes of invalid arguments.
fn entry_error(mut error: CallError) -> BindingError {
    if error.kind == FailureKind::Caller && is_about_size(&error.text) {
        error.kind = FailureKind::TooLarge;
    }
    let shard = shard_in(&error.text).filter(|_| error.kind == FailureKind::Throttled).map(str::to_owned);
    let error = BindingError::from(error);
    shard.into_iter().fold(error, |error, shard| error.with_detail("shardId", shard))
}

/// The error of a call. A denied call is marked, unless its text names an action of another service, such as the use of a
/// key: that is denied to every call.
fn call_error(error: CallError) -> BindingError {
    let is_denied = error.is("AccessDeniedException") || error.is("AccessDenied");
    let action = error.text.split_once("not authorized to perform: ").map(|(_, rest)| rest);
    let is_own =
        action.is_none_or(|action| action.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("kinesis:")));
    let error = entry_error(error);
    if is_denied && is_own { error.lacking_permission() } else { error }
}

/// As [`call_error`], for a call with several records.
fn batch_error(error: CallError) -> BindingError {
    let error = call_error(error);
    if !error.lacks_permission() {
        return error;
    }
    error.with_remark("allow `kinesis:PutRecords` beside `kinesis:PutRecord` (`bindd policy` prints both)")
}

/// "Rate exceeded for shard shardId-000000000001 in stream …"
fn shard_in(text: &str) -> Option<&str> {
    let from = &text[text.find("shardId-")?..];
    let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    Some(&from[..end.unwrap_or(from.len())])
}

/// "Records size exceeds 10 MB limit", "Value at 'data' failed to satisfy constraint: Member must have length less than
/// or equal to 1048576".
fn is_about_size(text: &str) -> bool {
    text.contains("size exceeds") || text.contains("data' failed") && text.contains("less than or equal to")
}

fn receipt(number: &str, shard: String, encryption: Option<Arc<str>>) -> Result<Receipt, BindingError> {
    let sequence =
        number.parse().map_err(|error| unreadable("the response cannot be read", None).with_source(error))?;
    Ok(Receipt { sequence, shard: ShardId::new(shard), encryption })
}

fn encryption(kind: Option<&EncryptionType>) -> Option<Arc<str>> {
    kind.map(|kind| kind.as_str().into())
}

/// A response that breaks the contract of the service; the outcome is unknown.
fn unreadable(why: &str, request_id: Option<&str>) -> BindingError {
    let error = BindingError::new(FailureKind::Transient, format!("Kinesis: {why}")).with_outcome(Outcome::Unknown);
    request_id.into_iter().fold(error, |error, id| error.with_detail("requestId", id))
}

#[cfg(test)]
#[path = "tests/writer.rs"]
mod tests;

//! Sends records that finally failed to another output component, with the error (`deadLetterBinding`).

use super::context::Registry;
use crate::domain::{
    BindingError, ComponentName, DEAD_LETTERED, DataForm, InvokeRequest, Metadata, NewRecord, Outcome,
};
use crate::telemetry::{OutputMetrics, RecordState};
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// Time limit of all dead letters of one request together. Short, because the caller waits for them, perhaps beyond its
/// own deadline.
pub(super) const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a dead letter was not delivered. The target's own message may quote the record, so only kind and code are shown.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("no time was left: all dead letters of one request share {DEAD_LETTER_TIMEOUT:?}")]
    NoTimeLeft,
    #[error("it did not answer within {DEAD_LETTER_TIMEOUT:?}, which the dead letters of one request share")]
    TimedOut,
    #[error("there is no such output component")]
    NoSuchOutput,
    #[error("the dead letter could not be serialised")]
    Serialise(#[source] serde_json::Error),
    #[error("it failed with {}", kind_and_code(.0))]
    Failed(#[source] BindingError),
}

fn kind_and_code(error: &BindingError) -> String {
    match detail(error, "code") {
        Some(code) => format!("{} ({code})", error.kind()),
        None => error.kind().to_string(),
    }
}

fn detail<'e>(error: &'e BindingError, name: &str) -> Option<&'e str> {
    error.details().iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[derive(Debug)]
pub(super) struct DeadLetter {
    /// The component that failed to write the records.
    pub(super) component: ComponentName,
    pub(super) target: ComponentName,
    pub(super) registry: Registry,
    pub(super) metrics: OutputMetrics,
}

/// The `data` of the `create` request to the dead letter binding. `id` is unique, so that it can be the key of a table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetterData<'a> {
    id: String,
    component: &'a str,
    data: Cow<'a, str>,
    data_encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    error: ErrorData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorData<'a> {
    kind: &'static str,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    ambiguous: bool,
}

impl DeadLetter {
    /// Sends a failed record, and returns its error with the result of sending. Nothing is sent after `until`, the time
    /// limit of all dead letters of one request.
    pub(super) async fn send(&self, record: &NewRecord, failure: BindingError, until: Instant) -> BindingError {
        let sent = match Instant::now() < until {
            true => {
                tokio::time::timeout_at(until, self.invoke(record, &failure)).await.unwrap_or(Err(SendError::TimedOut))
            }
            false => Err(SendError::NoTimeLeft),
        };
        match sent {
            Ok(()) => {
                self.metrics.ended(RecordState::DeadLettered, 0);
                failure.with_detail(DEAD_LETTERED, "true").with_detail("deadLetterBinding", self.target.as_str())
            }
            Err(error) => {
                match error {
                    // The dead letter that used up the time has its own warning.
                    SendError::NoTimeLeft => tracing::debug!(component = %self.component, "dead letter skipped"),
                    SendError::TimedOut | SendError::NoSuchOutput | SendError::Serialise(_) | SendError::Failed(_) => {
                        tracing::warn!(component = %self.component, target = %self.target, %error, "dead letter not delivered");
                    }
                }
                let remark =
                    format!("the dead letter binding {} did not accept the record either: {error}", self.target);
                failure
                    .with_remark(&remark)
                    .with_detail(DEAD_LETTERED, "false")
                    .with_detail("deadLetterBinding", self.target.as_str())
                    .with_detail("deadLetterError", error.to_string())
            }
        }
    }

    async fn invoke(&self, record: &NewRecord, failure: &BindingError) -> Result<(), SendError> {
        let target = self.registry.find(&self.target).ok_or(SendError::NoSuchOutput)?;
        let output = target.output().ok_or(SendError::NoSuchOutput)?;
        let mut metadata = Metadata::default();
        // With `ordering: key` at the target, dead letters of one key keep their order.
        if let Some(key) = &record.partition_key {
            metadata.insert("partitionKey", key.as_str());
        }
        let data = self.data(record, failure).map_err(SendError::Serialise)?;
        let operation = "create".to_owned();
        let request = InvokeRequest { operation, data, form: DataForm::Json, metadata };
        output.invoke(request).await.map(drop).map_err(SendError::Failed)
    }

    fn data(&self, record: &NewRecord, failure: &BindingError) -> serde_json::Result<Bytes> {
        let (data, data_encoding) = match std::str::from_utf8(&record.data) {
            Ok(text) => (Cow::Borrowed(text), "utf-8"),
            Err(_) => (Cow::Owned(base64_simd::STANDARD.encode_to_string(&record.data)), "base64"),
        };
        let data = DeadLetterData {
            id: uuid::Uuid::new_v4().to_string(),
            component: self.component.as_str(),
            data,
            data_encoding,
            partition_key: record.partition_key.as_ref().map(|key| key.as_str()),
            explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
            error: ErrorData {
                kind: failure.kind().as_str(),
                reason: failure.reason().unwrap_or_else(|| failure.kind().reason()),
                message: failure.message(),
                code: detail(failure, "code"),
                request_id: detail(failure, "requestId"),
                ambiguous: failure.outcome() == Outcome::Unknown,
            },
        };
        serde_json::to_vec(&data).map(Bytes::from)
    }
}

#[cfg(test)]
#[path = "tests/dead_letter.rs"]
mod tests;

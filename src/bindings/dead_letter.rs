//! The last resort of an output: what failed for good goes to another component, with its cause.

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

/// The caller waits for its dead letters, after its own deadline may be over; so all letters of one request together
/// have not long.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Why a letter was not taken. What the target itself said may quote the record, so only its kind and code are told.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("no time was left for it, the dead letters of one request have {LIMIT:?} together")]
    Skipped,
    #[error("it did not answer within {LIMIT:?}, which the dead letters of one request share")]
    Late,
    #[error("there is no such output component")]
    Gone,
    #[error("the letter could not be written")]
    Unwritten(#[source] serde_json::Error),
    #[error("it failed with {}", told(.0))]
    Refused(#[source] BindingError),
}

/// Kind and code of a failure.
fn told(error: &BindingError) -> String {
    match detail(error, "code") {
        Some(code) => format!("{} ({code})", error.kind()),
        None => error.kind().to_string(),
    }
}

fn detail<'e>(error: &'e BindingError, name: &str) -> Option<&'e str> {
    error.details().iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// The way of one component to its dead letter binding.
#[derive(Debug)]
pub(super) struct DeadLetter {
    /// The component whose records these are.
    pub(super) component: ComponentName,
    /// Where they go.
    pub(super) target: ComponentName,
    /// Where the target is found.
    pub(super) registry: Registry,
    /// Counts, on the account of `component`.
    pub(super) metrics: OutputMetrics,
}

/// What goes to the dead letter binding, as the `data` of a `create`. `id` is new for each letter, so that it can be
/// the key of a table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter<'a> {
    id: String,
    component: &'a str,
    data: Cow<'a, str>,
    data_encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    error: Cause<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cause<'a> {
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
    /// Sends a record that failed, and gives the failure back with a word on what became of it. Past `until`, which all
    /// letters of one request share, nothing is sent.
    pub(super) async fn take(&self, record: &NewRecord, failure: BindingError, until: Instant) -> BindingError {
        let sent = match Instant::now() < until {
            true => tokio::time::timeout_at(until, self.send(record, &failure)).await.unwrap_or(Err(NotTaken::Late)),
            false => Err(NotTaken::Skipped),
        };
        match sent {
            Ok(()) => {
                self.metrics.ended(RecordState::DeadLettered, 0);
                failure.with_detail(DEAD_LETTERED, "true").with_detail("deadLetterBinding", self.target.as_str())
            }
            Err(why) => {
                match why {
                    // One warning tells of the target that took all the time.
                    NotTaken::Skipped => tracing::debug!(component = %self.component, "dead letter was skipped"),
                    NotTaken::Late | NotTaken::Gone | NotTaken::Unwritten(_) | NotTaken::Refused(_) => {
                        tracing::warn!(component = %self.component, target = %self.target, %why, "dead letter was not taken");
                    }
                }
                let remark = format!("the dead letter binding {} did not take it either: {why}", self.target);
                failure
                    .with_remark(&remark)
                    .with_detail(DEAD_LETTERED, "false")
                    .with_detail("deadLetterBinding", self.target.as_str())
                    .with_detail("deadLetterError", why.to_string())
            }
        }
    }

    async fn send(&self, record: &NewRecord, failure: &BindingError) -> Result<(), NotTaken> {
        let peer = self.registry.find(&self.target).ok_or(NotTaken::Gone)?;
        let output = peer.output().ok_or(NotTaken::Gone)?;
        let mut metadata = Metadata::default();
        // Letters of one key keep their order where the target keeps order.
        if let Some(key) = &record.partition_key {
            metadata.insert("partitionKey", key.as_str());
        }
        let data = self.letter(record, failure).map_err(NotTaken::Unwritten)?;
        let operation = "create".to_owned();
        let letter = InvokeRequest { operation, data, form: DataForm::Json, metadata };
        output.invoke(letter).await.map(drop).map_err(NotTaken::Refused)
    }

    fn letter(&self, record: &NewRecord, failure: &BindingError) -> serde_json::Result<Bytes> {
        let (data, data_encoding) = match std::str::from_utf8(&record.data) {
            Ok(text) => (Cow::Borrowed(text), "utf-8"),
            Err(_) => (Cow::Owned(base64_simd::STANDARD.encode_to_string(&record.data)), "base64"),
        };
        let letter = Letter {
            id: uuid::Uuid::new_v4().to_string(),
            component: self.component.as_str(),
            data,
            data_encoding,
            partition_key: record.partition_key.as_ref().map(|key| key.as_str()),
            explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
            error: Cause {
                kind: failure.kind().word(),
                reason: failure.reason().unwrap_or_else(|| failure.kind().reason()),
                message: failure.message(),
                code: detail(failure, "code"),
                request_id: detail(failure, "requestId"),
                ambiguous: failure.outcome() == Outcome::Unknown,
            },
        };
        serde_json::to_vec(&letter).map(Bytes::from)
    }
}

#[cfg(test)]
#[path = "tests/dead_letter.rs"]
mod tests;

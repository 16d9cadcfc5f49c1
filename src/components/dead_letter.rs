//! The last resort of an output: what failed for good goes to another component, with its cause.

use super::peers::Peers;
use crate::domain::{
    BindingError, ComponentName, DEAD_LETTERED, DataForm, FailureKind, InvokeRequest, Metadata, NewRecord, Outcome,
};
use crate::telemetry::{OutputMetrics, RecordState};
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// The caller waits for the dead letter, after its own deadline may be over; so it has not long.
const LIMIT: Duration = Duration::from_secs(5);

/// The way of one component to its dead letter binding.
#[derive(Debug)]
pub(super) struct DeadLetter {
    /// The component whose records these are.
    pub(super) component: ComponentName,
    /// Where they go.
    pub(super) target: ComponentName,
    /// Where the target is found.
    pub(super) peers: Peers,
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
    /// Sends a record that failed, and gives the failure back with a word on what became of it.
    pub(super) async fn take(&self, record: &NewRecord, failure: BindingError) -> BindingError {
        let sent = tokio::time::timeout(LIMIT, self.send(record, &failure)).await.unwrap_or_else(|_| {
            let text = format!("it did not answer within {LIMIT:?}");
            Err(BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown))
        });
        match sent {
            Ok(()) => {
                self.metrics.ended(RecordState::DeadLettered, 0);
                failure.with_detail(DEAD_LETTERED, "true").with_detail("deadLetterBinding", self.target.as_str())
            }
            Err(error) => {
                tracing::warn!(component = %self.component, target = %self.target, %error, "dead letter was not taken");
                let remark = format!("the dead letter binding {} did not take it either: {error}", self.target);
                failure
                    .with_remark(&remark)
                    .with_detail(DEAD_LETTERED, "false")
                    .with_detail("deadLetterBinding", self.target.as_str())
                    .with_detail("deadLetterError", error.message())
            }
        }
    }

    async fn send(&self, record: &NewRecord, failure: &BindingError) -> Result<(), BindingError> {
        let missing = || BindingError::new(FailureKind::NotFound, "there is no such output component");
        let peer = self.peers.find(&self.target).ok_or_else(missing)?;
        let output = peer.output().ok_or_else(missing)?;
        let mut metadata = Metadata::default();
        // Letters of one key keep their order where the target keeps order.
        if let Some(key) = &record.partition_key {
            metadata.insert("partitionKey", key.as_str());
        }
        let data = self.letter(record, failure)?;
        let operation = "create".to_owned();
        output.invoke(InvokeRequest { operation, data, form: DataForm::Json, metadata }).await.map(drop)
    }

    fn letter(&self, record: &NewRecord, failure: &BindingError) -> Result<Bytes, BindingError> {
        let detail =
            |name: &str| failure.details().iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
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
                code: detail("code"),
                request_id: detail("requestId"),
                ambiguous: failure.outcome() == Outcome::Unknown,
            },
        };
        serde_json::to_vec(&letter).map(Bytes::from).map_err(|error| {
            BindingError::new(FailureKind::Permanent, "the dead letter could not be written").with_source(error)
        })
    }
}

#[cfg(test)]
#[path = "dead_letter_tests.rs"]
mod tests;

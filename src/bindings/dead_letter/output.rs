//! Sends records that an output could not write to another output component, with the error.

use super::super::context::Registry;
use super::content::{Content, ErrorContent, Payload};
use super::target::{SendError as TargetError, detail, send};
use crate::domain::{BindingError, ComponentName, DEAD_LETTERED, NewRecord, Outcome, PartitionKey};
use crate::telemetry::{OutputMetrics, RecordState};
use bytes::Bytes;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// Time limit of all dead letters of one request together. Short, because the caller waits for them, perhaps beyond its
/// own deadline.
pub(in crate::bindings) const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a dead letter was not delivered.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("no time was left: all dead letters of one request share {DEAD_LETTER_TIMEOUT:?}")]
    NoTimeLeft,
    #[error("it did not answer within {DEAD_LETTER_TIMEOUT:?}, which the dead letters of one request share")]
    TimedOut,
    #[error(transparent)]
    Target(#[from] TargetError),
}

#[derive(Debug)]
pub(in crate::bindings) struct DeadLetter {
    /// The component that failed to write the records.
    pub(in crate::bindings) component: ComponentName,
    pub(in crate::bindings) target: ComponentName,
    pub(in crate::bindings) registry: Registry,
    pub(in crate::bindings) metrics: OutputMetrics,
}

impl DeadLetter {
    /// Sends a failed record, and returns its error with the result of sending. Nothing is sent after `until`, the time
    /// limit of all dead letters of one request.
    pub(in crate::bindings) async fn send(
        &self,
        record: &NewRecord,
        failure: BindingError,
        until: Instant,
    ) -> BindingError {
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
                    SendError::TimedOut | SendError::Target(_) => {
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
        let data = self.data(record, failure).map_err(TargetError::from)?;
        let key = record.partition_key.as_ref().map(PartitionKey::as_str);
        Ok(send(&self.registry, &self.target, key, data).await?)
    }

    fn data(&self, record: &NewRecord, failure: &BindingError) -> serde_json::Result<Bytes> {
        let content = Content {
            id: uuid::Uuid::new_v4().to_string(),
            component: self.component.as_str(),
            payload: Payload::new(&record.data),
            partition_key: record.partition_key.as_ref().map(PartitionKey::as_str),
            explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
            error: ErrorContent {
                kind: Some(failure.kind().as_str()),
                reason: failure.reason().unwrap_or_else(|| failure.kind().reason()),
                message: Cow::Borrowed(failure.message()),
                code: detail(failure, "code"),
                request_id: detail(failure, "requestId"),
                ambiguous: Some(failure.outcome() == Outcome::Unknown),
                status: None,
                response: None,
            },
            delivery: None,
        };
        serde_json::to_vec(&content).map(Bytes::from)
    }
}

#[cfg(test)]
#[path = "tests/output.rs"]
mod tests;

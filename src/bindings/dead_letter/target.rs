//! Writes a dead letter to another output component.

use super::super::context::Registry;
use super::super::shaping::LeftOut;
use crate::domain::{BindingError, ComponentName, DataForm, InvokeRequest, Metadata};
use bytes::Bytes;

/// Why a dead letter was not written. The target's own message may quote the record, so only kind and code are shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("there is no such output component, or it is disabled")]
    NoSuchOutput,
    #[error("the dead letter could not be serialised")]
    Serialise(#[from] serde_json::Error),
    #[error("its `filter` or `transform` left the dead letter out")]
    LeftOut,
    #[error("it failed with {}", kind_and_code(.0))]
    Failed(#[source] BindingError),
}

fn kind_and_code(error: &BindingError) -> String {
    match detail(error, "code") {
        Some(code) => format!("{} ({code})", error.kind()),
        None => error.kind().to_string(),
    }
}

pub(super) fn detail<'e>(error: &'e BindingError, name: &str) -> Option<&'e str> {
    error.details().iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// Sends a `create` with this data. The partition key keeps dead letters of one key in order at a target with
/// `ordering: key`.
///
/// # Errors
/// When it is not sure that the target stored it.
pub(super) async fn send(
    registry: &Registry,
    target: &ComponentName,
    partition_key: Option<&str>,
    data: Bytes,
) -> Result<(), SendError> {
    let mut metadata = Metadata::default();
    if let Some(key) = partition_key {
        metadata.insert("partitionKey", key);
    }
    let request = InvokeRequest { operation: "create".to_owned(), data, form: DataForm::Json, metadata };
    let sent = registry.call(target, request).await.ok_or(SendError::NoSuchOutput)?;
    let response = sent.map_err(SendError::Failed)?;
    if LeftOut::is_reported_in(&response) { Err(SendError::LeftOut) } else { Ok(()) }
}

//! Creates streams that are missing, for the local modes.

use super::super::failure::classify;
use super::super::{Connection, StreamRef};
use super::directory::describe;
use crate::domain::{BindingError, FailureKind};
use aws_sdk_kinesis::types::StreamStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ACTIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// The service allows 20 descriptions a second for an account.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Creates the stream with `shards` shards, unless it exists, and waits until it is active. For emulators only: the streams
/// of a real account cost money.
///
/// # Errors
/// `TimedOut` if the stream is not active within a minute; the error of the service.
pub async fn ensure_stream(connection: &Connection, stream: &StreamRef, shards: u16) -> Result<(), BindingError> {
    let client = connection.kinesis();
    let deadline = Instant::now() + ACTIVE_TIMEOUT;
    loop {
        match status(&client, stream).await? {
            Some(StreamStatus::Active | StreamStatus::Updating) => return Ok(()),
            Some(_) => {}
            None => create(&client, stream.name(), shards).await?,
        }
        if Instant::now() >= deadline {
            let text = format!("the stream {stream} did not become active within {ACTIVE_TIMEOUT:?}");
            return Err(BindingError::new(FailureKind::TimedOut, text));
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn status(client: &aws_sdk_kinesis::Client, stream: &StreamRef) -> Result<Option<StreamStatus>, BindingError> {
    match describe(client, stream).await {
        Ok(summary) => Ok(summary.map(|summary| summary.stream_status)),
        Err(error) if error.kind == FailureKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn create(client: &aws_sdk_kinesis::Client, name: &str, shards: u16) -> Result<(), BindingError> {
    let call = client.create_stream().stream_name(name).shard_count(i32::from(shards.max(1)));
    match call.send().await.map_err(|error| classify("Kinesis: CreateStream", error)) {
        Ok(_) => Ok(()),
        // Another process created it first.
        Err(error) if error.is("ResourceInUseException") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

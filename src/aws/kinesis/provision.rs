//! Streams on demand, for the local modes.

use super::super::failure::classify;
use super::super::{Connection, StreamRef};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_kinesis::types::StreamStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a new stream may take to become active.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at a stream that is not active yet; the service allows 20 a second for an account.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Creates the stream if there is none, with `shards` shards, and waits until it is active. Meant for emulators: who
/// owns a real account creates streams with intent.
///
/// # Errors
/// `TimedOut` when the stream is not active within a minute; else as the service answered.
pub async fn ensure_stream(connection: &Connection, stream: &StreamRef, shards: u16) -> Result<(), BindingError> {
    let client = connection.kinesis();
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match status(&client, stream).await? {
            Some(StreamStatus::Active | StreamStatus::Updating) => return Ok(()),
            Some(_) => {}
            None => create(&client, stream.name(), shards).await?,
        }
        if Instant::now() >= deadline {
            let text = format!("the stream {stream} did not become active within {READY_WITHIN:?}");
            return Err(BindingError::new(FailureKind::TimedOut, text));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn status(client: &aws_sdk_kinesis::Client, stream: &StreamRef) -> Result<Option<StreamStatus>, BindingError> {
    let call = match stream {
        StreamRef::Name(name) => client.describe_stream_summary().stream_name(name),
        StreamRef::Arn { arn, .. } => client.describe_stream_summary().stream_arn(arn),
    };
    match call.send().await.map_err(|error| classify("Kinesis: DescribeStreamSummary", error)) {
        Ok(output) => Ok(output.stream_description_summary.map(|summary| summary.stream_status)),
        Err(failed) if failed.kind == FailureKind::NotFound => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

async fn create(client: &aws_sdk_kinesis::Client, name: &str, shards: u16) -> Result<(), BindingError> {
    let call = client.create_stream().stream_name(name).shard_count(i32::from(shards.max(1)));
    match call.send().await.map_err(|error| classify("Kinesis: CreateStream", error)) {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(failed) if failed.is("ResourceInUseException") => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

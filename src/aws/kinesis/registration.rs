//! The consumer that a stream knows us by, for enhanced fan-out.

use super::super::failure::{Failed, classify};
use super::super::{Connection, StreamRef};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_kinesis::types::ConsumerStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a consumer may take to become active, creation included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks; the service allows 20 a second for a stream.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The ARN of the consumer called `name`, registered if there is none, once it is active. It is never deregistered: that
/// would cut every other replica's subscriptions.
///
/// # Errors
/// `TimedOut` when it is not active within a minute, with the last reason; else as the service answered.
pub(super) async fn consumer_arn(
    connection: &Connection,
    stream: &StreamRef,
    name: &str,
) -> Result<String, BindingError> {
    let client = connection.kinesis();
    let deadline = Instant::now() + READY_WITHIN;
    let mut stream_arn = stream.arn().map(str::to_owned);
    loop {
        let step = step(&client, stream, name, &mut stream_arn).await;
        let waiting_for = match step {
            Ok(Step::Active(arn)) => return Ok(arn),
            Ok(Step::Waiting(what)) => what.to_owned(),
            Err(failed) if failed.kind.may_retry() => failed.text,
            Err(failed) => return Err(refused(failed, stream, name)),
        };
        if Instant::now() >= deadline {
            let text = format!(
                "the consumer {name} of stream {stream} was not active within {READY_WITHIN:?} ({waiting_for}): \
                 look at the stream's consumers, or use `mode: shared`"
            );
            return Err(BindingError::new(FailureKind::TimedOut, text));
        }
        sleep(LOOK_EVERY).await;
    }
}

enum Step {
    Active(String),
    Waiting(&'static str),
}

async fn step(
    client: &aws_sdk_kinesis::Client,
    stream: &StreamRef,
    name: &str,
    stream_arn: &mut Option<String>,
) -> Result<Step, Failed> {
    let arn = match stream_arn {
        Some(arn) => arn.clone(),
        None => stream_arn.insert(describe_stream(client, stream).await?).clone(),
    };
    let call = client.describe_stream_consumer().stream_arn(&arn).consumer_name(name);
    let described = call.send().await.map_err(|error| classify("Kinesis: DescribeStreamConsumer", error));
    let description = match described {
        Ok(output) => output.consumer_description,
        Err(failed) if failed.kind == FailureKind::NotFound => return register(client, &arn, name).await,
        Err(failed) => return Err(failed),
    };
    Ok(match description {
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Active => Step::Active(consumer.consumer_arn),
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Deleting => Step::Waiting("it is being deleted"),
        Some(_) | None => Step::Waiting("it is being created"),
    })
}

async fn register(client: &aws_sdk_kinesis::Client, arn: &str, name: &str) -> Result<Step, Failed> {
    let call = client.register_stream_consumer().stream_arn(arn).consumer_name(name);
    match call.send().await.map_err(|error| classify("Kinesis: RegisterStreamConsumer", error)) {
        Ok(_) => {
            tracing::info!(consumer = name, stream = arn, "registered the stream consumer");
            Ok(Step::Waiting("it is being created"))
        }
        // Another replica was faster.
        Err(failed) if failed.is("ResourceInUseException") => Ok(Step::Waiting("it is being created")),
        Err(failed) => Err(failed),
    }
}

async fn describe_stream(client: &aws_sdk_kinesis::Client, stream: &StreamRef) -> Result<String, Failed> {
    let call = client.describe_stream_summary().stream_name(stream.name());
    let output = call.send().await.map_err(|error| classify("Kinesis: DescribeStreamSummary", error))?;
    Ok(output.stream_description_summary.map(|summary| summary.stream_arn).unwrap_or_default())
}

fn refused(mut failed: Failed, stream: &StreamRef, name: &str) -> BindingError {
    let text = format!("the consumer {name} of stream {stream} could not be registered: {}", failed.text);
    failed.text = text;
    failed.into()
}

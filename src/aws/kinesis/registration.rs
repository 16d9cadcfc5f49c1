//! The consumer that a stream knows us by, for enhanced fan-out.

use super::super::failure::{Failed, classify};
use super::super::{Connection, StreamRef};
use crate::domain::{BindingError, FailureKind};
use crate::resilience::{Backoff, Waits};
use aws_sdk_kinesis::types::ConsumerStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pauses after a call that was refused or failed. What stands in the way (a limit, an endpoint that is down) lasts.
const FAILED: Backoff = Backoff::millis(2_000, 60_000);
/// Pauses between two looks at a consumer that is not active yet; the service allows 20 a second for a stream.
const LOOK: Backoff = Backoff::millis(500, 10_000);
/// How long a consumer may be created or deleted before the log has a warning, and how often it is repeated.
const SLOW: Duration = Duration::from_secs(30);

/// The ARN of the consumer called `name`, registered if there is none, once it is active. It is never deregistered: that
/// would end the subscriptions of every other replica. Waits as long as the service has reasons that pass, and logs them.
///
/// # Errors
/// As the service answered, where waiting does not help.
pub(super) async fn consumer_arn(
    connection: &Connection,
    stream: &StreamRef,
    name: &str,
) -> Result<String, BindingError> {
    let client = connection.kinesis();
    let mut stream_arn = stream.arn().map(str::to_owned);
    let mut pauses = Pauses::new(stream, name);
    loop {
        let wait = match step(&client, stream, name, &mut stream_arn).await {
            Ok(Step::Active(arn)) => return Ok(arn),
            Ok(Step::Waiting(status)) => pauses.not_active(status, Instant::now()),
            Err((call, failed)) if may_pass(call, &failed) => pauses.failed(call, &failed),
            Err((_, failed)) => return Err(refused(failed, stream, name)),
        };
        sleep(wait).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Active(String),
    Waiting(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    DescribeStream,
    DescribeConsumer,
    Register,
}

/// While the stream or the consumer is being created or changed, a registration is refused as a conflict.
fn may_pass(call: Call, failed: &Failed) -> bool {
    failed.kind.may_retry() || (call == Call::Register && failed.is("ResourceInUseException"))
}

/// How long to wait, by what stands in the way. Each kind of call has its own pauses, which its own success ends.
#[derive(Debug)]
struct Pauses<'a> {
    stream: &'a StreamRef,
    consumer: &'a str,
    describe_stream: Waits,
    describe_consumer: Waits,
    register: Waits,
    look: Waits,
    /// Since when the consumer is seen, but not active, and when the log said so last.
    waiting_since: Option<Instant>,
    warned_at: Option<Instant>,
}

impl<'a> Pauses<'a> {
    fn new(stream: &'a StreamRef, consumer: &'a str) -> Self {
        let waits = |backoff: Backoff| backoff.waits(fastrand::u64(..));
        Self {
            stream,
            consumer,
            describe_stream: waits(FAILED),
            describe_consumer: waits(FAILED),
            register: waits(FAILED),
            look: waits(LOOK),
            waiting_since: None,
            warned_at: None,
        }
    }

    /// The consumer exists.
    fn not_active(&mut self, status: &str, now: Instant) -> Duration {
        self.describe_stream.reset();
        self.describe_consumer.reset();
        self.register.reset();
        let since = *self.waiting_since.get_or_insert(now);
        if now >= self.warned_at.unwrap_or(since) + SLOW {
            self.warned_at = Some(now);
            let (stream, consumer, waited) = (self.stream, self.consumer, now - since);
            let remedy = "look at the stream's consumers, or set `mode: shared`";
            tracing::warn!(%stream, consumer, status, ?waited, remedy, "stream consumer did not become active");
        }
        self.look.next_wait()
    }

    fn failed(&mut self, call: Call, failed: &Failed) -> Duration {
        self.look.reset();
        self.waiting_since = None;
        let (stream, consumer, reason) = (self.stream, self.consumer, &failed.text);
        let wait = match call {
            Call::DescribeStream => self.describe_stream.next_wait(),
            Call::DescribeConsumer => {
                self.describe_stream.reset();
                self.describe_consumer.next_wait()
            }
            Call::Register => {
                self.describe_stream.reset();
                self.describe_consumer.reset();
                self.register.next_wait()
            }
        };
        if failed.is("LimitExceededException") && call == Call::Register {
            let limit = "20 consumers for each stream, 50 with on-demand advantage";
            let remedy = "deregister a consumer of the stream that is not used any more, or set `mode: shared`";
            tracing::warn!(%stream, consumer, limit, ?wait, reason, remedy, "stream consumer was not registered");
        } else if failed.is("ResourceInUseException") && self.register.taken() == 1 {
            // As a rule another replica was faster, and the next look finds the consumer.
            tracing::debug!(%stream, consumer, ?wait, reason, "stream consumer was not registered");
        } else {
            let remedy = "the call is repeated; `mode: shared` needs no consumer";
            tracing::warn!(%stream, consumer, ?wait, reason, remedy, "stream consumer could not be set up");
        }
        wait
    }
}

async fn step(
    client: &aws_sdk_kinesis::Client,
    stream: &StreamRef,
    name: &str,
    stream_arn: &mut Option<String>,
) -> Result<Step, (Call, Failed)> {
    let arn = match stream_arn {
        Some(arn) => arn.clone(),
        None => {
            let found = describe_stream(client, stream).await.map_err(|failed| (Call::DescribeStream, failed))?;
            stream_arn.insert(found).clone()
        }
    };
    let call = client.describe_stream_consumer().stream_arn(&arn).consumer_name(name);
    let described = call.send().await.map_err(|error| classify("Kinesis: DescribeStreamConsumer", error));
    let description = match described {
        Ok(output) => output.consumer_description,
        Err(failed) if failed.kind == FailureKind::NotFound => {
            return register(client, &arn, name).await.map_err(|failed| (Call::Register, failed));
        }
        Err(failed) => return Err((Call::DescribeConsumer, failed)),
    };
    Ok(match description {
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Active => Step::Active(consumer.consumer_arn),
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Deleting => Step::Waiting("DELETING"),
        Some(_) | None => Step::Waiting("CREATING"),
    })
}

async fn register(client: &aws_sdk_kinesis::Client, arn: &str, name: &str) -> Result<Step, Failed> {
    let call = client.register_stream_consumer().stream_arn(arn).consumer_name(name);
    call.send().await.map_err(|error| classify("Kinesis: RegisterStreamConsumer", error))?;
    tracing::info!(consumer = name, stream = arn, "registered the stream consumer");
    Ok(Step::Waiting("CREATING"))
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

#[cfg(test)]
#[path = "tests/registration.rs"]
mod tests;

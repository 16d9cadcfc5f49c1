//! Registers the stream consumer for enhanced fan-out.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::directory;
use crate::domain::{BindingError, FailureKind};
use crate::resilience::{Backoff, Waits};
use aws_sdk_kinesis::types::ConsumerStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After a call that was refused or failed. The causes (a limit, an endpoint that is down) usually last.
const RETRY: Backoff = Backoff::millis(2_000, 60_000);
/// Between two descriptions of a consumer that is not active yet; the service allows 20 a second for a stream.
const POLL: Backoff = Backoff::millis(500, 10_000);
/// How long a consumer may be inactive before the log has a warning, and how often the warning is repeated.
const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// With `fallback: shared`, how often a registration may be refused by a limit. Kinesis uses the same error for too many
/// consumers and for too many calls a second.
const MAX_LIMIT_ERRORS: u32 = 3;

/// How the consumer is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationSettings {
    /// Whether a missing consumer is registered (`createConsumer`).
    pub create: bool,
    /// Whether to wait without end for a stream that has reached its limit of consumers.
    pub wait_at_limit: bool,
}

impl Default for RegistrationSettings {
    /// Registers a missing consumer, and waits.
    fn default() -> Self {
        Self { create: true, wait_at_limit: true }
    }
}

/// Why there is no consumer.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Enhanced fan-out is not available: by a permission, by the limit of consumers, or because the consumer is missing and
    /// must not be created. Polling may be possible.
    #[error(transparent)]
    Refused(BindingError),
    #[error(transparent)]
    Failed(BindingError),
}

impl From<RegistrationError> for BindingError {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Refused(error) | RegistrationError::Failed(error) => error,
        }
    }
}

/// Registers the consumer `name` unless it exists, waits until it is active, and returns its ARN. It is never deregistered:
/// that would end the subscriptions of the other replicas. Temporary errors are logged and retried without end.
pub(super) async fn consumer_arn(
    connection: &Connection,
    stream: &StreamRef,
    name: &str,
    settings: RegistrationSettings,
) -> Result<String, RegistrationError> {
    let client = connection.kinesis();
    let mut stream_arn = stream.arn().map(str::to_owned);
    let mut pauses = Pauses::new(stream, name);
    loop {
        let wait = match step(&client, stream, name, &mut stream_arn, settings.create).await {
            Ok(Step::Active(arn)) => return Ok(arn),
            Ok(Step::Waiting(status)) => pauses.not_active(status, Instant::now()),
            Ok(Step::Missing) => return Err(RegistrationError::Refused(missing(stream, name))),
            Err((call, error)) if is_refusal(call, &error, pauses.register.taken(), settings) => {
                return Err(RegistrationError::Refused(registration_error(error, stream, name)));
            }
            Err((call, error)) if is_temporary(call, &error) => pauses.failed(call, &error),
            Err((_, error)) => return Err(RegistrationError::Failed(registration_error(error, stream, name))),
        };
        sleep(wait).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Active(String),
    Waiting(&'static str),
    /// The consumer does not exist and must not be created.
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    DescribeStream,
    DescribeConsumer,
    Register,
}

/// A registration is refused as a conflict while the stream or the consumer is being created or changed.
fn is_temporary(call: Call, error: &CallError) -> bool {
    error.kind.may_retry() || (call == Call::Register && error.is("ResourceInUseException"))
}

/// Whether enhanced fan-out is not available. `refused`: how often the registration was refused before.
fn is_refusal(call: Call, error: &CallError, refused: u32, settings: RegistrationSettings) -> bool {
    let is_limit = call == Call::Register && error.is("LimitExceededException");
    let is_at_limit = is_limit && !settings.wait_at_limit && refused >= MAX_LIMIT_ERRORS;
    // Other refusals are of the credentials, and concern polling too.
    is_at_limit || error.is("AccessDeniedException") || error.is("AccessDenied")
}

/// How long to wait. Each kind of call has its own backoff, which its own success resets.
#[derive(Debug)]
struct Pauses<'a> {
    stream: &'a StreamRef,
    consumer: &'a str,
    describe_stream: Waits,
    describe_consumer: Waits,
    register: Waits,
    poll: Waits,
    /// Since when the consumer exists, but is not active.
    inactive_since: Option<Instant>,
    warned_at: Option<Instant>,
}

impl<'a> Pauses<'a> {
    fn new(stream: &'a StreamRef, consumer: &'a str) -> Self {
        let waits = |backoff: Backoff| backoff.waits(fastrand::u64(..));
        Self {
            stream,
            consumer,
            describe_stream: waits(RETRY),
            describe_consumer: waits(RETRY),
            register: waits(RETRY),
            poll: waits(POLL),
            inactive_since: None,
            warned_at: None,
        }
    }

    fn not_active(&mut self, status: &str, now: Instant) -> Duration {
        self.describe_stream.reset();
        self.describe_consumer.reset();
        self.register.reset();
        let since = *self.inactive_since.get_or_insert(now);
        if now >= self.warned_at.unwrap_or(since) + WARN_INTERVAL {
            self.warned_at = Some(now);
            let (stream, consumer, waited) = (self.stream, self.consumer, now - since);
            let remedy = "check the stream's consumers, or set `mode: shared`";
            tracing::warn!(%stream, consumer, status, ?waited, remedy, "stream consumer did not become active");
        }
        self.poll.next_wait()
    }

    fn failed(&mut self, call: Call, error: &CallError) -> Duration {
        self.poll.reset();
        self.inactive_since = None;
        let (stream, consumer, reason) = (self.stream, self.consumer, &error.text);
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
        if error.is("LimitExceededException") && call == Call::Register {
            let limit = "20 consumers for each stream, 50 with on-demand advantage";
            let remedy = "deregister a consumer of the stream that is not used any more, or set `mode: shared`";
            tracing::warn!(%stream, consumer, limit, ?wait, reason, remedy, "stream consumer was not registered");
        } else if error.is("ResourceInUseException") && self.register.taken() == 1 {
            // Usually another replica was faster, and the next description finds the consumer.
            tracing::debug!(%stream, consumer, ?wait, reason, "stream consumer was not registered");
        } else {
            let remedy = "the call is retried; `mode: shared` needs no consumer";
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
    create: bool,
) -> Result<Step, (Call, CallError)> {
    let arn = match stream_arn {
        Some(arn) => arn.clone(),
        None => {
            let summary = directory::describe(client, stream).await.map_err(|error| (Call::DescribeStream, error))?;
            stream_arn.insert(summary.map(|summary| summary.stream_arn).unwrap_or_default()).clone()
        }
    };
    let call = client.describe_stream_consumer().stream_arn(&arn).consumer_name(name);
    let described = call.send().await.map_err(|error| classify("Kinesis: DescribeStreamConsumer", error));
    let description = match described {
        Ok(output) => output.consumer_description,
        Err(error) if error.kind == FailureKind::NotFound && !create => return Ok(Step::Missing),
        Err(error) if error.kind == FailureKind::NotFound => {
            return register(client, &arn, name).await.map_err(|error| (Call::Register, error));
        }
        Err(error) => return Err((Call::DescribeConsumer, error)),
    };
    Ok(match description {
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Active => Step::Active(consumer.consumer_arn),
        Some(consumer) if consumer.consumer_status == ConsumerStatus::Deleting => Step::Waiting("DELETING"),
        Some(_) | None => Step::Waiting("CREATING"),
    })
}

async fn register(client: &aws_sdk_kinesis::Client, arn: &str, name: &str) -> Result<Step, CallError> {
    let call = client.register_stream_consumer().stream_arn(arn).consumer_name(name);
    call.send().await.map_err(|error| classify("Kinesis: RegisterStreamConsumer", error))?;
    tracing::info!(consumer = name, stream = arn, "stream consumer registered");
    Ok(Step::Waiting("CREATING"))
}

fn missing(stream: &StreamRef, name: &str) -> BindingError {
    let text = format!(
        "the consumer {name} of stream {stream} is not registered, and `createConsumer` is `false`: register it \
         (`aws kinesis register-stream-consumer`), or leave `createConsumer` out"
    );
    BindingError::new(FailureKind::NotFound, text)
}

/// Whether the consumer with this ARN does not exist.
pub(super) async fn is_missing(client: &aws_sdk_kinesis::Client, consumer_arn: &str) -> bool {
    let described = client.describe_stream_consumer().consumer_arn(consumer_arn).send().await;
    let described = described.map_err(|error| classify("Kinesis: DescribeStreamConsumer", error));
    described.is_err_and(|error| error.kind == FailureKind::NotFound)
}

fn registration_error(mut error: CallError, stream: &StreamRef, name: &str) -> BindingError {
    error.text = format!("the consumer {name} of stream {stream} could not be registered: {}", error.text);
    error.into()
}

#[cfg(test)]
#[path = "tests/registration.rs"]
mod tests;

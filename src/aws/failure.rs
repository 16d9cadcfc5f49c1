//! SDK error → failure kind. The only place that reads error codes.

use super::advice;
use super::clock::ClockOffset;
use super::credentials::{NeverSent, NoCredentials};
use crate::domain::{BindingError, BoxError, FailureKind, LeaseError, Outcome, RetrievalError, ShardId, causes};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::event_stream::RawMessage;
use std::error::Error;
use std::fmt::Debug;
use std::io;

/// A failed call in our own words.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What it means.
    pub(crate) kind: FailureKind,
    /// Whether a write may have taken effect all the same.
    pub(crate) outcome: Outcome,
    /// Operation, code, the service's message and request id; safe to show to a caller.
    pub(crate) text: String,
    /// The service's error code, such as `ExpiredIteratorException`; `None` when the service did not answer.
    pub(crate) code: Option<String>,
    /// The service's id of the request, where it answered.
    pub(crate) request_id: Option<String>,
    /// The SDK's error.
    pub(crate) source: BoxError,
}

impl Failed {
    /// Whether the service gave this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// For [`crate::domain::RecordSource`] and its family: what was being done is put before the service's own text.
    pub(crate) fn retrieving(self, doing: &str) -> RetrievalError {
        let doing = format!("{doing}: {}", self.text);
        RetrievalError::Unavailable { doing, kind: self.kind, source: self.source }
    }

    /// As [`Failed::retrieving`], where `NotFound` and a refused position have words of their own.
    pub(crate) fn opening(self, shard: &ShardId, stream: &str) -> RetrievalError {
        if self.kind == FailureKind::NotFound {
            return RetrievalError::NotFound { what: format!("{shard} of stream {stream}"), source: self.source };
        }
        if self.is("InvalidArgumentException") {
            return RetrievalError::InvalidPosition { shard: shard.clone(), source: self.source };
        }
        self.retrieving(&format!("reading {shard} of stream {stream}"))
    }

    /// For the lease store.
    pub(crate) fn leasing(self, doing: &str) -> LeaseError {
        let doing = format!("{doing}: {}", self.text);
        LeaseError::Unavailable { doing, kind: self.kind, source: self.source }
    }
}

impl From<Failed> for BindingError {
    fn from(failed: Failed) -> Self {
        let missing = find::<NoCredentials>(failed.source.as_ref()).map(NoCredentials::retry_in);
        let error = Self::new(failed.kind, failed.text).with_outcome(failed.outcome).with_source(failed.source);
        // Before then the keeper of the credentials does not look again.
        let error = missing.into_iter().fold(error, Self::with_retry_after);
        let error = failed.code.into_iter().fold(error, |error, code| error.with_detail("code", code));
        failed.request_id.into_iter().fold(error, |error, id| error.with_detail("requestId", id))
    }
}

/// What we read from an answer whose body was an error or made no sense.
pub(crate) trait Answer: Debug {
    /// HTTP status; `None` inside an event stream.
    fn status(&self) -> Option<u16>;
    /// The service's id of the request.
    fn request_id(&self) -> Option<&str>;
    /// How far the local clock is off, where that explains a refusal with this code.
    fn clock_offset(&self, code: &str) -> Option<ClockOffset>;
}

impl Answer for HttpResponse {
    fn status(&self) -> Option<u16> {
        Some(self.status().as_u16())
    }

    fn request_id(&self) -> Option<&str> {
        self.headers().get("x-amzn-requestid").or_else(|| self.headers().get("x-amz-request-id"))
    }

    fn clock_offset(&self, code: &str) -> Option<ClockOffset> {
        ClockOffset::behind_refusal(self, code)
    }
}

impl Answer for RawMessage {
    fn status(&self) -> Option<u16> {
        None
    }

    fn request_id(&self) -> Option<&str> {
        None
    }

    fn clock_offset(&self, _code: &str) -> Option<ClockOffset> {
        None
    }
}

/// Says what a failed call means. `operation` is written as `Kinesis: PutRecord`.
pub(crate) fn classify<E, R>(operation: &'static str, error: SdkError<E, R>) -> Failed
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: Answer + Send + Sync + 'static,
{
    let status = error.raw_response().and_then(Answer::status);
    let request_id = error.raw_response().and_then(Answer::request_id).map(str::to_owned);
    let request = request_id.as_deref().unwrap_or("none");
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    let offset = code.as_deref().and_then(|code| error.raw_response()?.clock_offset(code));
    let (kind, outcome, detail) = match &error {
        SdkError::ServiceError(_) => {
            let (kind, outcome) = meaning(code.as_deref().unwrap_or_default(), status);
            let mut detail = answered(status, request, code.as_deref(), message);
            if kind == FailureKind::Unsupported {
                detail.push_str("; ");
                detail.push_str(advice::unsupported(operation));
            }
            match offset {
                Some(offset) => (FailureKind::Transient, outcome, format!("{detail}; the local clock is {offset}")),
                None => (kind, outcome, detail),
            }
        }
        SdkError::TimeoutError(_) => {
            (FailureKind::TimedOut, Outcome::Unknown, "the service did not answer in time".to_owned())
        }
        SdkError::DispatchFailure(failure) => dispatch(failure, &error),
        SdkError::ResponseError(_) => {
            let cause = deepest(&error);
            (FailureKind::Transient, Outcome::Unknown, format!("{}{cause}", answered(status, request, None, None)))
        }
        SdkError::ConstructionFailure(_) => unsent(&error),
        // The SDK's enum is open; what it may add is treated like a lost reply.
        other => (FailureKind::Transient, Outcome::Unknown, deepest(other)),
    };
    let text = format!("operation error {operation}, {detail}");
    Failed { kind, outcome, text, code, request_id, source: Box::new(error) }
}

/// Says what the failure of one entry of an answer means, such as one record of `PutRecords`. The service names what it
/// did not do, so a code that nobody knows is told to the caller and not tried again.
pub(crate) fn entry_failure(operation: &'static str, code: &str, message: Option<&str>) -> Failed {
    let (kind, outcome) = by_code(code).unwrap_or((FailureKind::Permanent, Outcome::NotDone));
    let text = format!("operation error {operation}, {code}: {}", message.unwrap_or_default());
    Failed { kind, outcome, source: text.clone().into(), text, code: Some(code.to_owned()), request_id: None }
}

fn answered(status: Option<u16>, request: &str, code: Option<&str>, message: Option<&str>) -> String {
    let mut text = match status {
        Some(status) => format!("https response error StatusCode: {status}, RequestID: {request}, "),
        None => String::new(),
    };
    if let Some(code) = code {
        text.push_str(code);
        text.push_str(": ");
    }
    text.push_str(message.unwrap_or_default());
    text
}

/// By code, else by status. A code outranks the status: emulators and proxies are careless with the latter. The exception
/// is 501 with a code for failures inside the service, as LocalStack answers for what it does not have.
fn meaning(code: &str, status: Option<u16>) -> (FailureKind, Outcome) {
    match by_code(code) {
        Some((FailureKind::Transient, _)) if status == Some(501) => by_status(status),
        Some(meaning) => meaning,
        None => by_status(status),
    }
}

fn by_code(code: &str) -> Option<(FailureKind, Outcome)> {
    let internal = ["InternalFailure", "InternalServer", "ServiceUnavailable"];
    if internal.iter().any(|word| code.starts_with(word)) {
        return Some((FailureKind::Transient, Outcome::Unknown));
    }
    // The same transaction was sent before and is under way: it may be carried out yet.
    if code == "TransactionInProgressException" {
        return Some((FailureKind::Throttled, Outcome::Unknown));
    }
    kind_of(code).map(|kind| (kind, Outcome::NotDone))
}

fn kind_of(code: &str) -> Option<FailureKind> {
    use FailureKind::{Caller, Conflict, Denied, NotFound, Permanent, Throttled, TooLarge, Transient, Unsupported};
    let kind = match code {
        "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "SlowDown"
        | "PriorRequestNotComplete" => Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "KMSAccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "OptInRequired"
        | "KMSOptInRequired" => Denied,
        "ResourceNotFoundException" | "TableNotFoundException" => NotFound,
        "ConditionalCheckFailedException"
        | "ResourceInUseException"
        | "TransactionCanceledException"
        | "TransactionConflictException"
        | "IdempotentParameterMismatchException"
        | "DuplicateItemException" => Conflict,
        "ItemCollectionSizeLimitExceededException" | "RequestEntityTooLarge" => TooLarge,
        "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "ExpiredIteratorException"
        | "ExpiredNextTokenException"
        | "MalformedQueryString"
        | "InvalidParameterValue" => Caller,
        "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" | "DryRunOperationException" => {
            Permanent
        }
        "UnknownOperationException"
        | "UnknownOperation"
        | "UnsupportedOperationException"
        | "UnsupportedOperation"
        | "InvalidAction"
        | "NotImplemented"
        | "NotImplementedException" => Unsupported,
        "RequestTimeout" | "RequestTimeoutException" | "RequestExpired" => Transient,
        _ => return None,
    };
    Some(kind)
}

fn by_status(status: Option<u16>) -> (FailureKind, Outcome) {
    match status {
        Some(401 | 403) => (FailureKind::Denied, Outcome::NotDone),
        Some(404) => (FailureKind::NotFound, Outcome::NotDone),
        Some(405 | 501) => (FailureKind::Unsupported, Outcome::NotDone),
        Some(413) => (FailureKind::TooLarge, Outcome::NotDone),
        Some(429) => (FailureKind::Throttled, Outcome::NotDone),
        Some(400..=499) => (FailureKind::Caller, Outcome::NotDone),
        Some(500..) | None => (FailureKind::Transient, Outcome::Unknown),
        Some(_) => (FailureKind::Permanent, Outcome::Unknown),
    }
}

/// The call was not answered. Without proof that no connection was made, the request may have arrived.
fn dispatch(failure: &DispatchFailure, error: &(dyn Error + 'static)) -> (FailureKind, Outcome, String) {
    if find::<CredentialsError>(error).is_some() || find::<NeverSent>(error).is_some() {
        return unsent(error);
    }
    if failure.is_user() {
        return (FailureKind::Permanent, Outcome::NotDone, deepest(error));
    }
    if never_connected(error) {
        let text = format!("the endpoint could not be reached: {}{}", deepest(error), advice::unreachable(error));
        return (FailureKind::Transient, Outcome::NotDone, text);
    }
    let kind = if failure.is_timeout() { FailureKind::TimedOut } else { FailureKind::Transient };
    (kind, Outcome::Unknown, format!("the connection failed: {}{}", deepest(error), advice::unreachable(error)))
}

/// The request never left us: no credentials, no time, or a request that cannot be built, addressed or signed.
fn unsent(error: &(dyn Error + 'static)) -> (FailureKind, Outcome, String) {
    if find::<CredentialsError>(error).is_some() {
        return (FailureKind::Unavailable, Outcome::NotDone, deepest(error));
    }
    if find::<NeverSent>(error).is_some_and(|unsent| unsent.is_late) {
        return (FailureKind::TimedOut, Outcome::NotDone, "the request was not sent in time".to_owned());
    }
    (FailureKind::Caller, Outcome::NotDone, format!("the request cannot be sent: {}", deepest(error)))
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The HTTP client tells a failed connect by its text alone ("client error (Connect)", "HTTP connect timeout …").
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let text = cause.to_string();
        let refused = cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
            )
        });
        refused || text.contains("(Connect)") || text.contains("HTTP connect timeout") || text.starts_with("dns error")
    })
}

#[cfg(test)]
#[path = "tests/failure.rs"]
mod tests;

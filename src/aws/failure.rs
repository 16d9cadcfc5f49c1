//! What a failed call means: from the SDK's error to a failure kind, an outcome and a text with a remedy.

use super::advice;
use super::clock::ClockSkew;
use super::unsent::{NeverSent, NoCredentials};
use crate::domain::{BindingError, BoxError, FailureKind, LeaseError, Outcome, RetrievalError, ShardId, causes};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::event_stream::RawMessage;
use std::error::Error;
use std::fmt::Debug;
use std::io;

#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) kind: FailureKind,
    /// Whether a write may have taken effect.
    pub(crate) outcome: Outcome,
    /// Operation, code, the service's message and request id; safe to show to a caller.
    pub(crate) text: String,
    /// The service's error code, such as `ExpiredIteratorException`; `None` without a response.
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) source: BoxError,
}

impl CallError {
    pub(crate) fn new(kind: FailureKind, outcome: Outcome, text: String) -> Self {
        Self { kind, outcome, source: text.clone().into(), text, code: None, request_id: None }
    }

    /// Whether the service returned this error code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// `doing` is put before the service's text.
    pub(crate) fn into_retrieval_error(self, doing: &str) -> RetrievalError {
        let doing = format!("{doing}: {}", self.text);
        RetrievalError::Unavailable { doing, kind: self.kind, source: self.source }
    }

    /// The error of reading a shard, where a missing stream and a refused position have variants of their own.
    pub(crate) fn into_read_error(self, shard: &ShardId, stream: &str) -> RetrievalError {
        if self.kind == FailureKind::NotFound {
            return RetrievalError::NotFound { what: format!("{shard} of stream {stream}"), source: self.source };
        }
        if self.is("InvalidArgumentException") {
            return RetrievalError::InvalidPosition { shard: shard.clone(), source: self.source };
        }
        self.into_retrieval_error(&format!("reading {shard} of stream {stream}"))
    }

    /// `doing` is put before the service's text.
    pub(crate) fn into_lease_error(self, doing: &str) -> LeaseError {
        let doing = format!("{doing}: {}", self.text);
        LeaseError::Unavailable { doing, kind: self.kind, source: self.source }
    }
}

impl From<CallError> for BindingError {
    fn from(call: CallError) -> Self {
        let missing = find::<NoCredentials>(call.source.as_ref()).map(NoCredentials::retry_in);
        let error = Self::new(call.kind, call.text).with_outcome(call.outcome).with_source(call.source);
        // The sources of credentials are not tried again before that.
        let error = missing.into_iter().fold(error, Self::with_retry_after);
        let error = call.code.into_iter().fold(error, |error, code| error.with_detail("code", code));
        call.request_id.into_iter().fold(error, |error, id| error.with_detail("requestId", id))
    }
}

/// A response that was an error or could not be read: of HTTP, or a message of an event stream.
pub(crate) trait ErrorResponse: Debug {
    fn http(&self) -> Option<&HttpResponse>;
}

impl ErrorResponse for HttpResponse {
    fn http(&self) -> Option<&HttpResponse> {
        Some(self)
    }
}

impl ErrorResponse for RawMessage {
    fn http(&self) -> Option<&HttpResponse> {
        None
    }
}

/// The meaning of a failed call. `operation` is written as `Kinesis: PutRecord`.
pub(crate) fn classify<E, R>(operation: &'static str, error: SdkError<E, R>) -> CallError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: ErrorResponse + Send + Sync + 'static,
{
    let response = error.raw_response().and_then(ErrorResponse::http);
    let status = response.map(|response| response.status().as_u16());
    let header = |name| response.and_then(|response| response.headers().get(name)).map(str::to_owned);
    let request_id = header("x-amzn-requestid").or_else(|| header("x-amz-request-id"));
    let request = request_id.as_deref().unwrap_or("none");
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    let skew = code.as_deref().and_then(|code| ClockSkew::explaining(response?, code));
    let (kind, outcome, detail) = match &error {
        SdkError::ServiceError(_) => {
            let (kind, outcome) = by_code_or_status(code.as_deref().unwrap_or_default(), status);
            let mut detail = response_text(status, request, code.as_deref(), message);
            if kind == FailureKind::Unsupported {
                detail.push_str("; ");
                detail.push_str(advice::unsupported(operation));
            }
            match skew {
                Some(skew) => (FailureKind::Transient, outcome, format!("{detail}; the local clock is {skew}")),
                None => (kind, outcome, detail),
            }
        }
        SdkError::TimeoutError(_) => {
            (FailureKind::TimedOut, Outcome::Unknown, "the service did not answer in time".to_owned())
        }
        SdkError::DispatchFailure(failure) => dispatch_failure(failure, &error),
        SdkError::ResponseError(_) => {
            let cause = root_cause(&error);
            (FailureKind::Transient, Outcome::Unknown, format!("{}{cause}", response_text(status, request, None, None)))
        }
        SdkError::ConstructionFailure(_) => unsent(&error),
        // The SDK's enum is open: a variant that it adds is treated like a lost response.
        other => (FailureKind::Transient, Outcome::Unknown, root_cause(other)),
    };
    let text = format!("operation error {operation}, {detail}");
    CallError { kind, outcome, text, code, request_id, source: Box::new(error) }
}

/// The meaning of an error response that was read without the SDK.
pub(crate) fn classify_response(
    operation: &'static str,
    status: u16,
    request_id: Option<String>,
    code: Option<String>,
    message: Option<&str>,
) -> CallError {
    let (kind, outcome) = by_code_or_status(code.as_deref().unwrap_or_default(), Some(status));
    let request = request_id.as_deref().unwrap_or("none");
    let detail = response_text(Some(status), request, code.as_deref(), message);
    let text = format!("operation error {operation}, {detail}");
    CallError { code, request_id, ..CallError::new(kind, outcome, text) }
}

/// The meaning of one failed entry of a response, such as one record of `PutRecords`. The service lists the entries that it
/// did not store, so the entry of an unknown code is not done, and not retried.
pub(crate) fn classify_entry(operation: &'static str, code: &str, message: Option<&str>) -> CallError {
    let (kind, outcome) = by_code(code).unwrap_or((FailureKind::Permanent, Outcome::NotDone));
    let text = format!("operation error {operation}, {code}: {}", message.unwrap_or_default());
    CallError { code: Some(code.to_owned()), ..CallError::new(kind, outcome, text) }
}

fn response_text(status: Option<u16>, request: &str, code: Option<&str>, message: Option<&str>) -> String {
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

/// Error codes by their meaning. Nothing was done in all of these cases.
const CODES: [(FailureKind, &str); 9] = [
    (
        FailureKind::Throttled,
        "ProvisionedThroughputExceededException KMSThrottlingException Throttling ThrottlingException ThrottledException \
         RequestThrottled RequestThrottledException TooManyRequestsException RequestLimitExceeded \
         BandwidthLimitExceeded LimitExceededException SlowDown PriorRequestNotComplete",
    ),
    (
        FailureKind::Denied,
        "AccessDeniedException AccessDenied KMSAccessDeniedException UnrecognizedClientException InvalidClientTokenId \
         InvalidSignatureException SignatureDoesNotMatch MissingAuthenticationToken MissingAuthenticationTokenException \
         IncompleteSignature IncompleteSignatureException ExpiredToken ExpiredTokenException OptInRequired \
         KMSOptInRequired",
    ),
    (FailureKind::NotFound, "ResourceNotFoundException TableNotFoundException"),
    (
        FailureKind::Conflict,
        "ConditionalCheckFailedException ResourceInUseException TransactionCanceledException \
         TransactionConflictException IdempotentParameterMismatchException DuplicateItemException",
    ),
    (FailureKind::TooLarge, "ItemCollectionSizeLimitExceededException RequestEntityTooLarge"),
    (
        FailureKind::Caller,
        "InvalidArgumentException ValidationException ValidationError SerializationException ExpiredIteratorException \
         ExpiredNextTokenException MalformedQueryString InvalidParameterValue",
    ),
    (
        FailureKind::Permanent,
        "KMSDisabledException KMSInvalidStateException KMSNotFoundException DryRunOperationException",
    ),
    (
        FailureKind::Unsupported,
        "UnknownOperationException UnknownOperation UnsupportedOperationException UnsupportedOperation InvalidAction \
         NotImplemented NotImplementedException",
    ),
    (FailureKind::Transient, "RequestTimeout RequestTimeoutException RequestExpired"),
];

/// The code outranks the status, which emulators and proxies often get wrong. The exception is 501 with a code for failures
/// inside the service: LocalStack returns that for operations that it does not have.
fn by_code_or_status(code: &str, status: Option<u16>) -> (FailureKind, Outcome) {
    match by_code(code) {
        Some((FailureKind::Transient, _)) if status == Some(501) => by_status(status),
        Some(known) => known,
        None => by_status(status),
    }
}

fn by_code(code: &str) -> Option<(FailureKind, Outcome)> {
    let internal = ["InternalFailure", "InternalServer", "ServiceUnavailable"];
    if internal.iter().any(|word| code.starts_with(word)) {
        return Some((FailureKind::Transient, Outcome::Unknown));
    }
    // The same transaction was sent before and is still running.
    if code == "TransactionInProgressException" {
        return Some((FailureKind::Throttled, Outcome::Unknown));
    }
    let is_listed = |(_, codes): &&(FailureKind, &str)| codes.split_ascii_whitespace().any(|known| known == code);
    CODES.iter().find(is_listed).map(|(kind, _)| (*kind, Outcome::NotDone))
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

/// There was no response. Without proof that no connection was made, the request may have arrived.
fn dispatch_failure(failure: &DispatchFailure, error: &(dyn Error + 'static)) -> (FailureKind, Outcome, String) {
    if find::<CredentialsError>(error).is_some() || find::<NeverSent>(error).is_some() {
        return unsent(error);
    }
    if failure.is_user() {
        return (FailureKind::Permanent, Outcome::NotDone, root_cause(error));
    }
    if never_connected(error) {
        let text = format!("the endpoint could not be reached: {}{}", root_cause(error), advice::unreachable(error));
        return (FailureKind::Transient, Outcome::NotDone, text);
    }
    let kind = if failure.is_timeout() { FailureKind::TimedOut } else { FailureKind::Transient };
    (kind, Outcome::Unknown, format!("the connection failed: {}{}", root_cause(error), advice::unreachable(error)))
}

/// The request was not sent: no credentials, no time, or it cannot be built, addressed or signed.
fn unsent(error: &(dyn Error + 'static)) -> (FailureKind, Outcome, String) {
    if find::<CredentialsError>(error).is_some() {
        return (FailureKind::Unavailable, Outcome::NotDone, root_cause(error));
    }
    if find::<NeverSent>(error).is_some_and(|unsent| unsent.is_late) {
        return (FailureKind::TimedOut, Outcome::NotDone, "the request was not sent in time".to_owned());
    }
    (FailureKind::Caller, Outcome::NotDone, format!("the request cannot be sent: {}", root_cause(error)))
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The HTTP client shows a failed connect only in its text ("client error (Connect)", "HTTP connect timeout …").
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

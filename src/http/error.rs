//! Failures on the wire. The only place that chooses their status codes.

use crate::domain::{FailureKind, Outcome};
use crate::runtime::InvokeError;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// How failures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// True statuses; additions to Dapr's shape where they help.
    True,
    /// Dapr's statuses and shapes, exactly.
    Strict,
}

/// What a client hears when a limit was met and nobody knows for how long.
const TRY_AGAIN_SOON: Duration = Duration::from_secs(1);
/// Said after the message when the effect of a request is not known.
const AMBIGUOUS: &str = " (the outcome is unknown: the request may have been carried out)";

/// The request could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedRequest {
    /// The body is larger than `--max-body-size`.
    #[error("failed deserializing HTTP body: stream too large")]
    TooLarge,
    /// The body is not the JSON that is expected; the text after the colon follows Go's.
    #[error("failed deserializing HTTP body: {0}")]
    Body(String),
    /// The `baggage` header breaks W3C's grammar.
    #[error("invalid baggage header: {0}")]
    Baggage(&'static str),
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "errorCode")]
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[ErrorInfo<'a>; 1]>,
}

/// Dapr's rich error detail, in the JSON form of `google.rpc.ErrorInfo`.
#[derive(Serialize)]
struct ErrorInfo<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    reason: &'a str,
    domain: &'static str,
    metadata: Ambiguous,
}

#[derive(Serialize)]
struct Ambiguous {
    ambiguous: &'static str,
}

/// The answer to a call that failed.
pub(super) fn invoke_failed(name: &str, error: &InvokeError, manners: Manners) -> Response {
    const CODE: &str = "ERR_INVOKE_OUTPUT_BINDING";
    let message = format!("error invoking output binding {name}: {error}");
    match manners {
        Manners::Strict => json(StatusCode::INTERNAL_SERVER_ERROR, CODE, &message),
        Manners::True => {
            let mut answer = match error.outcome() {
                Outcome::NotDone => json(status(error.kind()), CODE, &message),
                Outcome::Unknown => ambiguous(status(error.kind()), CODE, &message),
            };
            if let Some(wait) = retry_after(error) {
                answer.headers_mut().insert(RETRY_AFTER, seconds(wait));
            }
            answer
        }
    }
}

/// The answer to a request that could not be read.
pub(super) fn malformed(error: &MalformedRequest, manners: Manners) -> Response {
    let status = match (error, manners) {
        (MalformedRequest::TooLarge, Manners::True) => StatusCode::PAYLOAD_TOO_LARGE,
        (MalformedRequest::TooLarge, Manners::Strict)
        | (MalformedRequest::Body(_) | MalformedRequest::Baggage(_), Manners::True | Manners::Strict) => {
            StatusCode::BAD_REQUEST
        }
    };
    json(status, "ERR_MALFORMED_REQUEST", &error.to_string())
}

/// The answer to a path that is not a route; Dapr takes each such request for a service invocation.
pub(super) fn no_route() -> Response {
    let message = "failed getting app id either from the URL path or the header dapr-app-id";
    json(StatusCode::NOT_FOUND, "ERR_DIRECT_INVOKE", message)
}

/// The answer to a name with a bad escape.
pub(super) fn bad_escape(escape: &str) -> Response {
    let reason = format!("failed to unescape request parameter \"name\". Error: invalid URL escape {escape:?}");
    text(StatusCode::BAD_REQUEST, reason)
}

/// The answer to a missing or wrong API token.
pub(super) fn bad_token() -> Response {
    let mut answer = text(StatusCode::UNAUTHORIZED, "invalid api token\n".to_owned());
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// The answer of a health route that is not content.
pub(super) fn unhealthy(code: &str, message: &str) -> Response {
    json(StatusCode::INTERNAL_SERVER_ERROR, code, message)
}

/// The answer to a request whose handler broke; the cause is in the log.
pub(super) fn internal() -> Response {
    let message = "the sidecar met a defect of its own; the log of the sidecar tells more";
    ambiguous(StatusCode::INTERNAL_SERVER_ERROR, "ERR_INTERNAL", message)
}

const fn status(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Caller => StatusCode::BAD_REQUEST,
        FailureKind::Denied => StatusCode::FORBIDDEN,
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::Conflict => StatusCode::CONFLICT,
        FailureKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FailureKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        FailureKind::Permanent | FailureKind::Transient => StatusCode::BAD_GATEWAY,
        FailureKind::Unavailable | FailureKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
        FailureKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn retry_after(error: &InvokeError) -> Option<Duration> {
    match error.kind() {
        FailureKind::Throttled | FailureKind::Transient | FailureKind::Unavailable | FailureKind::Closed => {
            Some(error.retry_after().unwrap_or(TRY_AGAIN_SOON))
        }
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::Denied
        | FailureKind::TimedOut
        | FailureKind::Permanent => error.retry_after(),
    }
}

/// Whole seconds, rounded up: the header knows no smaller unit, and 0 would invite a storm.
fn seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

fn json(status: StatusCode, code: &str, message: &str) -> Response {
    render(status, &ErrorBody { code, message, details: None })
}

fn ambiguous(status: StatusCode, code: &str, message: &str) -> Response {
    let info = ErrorInfo {
        kind: "type.googleapis.com/google.rpc.ErrorInfo",
        reason: code,
        domain: "dapr.io",
        metadata: Ambiguous { ambiguous: "true" },
    };
    render(status, &ErrorBody { code, message: &format!("{message}{AMBIGUOUS}"), details: Some([info]) })
}

fn render(status: StatusCode, body: &ErrorBody<'_>) -> Response {
    // Strings and a fixed shape: serialising cannot fail, and if it did, the status still tells.
    let body = serde_json::to_vec(body).unwrap_or_default();
    answer(status, "application/json", body)
}

fn text(status: StatusCode, body: String) -> Response {
    answer(status, "text/plain; charset=utf-8", body.into_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

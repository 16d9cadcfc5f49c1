//! Failures on the wire. A kind's status is the domain's word; everything else about the answer is chosen here.

use crate::domain::{BindingError, FailureKind, Outcome};
use crate::runtime::InvokeError;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// How failures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// True statuses; additions to Dapr's shape where they help.
    True,
    /// Dapr's statuses and shapes, exactly.
    Strict,
}

/// Dapr's code for every call of a binding that was read and could not be done.
const FAILED: &str = "ERR_INVOKE_OUTPUT_BINDING";
/// What a client hears when a limit was met and nobody knows for how long.
const TRY_AGAIN_SOON: Duration = Duration::from_secs(1);
/// Said after the message when the effect of a request is not known.
const AMBIGUOUS: &str = " (the outcome is unknown: the request may have been carried out)";

/// Said after the message when a body was perhaps meant as the data itself.
const RAW_BODY_HINT: &str = "; a body is the data itself only for a Kinesis component with `allowRawBody: \"true\"`, sent \
                             with `Content-Type: application/octet-stream`";

/// What a body that was read as a request may have been meant as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant {
    /// A request.
    Request,
    /// The data itself.
    Data,
}

/// The request could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedRequest {
    /// The body is larger than `--max-body-size`, or than all of `--max-buffer`.
    #[error("failed deserializing HTTP body: stream too large")]
    TooLarge {
        /// What it may have, in bytes.
        limit: usize,
    },
    /// The bodies of other requests take all of `--max-buffer`.
    #[error(
        "the sidecar holds as many request bodies as it may (--max-buffer, {limit} bytes): try again soon, or send fewer \
         at once"
    )]
    BufferFull {
        /// What all bodies together may have, in bytes.
        limit: usize,
    },
    /// The body is not the JSON that is expected; the text after the colon follows Go's.
    #[error("failed deserializing HTTP body: {0}")]
    Body(String),
    /// The same of a body that was perhaps meant as the data itself. Dapr has no such bodies.
    #[error("failed deserializing HTTP body: {0}{RAW_BODY_HINT}")]
    RawBody(String),
    /// The client stopped sending in the middle of the body.
    #[error("failed deserializing HTTP body: the client sent nothing for a minute")]
    Stalled,
    /// A header with metadata beside a raw body cannot be read.
    #[error("failed reading the header {0}: its value must be UTF-8")]
    Metadata(String),
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

/// Dapr's rich error detail, in the JSON form of `google.rpc.ErrorInfo`. Dapr has none for bindings over HTTP; a reader
/// of its form passes over a field that it does not know.
#[derive(Serialize)]
struct ErrorInfo<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    reason: &'a str,
    domain: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<&'a str, Cow<'a, str>>,
}

/// Facts by name; of two with one name the later counts.
type Map<K, V> = BTreeMap<K, V>;

impl<'a> ErrorInfo<'a> {
    const fn new(reason: &'a str, metadata: Map<&'a str, Cow<'a, str>>) -> Self {
        Self { kind: "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "dapr.io", metadata }
    }
}

/// The answer to a call that failed. `meant` is what the body may have been meant as.
pub(super) fn invoke_failed(name: &str, error: &InvokeError, meant: Meant, manners: Manners) -> Response {
    let mut message = failed_text(name, error);
    if manners == Manners::Strict {
        return json(StatusCode::INTERNAL_SERVER_ERROR, FAILED, &message);
    }
    message.push_str(match meant {
        Meant::Request => "",
        Meant::Data => RAW_BODY_HINT,
    });
    let binding = error.binding_error();
    let facts = binding.map_or(&[][..], BindingError::details);
    let mut metadata: Map<_, _> = facts.iter().map(|(key, value)| (*key, Cow::Borrowed(value.as_str()))).collect();
    if error.outcome() == Outcome::Unknown {
        message.push_str(AMBIGUOUS);
        metadata.insert("ambiguous", Cow::Borrowed("true"));
    }
    let reason = binding.and_then(BindingError::reason).unwrap_or_else(|| error.kind().reason());
    let details = Some([ErrorInfo::new(reason, metadata)]);
    let mut answer = render(status(error.kind()), &ErrorBody { code: FAILED, message: &message, details });
    if let Some(wait) = retry_after(error) {
        answer.headers_mut().insert(RETRY_AFTER, seconds(wait));
    }
    if binding.is_some_and(BindingError::is_dead_lettered) {
        answer.headers_mut().insert("metadata.deadlettered", HeaderValue::from_static("true"));
    }
    answer
}

/// Dapr's form.
fn failed_text(name: &str, error: &dyn std::error::Error) -> String {
    format!("error invoking output binding {name}: {error}")
}

/// The answer to a request that could not be read.
pub(super) fn unread(name: &str, error: &MalformedRequest, manners: Manners) -> Response {
    match error {
        MalformedRequest::BufferFull { limit } => buffer_full(&failed_text(name, error), *limit, manners),
        MalformedRequest::TooLarge { limit } => {
            let limit = Map::from([("limit", Cow::Owned(limit.to_string()))]);
            malformed(error, StatusCode::PAYLOAD_TOO_LARGE, ErrorInfo::new("TOO_LARGE", limit), manners)
        }
        MalformedRequest::Stalled => {
            malformed(error, StatusCode::REQUEST_TIMEOUT, ErrorInfo::new("MALFORMED", Map::new()), manners)
        }
        MalformedRequest::Body(_)
        | MalformedRequest::RawBody(_)
        | MalformedRequest::Metadata(_)
        | MalformedRequest::Baggage(_) => {
            malformed(error, StatusCode::BAD_REQUEST, ErrorInfo::new("MALFORMED", Map::new()), manners)
        }
    }
}

/// Nothing is wrong with the request. Dapr has no such limit; whoever meets it must be able to tell it from a bad
/// request, so the status is true in either manner.
fn buffer_full(message: &str, limit: usize, manners: Manners) -> Response {
    let limit = Map::from([("limit", Cow::Owned(limit.to_string()))]);
    let details = match manners {
        Manners::True => Some([ErrorInfo::new("UNAVAILABLE", limit)]),
        Manners::Strict => None,
    };
    let body = ErrorBody { code: FAILED, message, details };
    let mut answer = render(StatusCode::SERVICE_UNAVAILABLE, &body);
    answer.headers_mut().insert(RETRY_AFTER, seconds(TRY_AGAIN_SOON));
    answer
}

fn malformed(error: &MalformedRequest, status: StatusCode, info: ErrorInfo<'_>, manners: Manners) -> Response {
    const CODE: &str = "ERR_MALFORMED_REQUEST";
    match (manners, error) {
        (Manners::Strict, MalformedRequest::RawBody(problem)) => {
            let in_words_of_dapr = MalformedRequest::Body(problem.clone()).to_string();
            json(StatusCode::BAD_REQUEST, CODE, &in_words_of_dapr)
        }
        (Manners::Strict, _) => json(StatusCode::BAD_REQUEST, CODE, &error.to_string()),
        (Manners::True, _) => {
            render(status, &ErrorBody { code: CODE, message: &error.to_string(), details: Some([info]) })
        }
    }
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
    text(StatusCode::UNAUTHORIZED, "invalid api token\n".to_owned())
}

/// The answer to a request that is not let in; the message says what to set.
pub(super) fn forbidden(message: &str) -> Response {
    json(StatusCode::FORBIDDEN, "ERR_FORBIDDEN", message)
}

/// The answer of a health route that is not content.
pub(super) fn unhealthy(code: &str, message: &str) -> Response {
    json(StatusCode::INTERNAL_SERVER_ERROR, code, message)
}

/// The answer to a request whose handler broke; the cause is in the log.
pub(super) fn internal() -> Response {
    let message = "the sidecar met a defect of its own; the log of the sidecar tells more";
    let metadata = Map::from([("ambiguous", Cow::Borrowed("true"))]);
    let details = Some([ErrorInfo::new("INTERNAL", metadata)]);
    let message = &format!("{message}{AMBIGUOUS}");
    render(StatusCode::INTERNAL_SERVER_ERROR, &ErrorBody { code: "ERR_INTERNAL", message, details })
}

/// The kinds' own statuses are all ones that exist.
fn status(kind: FailureKind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
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
        | FailureKind::Permanent
        | FailureKind::Unsupported => error.retry_after(),
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

fn render(status: StatusCode, body: &ErrorBody<'_>) -> Response {
    // Strings and a fixed shape: serialising cannot fail, and if it did, the status still tells.
    let body = serde_json::to_vec(body).unwrap_or_default();
    answer(status, "application/json", body)
}

/// Part of the text may be the caller's, so a browser must not guess at another type.
fn text(status: StatusCode, body: String) -> Response {
    let mut answer = answer(status, "text/plain; charset=utf-8", body.into_bytes());
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

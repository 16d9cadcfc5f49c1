//! Failures as HTTP responses. The status of each is chosen here; that of a failed call comes from its `FailureKind`.

use super::component_calls::{ComponentRefusal, DocumentFault, RefusalKind};
use crate::domain::{BindingError, BodyMemoryFull};
use crate::runtime::{AMBIGUOUS, DEFAULT_RETRY_AFTER, FailureReport, InvokeError};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorFormat {
    /// A status for each kind of failure, and Dapr's JSON with `details`.
    Precise,
    /// Dapr's statuses, JSON and texts, exactly (`--strict-dapr-errors`).
    Dapr,
}

/// Dapr's code for every failed call of a binding.
const INVOKE_FAILED: &str = "ERR_INVOKE_OUTPUT_BINDING";
/// The code of a call of a component that is disabled, which Dapr does not have.
const DISABLED: &str = "ERR_BINDING_DISABLED";
/// Dapr's code for every request that cannot be read.
const MALFORMED: &str = "ERR_MALFORMED_REQUEST";
/// Follows the message when the body may be raw data.
const RAW_BODY_HINT: &str = "; a body is the data itself only for a Kinesis component with `allowRawBody: \"true\"`, sent \
                             with `Content-Type: application/octet-stream`";

/// What the client probably sent in a body that was read as a JSON request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Request,
    /// Raw data, for which the error has a hint.
    Data,
}

/// A request that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRequest {
    /// The body is larger than `--max-body-size`, or than all of `--max-buffer`.
    #[error("failed deserializing HTTP body: stream too large")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// Other bodies fill `--max-buffer`.
    #[error(transparent)]
    BufferFull(#[from] BodyMemoryFull),
    /// The body is not a JSON request; the text after the colon follows that of Go's decoder.
    #[error("failed deserializing HTTP body: {0}")]
    Body(String),
    /// The body is not JSON. The text is that of Go's decoder; the place follows it, which Go does not tell.
    #[error("failed deserializing HTTP body: {problem} (line {line} column {column})")]
    Syntax { problem: String, line: usize, column: usize },
    /// The same for a body that may be raw data, which Dapr does not have.
    #[error("failed deserializing HTTP body: {0}{RAW_BODY_HINT}")]
    RawBody(String),
    /// The client stopped sending in the middle of the body.
    #[error("failed deserializing HTTP body: the client sent nothing for a minute")]
    Stalled,
    /// A metadata header of a raw body is not UTF-8.
    #[error("failed reading the header {0}: its value must be UTF-8")]
    Metadata(String),
    /// The `baggage` header does not follow W3C's grammar.
    #[error("invalid baggage header: {0}")]
    Baggage(&'static str),
}

/// Code and category of the error in a response, for Dapr's metric of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorCode(pub(super) &'static str, pub(super) &'static str);

impl ErrorCode {
    /// The category is that of daprd.
    fn new(code: &'static str) -> Self {
        let category = match code {
            INVOKE_FAILED | DISABLED => "binding",
            "ERR_DIRECT_INVOKE" => "service-invocation",
            code if code.contains("HEALTH") => "health",
            _ => "common",
        };
        Self(code, category)
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "errorCode")]
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[ErrorInfo<'a>; 1]>,
}

/// Dapr's rich error detail, `google.rpc.ErrorInfo` in JSON. Dapr sends none for bindings over HTTP, and its clients
/// ignore fields that they do not know.
#[derive(Serialize)]
struct ErrorInfo<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    reason: &'a str,
    domain: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<&'a str, Cow<'a, str>>,
}

type Map<K, V> = BTreeMap<K, V>;

impl<'a> ErrorInfo<'a> {
    const fn new(reason: &'a str, metadata: Map<&'a str, Cow<'a, str>>) -> Self {
        Self { kind: "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "dapr.io", metadata }
    }
}

/// A failed request, on its way to a response.
#[derive(Debug)]
pub(super) enum ApiError<'a> {
    /// No endpoint has this method and path, which may belong to another part of Dapr's API.
    NotFound { block: Option<&'static str>, is_public: bool, format: ErrorFormat },
    /// The `baggage` header is invalid.
    Baggage { error: MalformedRequest, format: ErrorFormat },
    /// The metadata of the sidecar is full.
    MetadataFull(String),
    /// A parameter in the path has this bad escape.
    BadEscape { parameter: &'static str, escape: &'a str },
    /// The API token is missing or wrong.
    BadToken,
    /// The token is missing or wrong for a request that changes what runs; with the variable that has it.
    BadAdminToken { variable: &'static str },
    /// A call of the components API was refused.
    Component(&'a ComponentRefusal),
    /// A web page, host name or machine that is not allowed; the message says what to set.
    Forbidden(Cow<'a, str>),
    /// A health check failed.
    Unhealthy { code: &'static str, message: String },
    /// The request could not be read; `binding` is the component that it is for, if any.
    Malformed { binding: Option<&'a str>, error: &'a MalformedRequest, format: ErrorFormat },
    /// The call failed.
    Invoke { binding: &'a str, error: &'a InvokeError, body_kind: BodyKind, format: ErrorFormat },
    /// A handler panicked; the cause is in the log.
    Internal,
}

impl ApiError<'_> {
    /// What the precise format says of a request that was refused before its call, for other formats.
    pub(super) fn status_and_message(&self) -> (StatusCode, Cow<'_, str>) {
        match self {
            Self::BadAdminToken { variable } => (StatusCode::UNAUTHORIZED, admin_token_text(variable).into()),
            Self::BadToken => (StatusCode::UNAUTHORIZED, "invalid api token".into()),
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, Cow::Borrowed(message)),
            Self::BadEscape { escape, .. } => {
                (StatusCode::BAD_REQUEST, format!("the path has the invalid escape {escape:?}").into())
            }
            Self::Baggage { error, .. } => (malformed_kind(error).0, error.to_string().into()),
            Self::Malformed { error, .. } => (malformed_kind(error).0, error.to_string().into()),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "no such method and path".into()),
            Self::Component(refusal) => {
                let status = StatusCode::from_u16(refusal.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, Cow::Borrowed(&refusal.message))
            }
            Self::MetadataFull(message) | Self::Unhealthy { message, .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, Cow::Borrowed(message))
            }
            Self::Invoke { error, .. } => {
                let status = StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, error.to_string().into())
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "an internal error occurred".into()),
        }
    }
}

/// The status of a request that cannot be read, and its reason.
const fn malformed_kind(error: &MalformedRequest) -> (StatusCode, &'static str) {
    match error {
        MalformedRequest::BufferFull(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        MalformedRequest::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE"),
        MalformedRequest::Stalled => (StatusCode::REQUEST_TIMEOUT, "MALFORMED"),
        MalformedRequest::Body(_)
        | MalformedRequest::RawBody(_)
        | MalformedRequest::Syntax { .. }
        | MalformedRequest::Metadata(_)
        | MalformedRequest::Baggage(_) => (StatusCode::BAD_REQUEST, "MALFORMED"),
    }
}

fn admin_token_text(variable: &str) -> String {
    format!(
        "this route needs the token of {variable} in the header dapr-api-token, and the request has another one or none"
    )
}

impl IntoResponse for ApiError<'_> {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound { block, is_public, format } => not_found(block, is_public, format),
            Self::Baggage { error, format: ErrorFormat::Dapr } => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            Self::Baggage { error, format: ErrorFormat::Precise } => malformed(None, &error, ErrorFormat::Precise),
            Self::MetadataFull(message) => json(StatusCode::INSUFFICIENT_STORAGE, "ERR_METADATA_FULL", &message),
            Self::BadEscape { parameter, escape } => {
                let reason = format!(
                    "failed to unescape request parameter {parameter:?}. Error: invalid URL escape {escape:?}\n"
                );
                text(StatusCode::BAD_REQUEST, reason)
            }
            Self::BadToken => text(StatusCode::UNAUTHORIZED, "invalid api token\n".to_owned()),
            Self::BadAdminToken { variable } => {
                json(StatusCode::UNAUTHORIZED, "ERR_UNAUTHORIZED", &admin_token_text(variable))
            }
            Self::Component(refusal) => refused(refusal),
            Self::Forbidden(message) => json(StatusCode::FORBIDDEN, "ERR_FORBIDDEN", &message),
            Self::Unhealthy { code, message } => json(StatusCode::INTERNAL_SERVER_ERROR, code, &message),
            Self::Malformed { binding, error, format } => malformed(binding, error, format),
            Self::Invoke { binding, error, body_kind, format } => invoke_failed(binding, error, body_kind, format),
            Self::Internal => {
                let message = &format!("an internal error occurred; see the log of the sidecar{AMBIGUOUS}");
                let metadata = Map::from([("ambiguous", Cow::Borrowed("true"))]);
                let details = Some([ErrorInfo::new("INTERNAL", metadata)]);
                render(StatusCode::INTERNAL_SERVER_ERROR, &ErrorBody { code: "ERR_INTERNAL", message, details })
            }
        }
    }
}

fn invoke_failed(binding: &str, error: &InvokeError, body_kind: BodyKind, format: ErrorFormat) -> Response {
    if format == ErrorFormat::Dapr {
        return json(StatusCode::INTERNAL_SERVER_ERROR, INVOKE_FAILED, &failed_text(binding, error));
    }
    let hint = if body_kind == BodyKind::Data { RAW_BODY_HINT } else { "" };
    let FailureReport { message, reason, details, retry_after } = error.report(binding, hint);
    let metadata = details.into_iter().map(|(key, value)| (key, Cow::Borrowed(value))).collect();
    let details = Some([ErrorInfo::new(reason, metadata)]);
    // `FailureKind` has valid statuses only.
    let status = StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = if matches!(error, InvokeError::Disabled { .. }) { DISABLED } else { INVOKE_FAILED };
    let mut response = render(status, &ErrorBody { code, message: &message, details });
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds(wait));
    }
    if error.binding_error().is_some_and(BindingError::is_dead_lettered) {
        response.headers_mut().insert("metadata.deadlettered", HeaderValue::from_static("true"));
    }
    response
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    #[serde(rename = "errorCode")]
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [DocumentFault],
}

fn refused(refusal: &ComponentRefusal) -> Response {
    let ComponentRefusal { kind, message, faults } = refusal;
    // `RefusalKind` has valid statuses only.
    let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = render_as(status, kind.code(), &RefusalBody { code: kind.code(), message, faults });
    if *kind == RefusalKind::Stopping {
        response.headers_mut().insert(RETRY_AFTER, seconds(DEFAULT_RETRY_AFTER));
    }
    response
}

/// Dapr's text.
fn failed_text(binding: &str, error: &dyn std::error::Error) -> String {
    format!("error invoking output binding {binding}: {error}")
}

fn malformed(binding: Option<&str>, error: &MalformedRequest, format: ErrorFormat) -> Response {
    let limit = match error {
        MalformedRequest::BufferFull(BodyMemoryFull { limit }) => {
            let message = binding.map_or_else(|| error.to_string(), |binding| failed_text(binding, error));
            return buffer_full(&message, *limit, format);
        }
        MalformedRequest::TooLarge { limit } => Some(limit),
        _ => None,
    };
    let (status, reason) = malformed_kind(error);
    match (format, error) {
        (ErrorFormat::Dapr, MalformedRequest::RawBody(problem) | MalformedRequest::Syntax { problem, .. }) => {
            json(StatusCode::BAD_REQUEST, MALFORMED, &MalformedRequest::Body(problem.clone()).to_string())
        }
        (ErrorFormat::Dapr, _) => json(StatusCode::BAD_REQUEST, MALFORMED, &error.to_string()),
        (ErrorFormat::Precise, _) => {
            let metadata = limit.map(|limit| ("limit", Cow::Owned(limit.to_string()))).into_iter().collect();
            let details = Some([ErrorInfo::new(reason, metadata)]);
            render(status, &ErrorBody { code: MALFORMED, message: &error.to_string(), details })
        }
    }
}

/// Dapr's status and code. Its text is about service invocation, which would lead users of other parts of the API astray.
fn not_found(block: Option<&str>, is_public: bool, format: ErrorFormat) -> Response {
    const CODE: &str = "ERR_DIRECT_INVOKE";
    let message = match (format, block) {
        (ErrorFormat::Dapr, _) => "failed getting app id either from the URL path or the header dapr-app-id".to_owned(),
        (ErrorFormat::Precise, _) if is_public => "no such method and path on this port: it serves GET /v1.0/healthz, \
             GET /v1.0/healthz/outbound and GET /v1.0/metadata; send other requests to --dapr-http-port"
            .to_owned(),
        (ErrorFormat::Precise, Some(block)) => format!(
            "bindd serves bindings only, and this request is for Dapr's API of {block}: run daprd beside bindd on \
             another port, and send such requests to it"
        ),
        (ErrorFormat::Precise, None) => "no such method and path: bindd serves POST and PUT \
             /v1.0/bindings/<component>, GET /v1.0/metadata, PUT /v1.0/metadata/<key>, GET /v1.0/healthz, GET \
             /v1.0/healthz/outbound and POST /v1.0/shutdown, unless the Configuration denies it; GET \
             /v1.0-alpha1/openapi.json describes all"
            .to_owned(),
    };
    json(StatusCode::NOT_FOUND, CODE, &message)
}

/// The request is fine, and the client must be able to tell that from the status. Dapr has no such limit, so the status
/// is 503 in both formats.
fn buffer_full(message: &str, limit: usize, format: ErrorFormat) -> Response {
    let limit = Map::from([("limit", Cow::Owned(limit.to_string()))]);
    let details = match format {
        ErrorFormat::Precise => Some([ErrorInfo::new("UNAVAILABLE", limit)]),
        ErrorFormat::Dapr => None,
    };
    let body = ErrorBody { code: INVOKE_FAILED, message, details };
    let mut response = render(StatusCode::SERVICE_UNAVAILABLE, &body);
    response.headers_mut().insert(RETRY_AFTER, seconds(DEFAULT_RETRY_AFTER));
    response
}

/// Whole seconds, the unit of the header. Rounded up, since clients would retry at once after 0.
fn seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

fn json(status: StatusCode, code: &'static str, message: &str) -> Response {
    render(status, &ErrorBody { code, message, details: None })
}

fn render(status: StatusCode, body: &ErrorBody<'_>) -> Response {
    render_as(status, body.code, body)
}

fn render_as(status: StatusCode, code: &'static str, body: &impl Serialize) -> Response {
    // Strings in a fixed structure can always be serialised.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = (status, [(CONTENT_TYPE, "application/json")], bytes).into_response();
    response.extensions_mut().insert(ErrorCode::new(code));
    response
}

/// The text may quote the request, so browsers must not guess another type.
fn text(status: StatusCode, body: String) -> Response {
    (status, [(X_CONTENT_TYPE_OPTIONS, "nosniff")], body).into_response()
}

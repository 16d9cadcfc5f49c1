//! The parts of the Kinesis JSON protocol that several corrections need: bodies, content types and error responses.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use ferrokinesis::error::KinesisErrorResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

pub(super) const JSON: &str = "application/x-amz-json-1.1";
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// AWS takes 10 MiB of records in one call; base64 makes that 13.4 MiB.
pub(super) const MAX_BODY: usize = 16 << 20;

/// The media type of a request or a response, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

pub(super) async fn read_body(request: Request) -> Result<(http::request::Parts, Bytes), Response> {
    let (parts, body) = request.into_parts();
    let too_large = |_| error_response("SerializationException", "the request body is too large or incomplete");
    Ok((parts, to_bytes(body, MAX_BODY).await.map_err(too_large)?))
}

/// A response of status 400; `code` is the name of the exception.
pub(super) fn error_response(code: &str, message: &str) -> Response {
    service_error_response(&KinesisErrorResponse::client_error(code, Some(message)))
}

/// The response of status 500 when the emulator's own response cannot be read.
pub(super) fn unreadable_response() -> Response {
    service_error_response(&KinesisErrorResponse::server_error(None, Some("the emulator's response could not be read")))
}

pub(super) fn service_error_response(error: &KinesisErrorResponse) -> Response {
    let status = StatusCode::from_u16(error.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = json!({"__type": error.body.error_type, "message": error.body.message});
    response(status, JSON, Body::from(text.to_string()))
}

pub(super) fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

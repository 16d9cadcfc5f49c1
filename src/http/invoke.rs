//! `POST|PUT /v1.0/bindings/{name}`.

use super::error::{ApiError, BodyKind, ErrorFormat};
use super::invoke_span::InvokeSpan;
use super::output_call::OutputCall;
use super::read_body::{self, Refused, UnreadBody};
use super::state::ApiState;
use super::trace::TraceContext;
use super::{endpoint, go_json, json_body, raw_body};
use crate::domain::{BindingError, Completion, InvokeResponse};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use std::borrow::Cow;
use std::sync::Arc;

/// Calls output bindings.
#[derive(Debug)]
pub(super) struct Invoker {
    state: Arc<ApiState>,
}

impl Invoker {
    pub(super) fn new(state: Arc<ApiState>) -> Self {
        // Series of outputs without a request are on the page, too.
        for component in state.host.components().iter().filter(|component| component.output().is_some()) {
            drop(state.metrics.requests(component.binding.name().as_str()));
        }
        Self { state }
    }

    /// The response to a request on the endpoint.
    pub(super) async fn invoke(&self, request: Request, trace: &mut TraceContext) -> Response {
        // Owned, because the URI holds the buffer of the connection.
        let escaped = endpoint::parameter(request.uri().path()).to_owned();
        let name = match unescape(&escaped) {
            Ok(name) => name,
            Err(escape) => {
                let (head, body) = request.into_parts();
                let error = ApiError::BadEscape { parameter: "name", escape };
                return UnreadBody::new(&head, body).refuse(error).await;
            }
        };
        let version = request.version();
        let mut output = OutputCall::new(&self.state);
        output.set_output(&*name);
        let mut response = match self.call(&name, request, trace, &mut output).await {
            Ok(response) => response,
            Err(Refused { error, is_read }) => {
                let format = self.state.settings.error_format();
                let mut response = ApiError::Malformed { binding: Some(&name), error: &error, format }.into_response();
                if !is_read {
                    read_body::close_after(&mut response, version);
                }
                response
            }
        };
        output.status = Some(response.status().as_u16());
        if matches!(response.status(), StatusCode::OK | StatusCode::MULTI_STATUS) {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }

    async fn call(
        &self,
        name: &str,
        request: Request,
        trace: &mut TraceContext,
        output: &mut OutputCall<'_>,
    ) -> Result<Response, Refused> {
        let format = self.state.settings.error_format();
        let (head, body) = request.into_parts();
        // The component may hold the body until the response is there, so its memory stays reserved until then.
        let (body, mut memory) =
            read_body::read(body, &head, self.state.settings.max_body_size, &self.state.body_memory).await?;
        let is_octet_stream = raw_body::is_octet_stream(&head.headers);
        let raw_keys = output.raw_body_keys().filter(|_| is_octet_stream);
        let mut call = match raw_keys {
            Some(keys) => raw_body::parse(&head.headers, body.clone(), keys)?,
            None => json_body::parse(&body).map_err(|error| raw_body::explain(error, &head.headers, &body))?,
        };
        memory.grow(call.metadata.memory())?;
        if self.state.settings.reencodes_data && raw_keys.is_none() {
            call.data = go_json::reencode(&call.data, &mut memory)?;
        }
        // Data that is JSON parses as a request without an operation.
        let is_data = raw_keys.is_none() && call.operation.is_empty() && is_octet_stream;
        let body_kind = if is_data { BodyKind::Data } else { BodyKind::Request };
        let mut span = InvokeSpan::http(&self.state.settings.tracer, &head, name, trace);
        trace.add_to(&mut call.metadata);
        call.data = read_body::detached(call.data);
        // Head and body are slices of the buffer of the connection, and would keep it alive while the component works.
        drop((head, body));
        let response = match output.invoke(call, span.context(), std::future::pending()).await {
            Ok(response) => succeeded(response, format),
            Err(error) => {
                let mut response = ApiError::Invoke { binding: name, error: &error, body_kind, format }.into_response();
                for (key, value) in error.binding_error().map_or(&[][..], BindingError::metadata) {
                    add_metadata(&mut response, key, value.clone());
                }
                response
            }
        };
        span.answered(response.status());
        Ok(response)
    }
}

fn succeeded(result: InvokeResponse, format: ErrorFormat) -> Response {
    let status = match (&result.data, result.completion, format) {
        (Some(_), Completion::Partial, ErrorFormat::Precise) => StatusCode::MULTI_STATUS,
        (Some(_), Completion::Full | Completion::Partial, _) => StatusCode::OK,
        (None, Completion::Full | Completion::Partial, _) => StatusCode::NO_CONTENT,
    };
    let mut response = Response::new(result.data.map_or_else(Body::empty, Body::from));
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT && format == ErrorFormat::Dapr {
        return response;
    }
    for (key, value) in result.metadata {
        add_metadata(&mut response, &key, value);
    }
    response
}

fn add_metadata(response: &mut Response, key: &str, value: String) {
    match (header_name(key), HeaderValue::from_maybe_shared(Bytes::from(value))) {
        (Some(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
        (None, _) | (_, Err(_)) => tracing::warn!(key, "response metadata does not fit into a header"),
    }
}

/// `metadata.<key>`, without an allocation for the keys of most responses.
fn header_name(key: &str) -> Option<HeaderName> {
    match key {
        "sequenceNumber" => Some(HeaderName::from_static("metadata.sequencenumber")),
        "shardId" => Some(HeaderName::from_static("metadata.shardid")),
        "attempts" => Some(HeaderName::from_static("metadata.attempts")),
        _ => HeaderName::from_bytes(format!("metadata.{key}").as_bytes()).ok(),
    }
}

/// Decodes as Go's `QueryUnescape`: `+` is a space, `%xx` a byte. What is not UTF-8 is replaced: no component
/// has such a name.
///
/// # Errors
/// With the invalid escape.
pub(super) fn unescape(text: &str) -> Result<Cow<'_, str>, &str> {
    if !text.contains(['+', '%']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(['+', '%']) {
        let (plain, special) = rest.split_at(place);
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = special.strip_prefix('+') {
            bytes.push(b' ');
            rest = after;
            continue;
        }
        let digits = special.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return Err(special.get(..3).unwrap_or(special));
        };
        bytes.push(byte);
        rest = &special[3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_as_go_does() {
        for (escaped, name) in [("orders", "orders"), ("a%20b+c", "a b c"), ("%C3%BC", "ü"), ("%ff", "\u{fffd}")] {
            assert_eq!(unescape(escaped).unwrap(), name);
        }
        for (escaped, escape) in [("a%zz", "%zz"), ("a%2", "%2"), ("%", "%"), ("%+1", "%+1")] {
            assert_eq!(unescape(escaped).unwrap_err(), escape);
        }
    }
}

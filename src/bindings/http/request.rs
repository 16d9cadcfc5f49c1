//! Builds the HTTP request from the request of the app, as Dapr does.

use super::spec::Spec;
use super::target;
use crate::domain::{BindingError, FailureKind, InvokeRequest, OperationName};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use secrecy::ExposeSecret as _;
use std::borrow::Cow;

/// In the order in which Dapr lists them.
pub(super) static OPERATIONS: [OperationName; 9] = [
    Cow::Borrowed("create"),
    Cow::Borrowed("get"),
    Cow::Borrowed("head"),
    Cow::Borrowed("post"),
    Cow::Borrowed("put"),
    Cow::Borrowed("patch"),
    Cow::Borrowed("delete"),
    Cow::Borrowed("options"),
    Cow::Borrowed("trace"),
];

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// Go's client writes these itself, or they belong to the connection.
const NOT_SENT: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Request metadata that is sent although it does not begin with a capital.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// # Errors
/// `Caller` when the URL or a header is invalid.
pub(super) fn outgoing(request: &InvokeRequest, spec: &Spec) -> Result<Outgoing, BindingError> {
    let invalid = |text: String| BindingError::new(FailureKind::Caller, text);
    let method = match request.operation.as_str() {
        "create" => Method::POST,
        operation => Method::from_bytes(operation.to_ascii_uppercase().as_bytes())
            .map_err(|_| invalid(format!("`{operation}` is not a method")))?,
    };
    let url = target::with_path(&spec.url, request.metadata.get("path"))
        .map_err(|problem| invalid(format!("the URL with the `path` of the metadata cannot be used: {problem}")))?;
    let has_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
    let mut headers = HeaderMap::new();
    if has_body {
        headers.insert(CONTENT_TYPE, JSON);
    }
    headers.insert(ACCEPT, JSON);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bindd/", env!("CARGO_PKG_VERSION"))));
    if let Some(value) = basic_authorization(&url) {
        headers.insert(AUTHORIZATION, value);
    }
    if let Some((name, value)) = &spec.security {
        headers.insert(
            name,
            sensitive(value.expose_secret())
                .ok_or_else(|| invalid("`securityToken` does not fit into a header".to_owned()))?,
        );
    }
    let is_header = |name: &&str| name.starts_with(|first: char| first.is_ascii_uppercase()) || TRACE.contains(name);
    let mut names: Vec<&str> = request.metadata.names().filter(is_header).collect();
    // Trace headers last: they win over a `Traceparent` of the app, as in Dapr.
    names.sort_unstable();
    for key in names {
        let problem = || invalid(format!("the metadata `{}` does not fit into a header", key.escape_debug()));
        let name = HeaderName::from_bytes(key.as_bytes()).map_err(|_| problem())?;
        if !NOT_SENT.contains(&name.as_str()) {
            let value = request.metadata.get(key).unwrap_or_default();
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| problem())?);
        }
    }
    let body = if has_body { request.data.clone() } else { Bytes::new() };
    Ok(Outgoing { method, url, headers, body })
}

/// `user:password@` of a URL, as a header.
pub(super) fn basic_authorization(url: &Uri) -> Option<HeaderValue> {
    let (user, _) = url.authority()?.as_str().rsplit_once('@')?;
    let decoded = percent_decoded(user);
    sensitive(&format!("Basic {}", base64_simd::STANDARD.encode_to_string(decoded)))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
#[path = "tests/request.rs"]
mod tests;

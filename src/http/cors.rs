//! Answers to web pages of allowed origins (<https://fetch.spec.whatwg.org/#http-cors-protocol>). Without
//! `--allowed-origins` nothing here acts, as in Dapr.

use super::admission::AllowedOrigins;
use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method};

/// Dapr's list.
const METHODS: HeaderValue = HeaderValue::from_static("HEAD, GET, POST, PUT, PATCH, DELETE");

/// Whether a browser asks what the page may send; such a request carries no token.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of an allowed origin: any header may be sent, the token's included.
pub(super) fn preflight(head: &Parts) -> Response {
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(asked) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"));
    answer
}

/// Lets the page that sent the request read the answer, if its origin is allowed.
pub(super) fn allow(answer: &mut Response, origin: Option<HeaderValue>, allowed: &AllowedOrigins) {
    if allowed.is_empty() {
        return;
    }
    answer.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| allowed.admits(origin)) {
        let value = if allowed.is_any() { HeaderValue::from_static("*") } else { origin };
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
}

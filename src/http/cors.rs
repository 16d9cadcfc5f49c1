//! CORS headers for web pages of allowed origins (<https://fetch.spec.whatwg.org/#http-cors-protocol>). Without
//! `--allowed-origins` there are none, as in Dapr.

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

/// Whether a browser sent the request to learn what the page may send. Such a request has no token.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response to a preflight. For an allowed origin any header may be sent, the token included. For others, which only
/// get here without our checks, the response is daprd's: 200 without permissions.
pub(super) fn preflight(head: &Parts, allowed: &AllowedOrigins) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if head.headers.get(ORIGIN).is_some_and(|origin| allowed.matches(origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(requested) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
        }
    }
    headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"));
    response
}

/// Lets the page that sent the request read the response, if its origin is allowed.
pub(super) fn allow(response: &mut Response, origin: Option<HeaderValue>, allowed: &AllowedOrigins) {
    if allowed.is_empty() {
        return;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| allowed.matches(origin)) {
        let value = if allowed.is_any() { HeaderValue::from_static("*") } else { origin };
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
}

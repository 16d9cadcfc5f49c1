//! The route table: which path goes where, and who may ask.

use super::buffer::Buffer;
use super::error;
use super::face::Face;
use super::{health, invoke};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use secrecy::ExposeSecret;
use std::any::Any;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tower_http::catch_panic::CatchPanicLayer;

/// The header that carries the API token, as Dapr names it.
const TOKEN_HEADER: &str = "dapr-api-token";

/// The face as a service. A handler that panics is answered 500 and told in the log.
pub fn router(face: Arc<Face>) -> Router {
    let broken: fn(Box<dyn Any + Send>) -> Response = broken;
    let buffer = Buffer::new(face.settings.max_buffer);
    Router::new().fallback(dispatch).layer(CatchPanicLayer::custom(broken)).with_state(Served { face, buffer })
}

/// What every request gets to see.
#[derive(Debug, Clone)]
struct Served {
    face: Arc<Face>,
    buffer: Buffer,
}

async fn dispatch(State(Served { face, buffer }): State<Served>, request: Request) -> Response {
    let uri = request.uri().clone();
    let segments = clean(uri.path());
    let method = request.method();
    let is_health = matches!(segments[..], ["v1.0", "healthz"] | ["v1.0", "healthz", "outbound"]);
    if !is_health && !is_admitted(&face, &request) {
        return error::bad_token();
    }
    match (method, &segments[..]) {
        (&Method::POST | &Method::PUT, ["v1.0", "bindings", name]) => {
            // The request's future is large; the box keeps the others small.
            Box::pin(invoke::invoke(&face, &buffer, name, request)).await
        }
        (&Method::GET, ["v1.0", "healthz"]) => health::full(&face, uri.query()),
        (&Method::GET, ["v1.0", "healthz", "outbound"]) => health::outbound(&face),
        (&Method::GET, ["v1.0", "metadata"]) => health::metadata(&face),
        (&Method::POST, ["v1.0", "shutdown"]) => health::shutdown(&face),
        _ => error::no_route(),
    }
}

/// The segments of a path without empty ones and `.`; `..` takes its parent away.
fn clean(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments
}

/// Compares without telling by its time how much of a token was right. Its length may be told.
fn is_admitted(face: &Face, request: &http::Request<Body>) -> bool {
    let Some(token) = &face.settings.api_token else { return true };
    let Some(given) = request.headers().get(TOKEN_HEADER) else { return false };
    token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the payload of the panic by value")]
fn broken(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "request handler panicked");
    error::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_before_they_are_matched() {
        for path in ["/v1.0/healthz", "//v1.0//healthz/", "/a/../v1.0/./healthz", "/../v1.0/healthz"] {
            assert_eq!(clean(path), ["v1.0", "healthz"], "{path}");
        }
        assert!(clean("/").is_empty());
    }
}

//! The route table: which path goes where, and who may ask.

use super::buffer::Buffer;
use super::connection::{RequestBody, Respond};
use super::error;
use super::face::Face;
use super::{health, invoke};
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request};
use secrecy::ExposeSecret;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The header that carries the API token, as Dapr names it.
const TOKEN_HEADER: &str = "dapr-api-token";

/// The face as a service. A handler that panics is answered 500 and told in the log.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    face: Arc<Face>,
    buffer: Buffer,
}

impl Routes {
    pub(super) fn new(face: Arc<Face>) -> Self {
        let buffer = Buffer::new(face.settings.max_buffer);
        Self { face, buffer }
    }
}

impl Respond for Routes {
    async fn respond<B: RequestBody>(&self, request: Request<B>) -> Response {
        // What a panic leaves behind is dropped with the request; the face holds nothing that could be half changed.
        let answer = AssertUnwindSafe(dispatch(&self.face, &self.buffer, request)).catch_unwind().await;
        answer.unwrap_or_else(broken)
    }
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// To an output binding; its name as it was written. Owned, since the path holds the buffer that it was read into.
    Invoke(String),
    Health,
    Outbound,
    Metadata,
    Shutdown,
    Nowhere,
}

impl Route {
    fn of(method: &Method, segments: &[&str]) -> Self {
        match (method, segments) {
            (&Method::POST | &Method::PUT, ["v1.0", "bindings", name]) => Self::Invoke((*name).to_owned()),
            (&Method::GET, ["v1.0", "healthz"]) => Self::Health,
            (&Method::GET, ["v1.0", "healthz", "outbound"]) => Self::Outbound,
            (&Method::GET, ["v1.0", "metadata"]) => Self::Metadata,
            (&Method::POST, ["v1.0", "shutdown"]) => Self::Shutdown,
            _ => Self::Nowhere,
        }
    }
}

async fn dispatch(face: &Face, buffer: &Buffer, request: Request<impl RequestBody>) -> Response {
    let segments = Segments::of(request.uri().path());
    let segments = segments.as_slice();
    let is_health = matches!(segments, ["v1.0", "healthz"] | ["v1.0", "healthz", "outbound"]);
    if !is_health && !is_admitted(face, request.headers()) {
        return error::bad_token();
    }
    let route = Route::of(request.method(), segments);
    match route {
        Route::Invoke(name) => invoke::invoke(face, buffer, &name, request).await,
        Route::Health => health::full(face, request.uri().query()),
        Route::Outbound => health::outbound(face),
        Route::Metadata => health::metadata(face),
        Route::Shutdown => health::shutdown(face),
        Route::Nowhere => error::no_route(),
    }
}

/// One more than any route has.
const MOST_SEGMENTS: usize = 4;

/// The segments of a path without empty ones and `.`; `..` takes its parent away. Of a path with more than any route has,
/// only the first ones are kept.
#[derive(Debug, Default)]
struct Segments<'a> {
    kept: [&'a str; MOST_SEGMENTS],
    count: usize,
}

impl<'a> Segments<'a> {
    fn of(path: &'a str) -> Self {
        let mut segments = Self::default();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => segments.count = segments.count.saturating_sub(1),
                segment => {
                    if let Some(place) = segments.kept.get_mut(segments.count) {
                        *place = segment;
                    }
                    segments.count += 1;
                }
            }
        }
        segments
    }

    fn as_slice(&self) -> &[&'a str] {
        self.kept.get(..self.count).unwrap_or(&self.kept)
    }
}

/// Compares without telling by its time how much of a token was right. Its length may be told.
fn is_admitted(face: &Face, headers: &HeaderMap) -> bool {
    let Some(token) = &face.settings.api_token else { return true };
    let Some(given) = headers.get(TOKEN_HEADER) else { return false };
    token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
}

#[expect(clippy::needless_pass_by_value, reason = "a panic hands its payload over by value")]
fn broken(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "request handler panicked");
    error::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(path: &str) -> Vec<&str> {
        Segments::of(path).as_slice().to_vec()
    }

    #[test]
    fn paths_are_cleaned_before_they_are_matched() {
        for path in [
            "/v1.0/healthz",
            "//v1.0//healthz/",
            "/a/../v1.0/./healthz",
            "/../v1.0/healthz",
            "/v1.0/healthz/a/b/c/../../..",
        ] {
            assert_eq!(clean(path), ["v1.0", "healthz"], "{path}");
        }
        assert!(clean("/").is_empty());
        assert_eq!(clean("/1/2/3/4/5/6/.."), ["1", "2", "3", "4"], "longer than any route");
    }
}

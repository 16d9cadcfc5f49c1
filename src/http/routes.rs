//! The route table: which path goes where, and who may ask.

use super::admission::ConnectInfo;
use super::buffer::Buffer;
use super::connection::{RequestBody, Respond};
use super::face::Face;
use super::{body, cors, error, health, invoke};
use axum::response::Response;
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::request::Parts;
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
    async fn respond<B: RequestBody>(&self, request: Request<B>, info: ConnectInfo) -> Response {
        // What a panic leaves behind is dropped with the request; the face holds nothing that could be half changed.
        let answer = AssertUnwindSafe(dispatch(&self.face, &self.buffer, request, info)).catch_unwind().await;
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
    /// A browser asks what a page may send.
    Preflight,
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

async fn dispatch(face: &Face, buffer: &Buffer, request: Request<impl RequestBody>, info: ConnectInfo) -> Response {
    let (head, body) = request.into_parts();
    let origin = head.headers.get(ORIGIN).cloned();
    let mut answer = match authorize(face, &head, info) {
        Ok(Route::Invoke(name)) => invoke::invoke(face, buffer, &name, Request::from_parts(head, body)).await,
        decided => {
            let mut answer = decided.map_or_else(|refusal| *refusal, |route| unbound(face, &head, &route));
            body::skip(body, &head, &mut answer).await;
            answer
        }
    };
    cors::allow(&mut answer, origin, &face.settings.access.origins);
    answer
}

/// Where a request may go, or the answer that refuses it.
fn authorize(face: &Face, head: &Parts, info: ConnectInfo) -> Result<Route, Box<Response>> {
    let segments = Segments::of(head.uri.path());
    let route = Route::of(&head.method, segments.as_slice());
    let is_health = matches!(route, Route::Health | Route::Outbound);
    if let Err(refusal) = face.settings.access.check(head, info, is_health) {
        let message = refusal.message();
        tracing::debug!(reason = message, "request was refused");
        return Err(Box::new(error::forbidden(&message)));
    }
    // Before the token, which a preflight cannot carry.
    if !face.settings.access.origins.is_empty() && cors::is_preflight(head) {
        return Ok(Route::Preflight);
    }
    let needs_token = !matches!(segments.as_slice(), ["v1.0", "healthz"] | ["v1.0", "healthz", "outbound"]);
    if needs_token && !has_token(face, &head.headers) {
        return Err(Box::new(error::bad_token()));
    }
    if route == Route::Shutdown && !info.is_peer_loopback && face.settings.api_token.is_none() {
        tracing::warn!("shutdown was refused: it was requested from another machine, and no API token is set");
        return Err(Box::new(error::forbidden(
            "shutdown refused: it is taken from loopback only; call it from there, or set DAPR_API_TOKEN and send the \
             token",
        )));
    }
    Ok(route)
}

/// The answer of a route that is no binding.
fn unbound(face: &Face, head: &Parts, route: &Route) -> Response {
    match route {
        Route::Health => health::full(face, head.uri.query()),
        Route::Outbound => health::outbound(face),
        Route::Metadata => health::metadata(face),
        Route::Shutdown => health::shutdown(face),
        Route::Preflight => cors::preflight(head),
        Route::Invoke(_) | Route::Nowhere => error::no_route(),
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
fn has_token(face: &Face, headers: &HeaderMap) -> bool {
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

//! The routes of the API, and the checks before them.
//!
//! In this order: the path is cleaned, since Dapr matches cleaned paths; `admission` checks `Host` and `Origin`; a CORS
//! preflight is answered; the API token is checked; the router is called. These steps are not layers of the router,
//! because its layers run after a path was matched.

use super::admission::ConnectInfo;
use super::connection::Respond;
use super::error::ApiError;
use super::invoke::Invoker;
use super::observed::Observed;
use super::read_body::UnreadBody;
use super::state::ApiState;
use super::{cors, health, inputs};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use secrecy::ExposeSecret;
use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tower::{Service, service_fn};

const HEALTHZ: &str = "/v1.0/healthz";
const OUTBOUND: &str = "/v1.0/healthz/outbound";
const SHUTDOWN: &str = "/v1.0/shutdown";
const TOKEN_HEADER: &str = "dapr-api-token";
const REMOTE_SHUTDOWN: &str = "shutdown refused: it is accepted from loopback only; call it from there, or set \
                               DAPR_API_TOKEN and send the token";

/// The API as a service. A handler that panics is answered with 500, and the panic is logged.
#[derive(Debug, Clone)]
pub(super) struct Api {
    state: Arc<ApiState>,
    router: Router,
}

/// A route for only the methods that are added to it. daprd answers all others with 404, never with 405, since it takes
/// them for a service invocation. That includes `HEAD`, for which axum would call the handler of `GET`.
fn only<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    any(not_found).head(not_found)
}

fn router(state: &Arc<ApiState>) -> Router {
    let invoker = Arc::new(Invoker::new(Arc::clone(state)));
    let names: Vec<String> = invoker.outputs().filter(|name| is_plain(name)).map(str::to_owned).collect();
    // A service instead of a handler, whose future axum would box twice.
    let invoke = service_fn(move |request| {
        let invoker = Arc::clone(&invoker);
        async move { Ok::<_, Infallible>(invoker.invoke(request).await) }
    });
    let binding = only().post_service(invoke.clone()).put_service(invoke);
    // A static route for each known name, as axum copies the parameters of a path for each request.
    let known = |router: Router, name: &String| router.route(&format!("/v1.0/bindings/{name}"), binding.clone());
    let bindings = names.iter().fold(Router::new(), known);
    Router::new()
        .route(HEALTHZ, only().get(health::full))
        .route(OUTBOUND, only().get(health::outbound))
        .route("/v1.0/metadata", only().get(health::metadata))
        .route("/v1.0-alpha1/inputs", only().get(inputs::inputs))
        .route(SHUTDOWN, only().post(health::shutdown))
        .route_layer(from_fn(skip_body))
        .with_state(Arc::clone(state))
        .merge(bindings)
        .route("/v1.0/bindings/{name}", binding)
        .fallback(not_found)
}

/// Whether a name is the same in a path, and has no character with a meaning in axum's routes.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

async fn skip_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let unread = UnreadBody::new(&head, body);
    let mut response = next.run(Request::from_parts(head, Body::empty())).await;
    unread.skip(&mut response).await;
    response
}

async fn not_found(request: Request) -> Response {
    let (head, body) = request.into_parts();
    UnreadBody::new(&head, body).refuse(ApiError::NotFound).await
}

impl Api {
    pub(super) fn new(state: Arc<ApiState>) -> Self {
        let router = router(&state);
        Self { state, router }
    }

    async fn answer(&self, request: Request, info: ConnectInfo) -> Response {
        let origin = request.headers().get(ORIGIN).cloned();
        let (head, body) = request.into_parts();
        let mut response = match self.answer_early(&head, info) {
            Some(mut response) => {
                UnreadBody::new(&head, body).skip(&mut response).await;
                response
            }
            None => {
                let Ok(response) = self.router.clone().call(Request::from_parts(head, body)).await;
                response
            }
        };
        cors::allow(&mut response, origin, &self.state.settings.access.origins);
        response
    }

    /// The response to a request that must not reach the router.
    fn answer_early(&self, head: &Parts, info: ConnectInfo) -> Option<Response> {
        let settings = &self.state.settings;
        let path = head.uri.path();
        let is_health = matches!(path, HEALTHZ | OUTBOUND);
        if let Err(refusal) = settings.access.check(head, info, is_health && head.method == Method::GET) {
            let message = refusal.message();
            tracing::debug!(reason = message, "request was refused");
            return Some(ApiError::Forbidden(&message).into_response());
        }
        // Before the token, which a browser does not send with a preflight.
        if !settings.access.origins.is_empty() && cors::is_preflight(head) {
            return Some(cors::preflight(head));
        }
        if !is_health && !self.has_token(&head.headers) {
            return Some(ApiError::BadToken.into_response());
        }
        let is_shutdown = path == SHUTDOWN && head.method == Method::POST;
        if is_shutdown && !info.is_peer_loopback && settings.api_token.is_none() {
            tracing::warn!("shutdown was refused: it was requested from another machine, and no API token is set");
            return Some(ApiError::Forbidden(REMOTE_SHUTDOWN).into_response());
        }
        None
    }

    /// Compares in constant time, so that its duration does not reveal how much of a token was right; only its length.
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.state.settings.api_token else { return true };
        let Some(given) = headers.get(TOKEN_HEADER) else { return false };
        token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl Respond for Api {
    async fn respond(&self, mut request: Request, info: ConnectInfo) -> Response {
        clean_path(request.uri_mut());
        // A panic drops the request, and no handler leaves the state half changed.
        let observed = Observed::new(&request, &self.state);
        let response = AssertUnwindSafe(self.answer(request, info)).catch_unwind().await;
        let response = response.unwrap_or_else(panicked);
        observed.answered(&response);
        response
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a panic hands over its payload by value")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "request handler panicked");
    ApiError::Internal.into_response()
}

/// Removes empty and `.` segments, and with each `..` the segment before it. Allocates only if there may be any.
fn clean_path(uri: &mut Uri) {
    let path = uri.path();
    let may_be_unclean = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    if path.starts_with('/') && !path.ends_with('/') && !path.as_bytes().windows(2).any(may_be_unclean) {
        return;
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let cleaned = PathAndQuery::from_maybe_shared(format!("/{}{query}", segments.join("/")));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = cleaned.ok();
    // A target without a path (of CONNECT) cannot have one. It stays as it is, and has no route.
    if let Ok(cleaned) = Uri::from_parts(parts) {
        *uri = cleaned;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(target: &str) -> String {
        let mut uri = target.parse().unwrap();
        clean_path(&mut uri);
        uri.to_string()
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
            assert_eq!(clean(path), "/v1.0/healthz", "{path}");
        }
        assert_eq!(clean("/"), "/");
        assert_eq!(clean("/1//2?a=//../b"), "/1/2?a=//../b", "a query is left alone");
        assert_eq!(clean("/a%2F..//b+c%zz/"), "/a%2F../b+c%zz", "an escape is no separator");
    }

    #[test]
    fn targets_that_are_no_plain_path_keep_their_authority() {
        assert_eq!(clean("http://localhost:3500//v1.0/healthz/"), "http://localhost:3500/v1.0/healthz");
        assert_eq!(clean("localhost:3500"), "localhost:3500");
        assert_eq!(clean("*"), "/*");
    }
}

//! Finds what a request asks for, and the checks before that.
//!
//! In this order, which is that of daprd: the path is cleaned, since Dapr matches cleaned paths; `admission` checks `Host`
//! and `Origin`; the trace headers are read; a CORS preflight is answered; the API token is checked; the endpoint is called.

use super::admission::ConnectInfo;
use super::connection::Respond;
use super::endpoint::{self, Endpoint};
use super::error::ApiError;
use super::invoke::Invoker;
use super::observed::Observed;
use super::read_body::UnreadBody;
use super::state::ApiState;
use super::token_log::TokenLog;
use super::trace::TraceContext;
use super::{components, cors, data_connectors, extended, health, inputs, openapi};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::ORIGIN;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// The API as a service. A handler that panics is answered with 500, and the panic is logged.
#[derive(Debug, Clone)]
pub(super) struct Api {
    state: Arc<ApiState>,
    invoker: Arc<Invoker>,
    token_log: Arc<TokenLog>,
    /// Serves only health and metadata, without a token and without CORS.
    is_public: bool,
}

impl Api {
    pub(super) fn new(state: Arc<ApiState>) -> Self {
        let invoker = Arc::new(Invoker::new(Arc::clone(&state)));
        Self { state, invoker, token_log: Arc::default(), is_public: false }
    }

    /// As served on the public port.
    pub(super) fn public(state: Arc<ApiState>) -> Self {
        Self { is_public: true, ..Self::new(state) }
    }

    async fn answer(&self, request: Request, info: ConnectInfo) -> Response {
        let origin = request.headers().get(ORIGIN).cloned();
        let (head, body) = request.into_parts();
        let settings = &self.state.settings;
        let is_served = |found: &Endpoint| {
            let is_known = self.state.components.is_some() || !found.is_admin();
            is_known && found.is_allowed(&settings.api_rules) && (!self.is_public || found.is_public())
        };
        let endpoint = Endpoint::of(&head.method, head.uri.path()).filter(is_served);
        let is_health = endpoint.is_some_and(Endpoint::is_health);
        let trace = self.admit(&head, info, endpoint).and_then(|()| self.trace(&head, is_health));
        let mut response = match trace {
            Err(error) => {
                let mut response = refusal(endpoint, error);
                UnreadBody::new(&head, body).skip(&mut response).await;
                response
            }
            Ok(mut trace) => {
                let request = Request::from_parts(head, body);
                let mut response = self.answer_traced(endpoint, request, info, &mut trace).await;
                trace.echo(response.headers_mut());
                response
            }
        };
        if !self.is_public {
            cors::allow(&mut response, origin, &settings.access.origins);
        }
        response
    }

    /// The trace headers; none for health, which is not traced.
    fn trace(&self, head: &Parts, is_health: bool) -> Result<TraceContext, ApiError<'static>> {
        if is_health {
            return Ok(TraceContext::default());
        }
        let settings = &self.state.settings;
        TraceContext::read(&head.headers, settings.zero_traceparent)
            .map_err(|error| ApiError::Baggage { error, format: settings.error_format() })
    }

    /// Whether the request is accepted from there.
    fn admit(&self, head: &Parts, info: ConnectInfo, endpoint: Option<Endpoint>) -> Result<(), ApiError<'static>> {
        let access = &self.state.settings.access;
        let admitted = match endpoint {
            Some(endpoint) if endpoint.is_admin() => access.check_admin(head, info),
            endpoint => access.check(head, info, endpoint.is_some_and(Endpoint::is_health)),
        };
        admitted.map_err(|refusal| {
            let message = refusal.message();
            tracing::debug!(reason = message, "request was refused");
            ApiError::Forbidden(message.into())
        })
    }

    async fn answer_traced(
        &self,
        endpoint: Option<Endpoint>,
        request: Request,
        info: ConnectInfo,
        trace: &mut TraceContext,
    ) -> Response {
        let (head, body) = request.into_parts();
        if let Some(mut response) = self.answer_early(endpoint, &head, info) {
            UnreadBody::new(&head, body).skip(&mut response).await;
            return response;
        }
        match endpoint {
            Some(Endpoint::Invoke) => self.invoker.invoke(Request::from_parts(head, body), trace).await,
            Some(Endpoint::Component(component)) => match self.state.components.as_deref() {
                Some(manage) => components::respond(&self.state, manage, component, (head, body), info).await,
                None => self.answer_page(None, head, body).await,
            },
            Some(Endpoint::Connector(connector)) => match self.state.components.as_deref() {
                Some(manage) => data_connectors::respond(&self.state, manage, connector, (head, body), info).await,
                None => self.answer_page(None, head, body).await,
            },
            _ => self.answer_page(endpoint, head, body).await,
        }
    }

    /// The response to a request that must not reach its endpoint.
    fn answer_early(&self, endpoint: Option<Endpoint>, head: &Parts, info: ConnectInfo) -> Option<Response> {
        if self.is_public {
            return None;
        }
        let settings = &self.state.settings;
        // Before the token, which a browser does not send with a preflight.
        if !settings.access.origins.is_empty() && cors::is_preflight(head) {
            return Some(cors::preflight(head, &settings.access.origins));
        }
        if let Some(managing) = endpoint.filter(|endpoint| endpoint.is_admin()) {
            if settings.has_admin_token(&head.headers) {
                return None;
            }
            self.token_log.refused(managing, head, info);
            return Some(refusal(endpoint, ApiError::BadAdminToken { variable: settings.admin_token_name }));
        }
        let is_health_path = endpoint::is_health_path(head.uri.path());
        // With the token for them, an unknown route below theirs is not found, as any other is.
        let is_admin = || endpoint::is_admin_path(head.uri.path()) && settings.has_admin_token(&head.headers);
        let may_know = endpoint.is_none() && is_admin();
        if !is_health_path && !may_know && !settings.has_token(&head.headers) {
            return Some(ApiError::BadToken.into_response());
        }
        match endpoint {
            Some(Endpoint::Shutdown) => {
                self.state.shutdown_refusal(info).map(|reason| ApiError::Forbidden(reason.into()).into_response())
            }
            _ => None,
        }
    }

    /// The endpoints besides bindings.
    async fn answer_page(&self, endpoint: Option<Endpoint>, head: Parts, body: Body) -> Response {
        let state = &self.state;
        let mut response = match endpoint {
            Some(Endpoint::SetMetadata) => return extended::set(state, &head, body).await,
            Some(Endpoint::Health) => health::full(state, head.uri.query()).into_response(),
            Some(Endpoint::OutboundHealth) => health::outbound(state).into_response(),
            Some(Endpoint::Metadata) => health::metadata(state),
            Some(Endpoint::Inputs) => inputs::inputs(state),
            Some(Endpoint::OpenApi) => openapi::openapi(),
            Some(Endpoint::Shutdown) => {
                state.shut_down(&head.headers);
                StatusCode::NO_CONTENT.into_response()
            }
            Some(Endpoint::Invoke | Endpoint::Component(_) | Endpoint::Connector(_)) | None => {
                let block = endpoint::other_block(head.uri.path());
                let (is_public, format) = (self.is_public, state.settings.error_format());
                ApiError::NotFound { block, is_public, format }.into_response()
            }
        };
        UnreadBody::new(&head, body).skip(&mut response).await;
        response
    }
}

/// The response to a request that does not reach its handler.
fn refusal(endpoint: Option<Endpoint>, error: ApiError<'_>) -> Response {
    match endpoint {
        Some(Endpoint::Connector(_)) => data_connectors::refused(&error),
        _ => error.into_response(),
    }
}

impl Respond for Api {
    async fn respond(&self, mut request: Request, info: ConnectInfo) -> Response {
        clean_path(request.uri_mut());
        // A panic drops the request, and no handler leaves the state half changed.
        let observed = Observed::new(&request, &self.state);
        let response = AssertUnwindSafe(self.answer(request, info)).catch_unwind().await;
        let response = response.unwrap_or_else(|payload| {
            log_panic(&*payload);
            ApiError::Internal.into_response()
        });
        observed.answered(&response);
        response
    }
}

/// Logs what a handler panicked with.
pub fn log_panic(payload: &(dyn Any + Send)) {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "request handler panicked");
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

//! The metrics and the log of each request, with the names of Dapr.

use super::endpoint::Endpoint;
use super::error::ErrorCode;
use super::state::ApiState;
use crate::telemetry::{ApiCall, ApiEndpoint, HttpExchange};
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use http::Method;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use std::sync::Arc;
use tokio::time::Instant;

/// What is known of a request before it is answered.
pub(super) struct Observed {
    state: Arc<ApiState>,
    method: Method,
    /// `None` unless it is logged.
    endpoint: Option<ApiEndpoint>,
    /// Empty unless it is shown. A copy, because the URI holds the buffer of the connection.
    path: String,
    user_agent: String,
    request_bytes: u64,
    begun: Instant,
}

impl Observed {
    pub(super) fn new(request: &Request<Body>, state: &Arc<ApiState>) -> Self {
        let headers = request.headers();
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let logged = |endpoint: Endpoint| {
            let endpoint = ApiEndpoint { name: endpoint.name(), is_health_check: endpoint.is_health() };
            Some(endpoint).filter(|endpoint| state.settings.api_log.logs(*endpoint))
        };
        let is_logging = state.settings.api_log.enabled;
        let endpoint = is_logging.then(|| Endpoint::of(request.method(), request.uri().path())).flatten();
        let endpoint = endpoint.and_then(logged);
        let is_logged = endpoint.is_some();
        let shows_path = is_logged || state.metrics.dapr().http().shows_paths();
        let user_agent = headers.get(USER_AGENT).filter(|_| is_logged).and_then(|agent| agent.to_str().ok());
        Self {
            state: Arc::clone(state),
            method: request.method().clone(),
            endpoint,
            path: if shows_path { request.uri().path().to_owned() } else { String::new() },
            user_agent: user_agent.unwrap_or_default().to_owned(),
            request_bytes: length.unwrap_or(0),
            begun: Instant::now(),
        }
    }

    pub(super) fn answered(self, response: &Response) {
        let (path, took) = (self.path.as_str(), self.begun.elapsed());
        let (status, response_bytes) = (response.status().as_u16(), response.body().size_hint().lower());
        self.state.metrics.dapr().http().served(&HttpExchange {
            method: self.method.as_str(),
            path,
            status: Some(status),
            request_bytes: self.request_bytes,
            response_bytes,
            took,
        });
        if let Some(ErrorCode(code, category)) = response.extensions().get() {
            self.state.metrics.dapr().error_code(code, category);
        }
        if let Some(endpoint) = self.endpoint {
            let method = format!("{} {path}", self.method);
            let (code, size) = (status.into(), response_bytes);
            let call = ApiCall { method: &method, endpoint, user_agent: &self.user_agent, code, size, took };
            self.state.settings.api_log.http_called(&call);
        }
    }
}

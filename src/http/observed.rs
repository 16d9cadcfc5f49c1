//! The metrics and the log of each request, with the names of Dapr.

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
        let is_logged = state.settings.api_log.enabled;
        let shows_path = is_logged || state.metrics.dapr().http().shows_paths();
        let user_agent = headers.get(USER_AGENT).filter(|_| is_logged).and_then(|agent| agent.to_str().ok());
        Self {
            state: Arc::clone(state),
            method: request.method().clone(),
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
        let rules = &self.state.settings.api_log;
        if let Some(endpoint) = endpoint(path).filter(|endpoint| rules.logs(*endpoint)) {
            let method = format!("{} {path}", self.method);
            let (code, size) = (status.into(), response_bytes);
            rules.http_called(&ApiCall { method: &method, endpoint, user_agent: &self.user_agent, code, size, took });
        }
    }
}

/// The route of a path, with Dapr's name of it. Requests without a route are not logged.
fn endpoint(path: &str) -> Option<ApiEndpoint> {
    let (name, is_health_check) = match path {
        "/v1.0/healthz" => ("Healthz", true),
        "/v1.0/healthz/outbound" => ("HealthzOutbound", true),
        "/v1.0/metadata" => ("GetMetadata", false),
        "/v1.0/shutdown" => ("Shutdown", false),
        "/v1.0-alpha1/inputs" => ("GetInputs", false),
        path if path.starts_with("/v1.0/metadata/") => ("SetMetadata", false),
        path if path.starts_with("/v1.0/bindings/") => ("InvokeBinding", false),
        _ => return None,
    };
    Some(ApiEndpoint { name, is_health_check })
}

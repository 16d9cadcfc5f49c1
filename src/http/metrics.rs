//! The metrics page, on its own port.

use super::connection::{RequestBody, Respond};
use super::face::HttpSettings;
use super::server::{Drained, serve_by};
use crate::domain::Stop;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use std::time::Duration;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// A scraper that is still reading when we stop gets this long.
const DRAIN: Duration = Duration::from_secs(1);
/// Nobody needs more scrapers at once.
const MAX_CONNECTIONS: usize = 64;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `GET /metrics`, and the same at `/`, until `stop`.
pub async fn serve_metrics(listener: TcpListener, metrics: Metrics, stop: Stop) -> Drained {
    let settings = HttpSettings { max_connections: MAX_CONNECTIONS, ..HttpSettings::default() };
    serve_by(vec![listener], page_router(metrics), &settings, stop, DRAIN).await
}

pub(super) fn page_router(metrics: Metrics) -> Router {
    Router::new().route("/", get(page)).route("/metrics", get(page)).with_state(metrics)
}

impl Respond for Router {
    async fn respond<B: RequestBody>(&self, request: Request<B>) -> Response {
        let Ok(answer) = self.clone().oneshot(request).await;
        answer
    }
}

async fn page(State(metrics): State<Metrics>) -> Response {
    match metrics.page() {
        Ok(page) => ([(CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

//! The metrics page, on its own port.

use super::admission::{Access, ConnectInfo};
use super::connection::{ConnectionSettings, Protocol, Respond};
use super::error::ApiError;
use super::listen::Listeners;
use super::read_body::UnreadBody;
use super::server::{Drained, serve_with};
use super::state::HttpSettings;
use crate::domain::Stop;
use crate::telemetry::{Metrics, MetricsFormat};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// How long a scraper may still read after a stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Open connections of scrapers.
pub const MAX_SCRAPERS: usize = 64;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics at any path, as daprd does, until `stop`. Web pages and host names are refused as by the API.
pub async fn serve_metrics(listeners: Listeners, metrics: Metrics, access: Access, stop: Stop) -> Drained {
    let max_header_bytes = HttpSettings::default().max_header_bytes;
    let settings = ConnectionSettings { max_header_bytes, max_connections: MAX_SCRAPERS, protocol: Protocol::Http };
    let service = MetricsApi { metrics, access: Arc::new(access) };
    serve_with(listeners, service, settings, stop, DRAIN_LIMIT).await
}

#[derive(Debug, Clone)]
struct MetricsApi {
    metrics: Metrics,
    access: Arc<Access>,
}

impl Respond for MetricsApi {
    async fn respond(&self, request: Request, info: ConnectInfo) -> Response {
        let (head, body) = request.into_parts();
        if let Err(refusal) = self.access.check(&head, info, false) {
            let message = refusal.message();
            tracing::debug!(reason = message, "request for the metrics was refused");
            return ApiError::Forbidden(message.as_str().into()).into_response();
        }
        let unread = UnreadBody::new(&head, body);
        let mut response = page(&self.metrics, &head.headers);
        unread.skip(&mut response).await;
        response
    }
}

fn page(metrics: &Metrics, headers: &HeaderMap) -> Response {
    let format = negotiated(headers);
    let content_type = match format {
        MetricsFormat::OpenMetrics => OPEN_METRICS,
        MetricsFormat::Text => TEXT,
    };
    match metrics.page_in(format) {
        Ok(page) => ([(CONTENT_TYPE, content_type), (VARY, "Accept")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// OpenMetrics if the scraper accepts it and prefers no other; else the older format, which all scrapers read.
fn negotiated(headers: &HeaderMap) -> MetricsFormat {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open_metrics, mut text) = (0, 0);
    for range in accepted.flat_map(|list| list.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut version, mut weight) = (None, 1000);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" => weight = thousandths(value.trim()),
                _ => {}
            }
        }
        let is_open = media_type.eq_ignore_ascii_case("application/openmetrics-text");
        if is_open && matches!(version, None | Some("1.0.0" | "0.0.1")) {
            open_metrics = weight.max(open_metrics);
        } else if media_type.eq_ignore_ascii_case("text/plain") && matches!(version, None | Some("0.0.4")) {
            text = weight.max(text);
        }
    }
    if open_metrics > 0 && open_metrics >= text { MetricsFormat::OpenMetrics } else { MetricsFormat::Text }
}

/// A weight of 0 to 1 with at most three decimals (RFC 9110, section 12.4.2); anything else counts as 0.
fn thousandths(weight: &str) -> u32 {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{whole}{decimals:0<3}");
    let is_weight = decimals.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|thousandths| is_weight && *thousandths <= 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                          q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, is_open) in [
            ("", false),
            ("*/*", false),
            ("text/plain; version=0.0.4", false),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", true),
            ("application/openmetrics-text; version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", false),
            ("application/openmetrics-text;q=0.5, text/plain", false),
            ("application/openmetrics-text;q=nonsense", false),
            (prometheus, true),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(negotiated(&headers) == MetricsFormat::OpenMetrics, is_open, "{accept}");
        }
        assert_eq!(negotiated(&HeaderMap::new()), MetricsFormat::Text);
    }

    #[test]
    fn weights_are_read_exactly() {
        for (text, expected) in
            [("1", 1000), ("1.0", 1000), ("0.5", 500), ("0.123", 123), ("0", 0), ("1.1", 0), ("", 0)]
        {
            assert_eq!(thousandths(text), expected, "{text}");
        }
        for wrong in ["0.1234", "-1", "+1", "a", "1e0", "."] {
            assert_eq!(thousandths(wrong), 0, "{wrong}");
        }
    }
}

//! Requests that the HTTP API answered, and requests to the app over HTTP.

use super::super::family::{Family, Registrar};
use super::exact::ExactCounter;
use super::handles::Handles;
use super::labels::{MetricsRules, bytes, latencies, milliseconds, sizes};
use super::paths::PathLabels;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Series of one side. Beyond it, paths are counted without their label.
const MAX_SERIES: usize = 1_000;
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLabels {
    method: &'static str,
    path: Cow<'static, str>,
    /// Empty if there was no response.
    status: StatusLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SentLabels {
    method: &'static str,
    path: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    status: StatusLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StatusLabel(Option<u16>);

impl prometheus_client::encoding::EncodeLabelValue for StatusLabel {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            Some(status) => u32::from(status).encode(encoder),
            None => "".encode(encoder),
        }
    }
}

/// One request and its response.
#[derive(Debug, Clone, Copy)]
pub struct HttpExchange<'a> {
    pub method: &'a str,
    /// The path without a query.
    pub path: &'a str,
    /// `None` if there was no response.
    pub status: Option<u16>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub took: Duration,
}

#[derive(Debug, Clone)]
struct ExchangeFamilies {
    count: Family<ExchangeLabels, ExactCounter>,
    latency: Family<ExchangeLabels, Histogram>,
    /// Only with paths as labels.
    responses: Option<Family<ExchangeLabels, ExactCounter>>,
}

#[derive(Debug, Clone)]
struct Series {
    count: ExactCounter,
    latency: Histogram,
    responses: Option<ExactCounter>,
}

impl ExchangeFamilies {
    fn series(&self, labels: &ExchangeLabels) -> Series {
        Series {
            count: self.count.get_or_create(labels),
            latency: self.latency.get_or_create(labels),
            responses: self.responses.as_ref().map(|family| family.get_or_create(labels)),
        }
    }
}

/// Both sides of HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpTraffic(Arc<Traffic>);

#[derive(Debug)]
struct Traffic {
    paths: PathLabels,
    server: ExchangeFamilies,
    client: ExchangeFamilies,
    server_handles: Handles<ExchangeLabels, Series>,
    client_handles: Handles<ExchangeLabels, Series>,
    request_bytes: Histogram,
    response_bytes: Histogram,
    sent_bytes: Family<SentLabels, Histogram>,
    sent_handles: Handles<SentLabels, Histogram>,
    received_bytes: Histogram,
    probes: Family<ProbeLabels, ExactCounter>,
    probe_latency: Family<ProbeLabels, Histogram>,
}

impl HttpTraffic {
    pub(super) fn registered(registrar: &mut Registrar, rules: &MetricsRules) -> Self {
        let latency = || Family::new_with_constructor(latencies(rules));
        Self(Arc::new(Traffic {
            paths: PathLabels::new(rules),
            server: ExchangeFamilies {
                count: registrar.global(
                    "http_server_request_count",
                    "Requests that the HTTP API answered",
                    Family::default(),
                ),
                latency: registrar.global(
                    "http_server_latency",
                    "Time from the head of a request to its response, in milliseconds",
                    latency(),
                ),
                responses: rules.increased_cardinality.then(|| {
                    registrar.global("http_server_response_count", "Responses of the HTTP API", Family::default())
                }),
            },
            client: ExchangeFamilies {
                count: registrar.global("http_client_completed_count", "Requests to the app", Family::default()),
                latency: registrar.global(
                    "http_client_roundtrip_latency",
                    "Time of a request to the app until its response was read, in milliseconds",
                    latency(),
                ),
                responses: None,
            },
            server_handles: Handles::new(MAX_SERIES),
            client_handles: Handles::new(MAX_SERIES),
            request_bytes: registrar.global(
                "http_server_request_bytes",
                "Sizes of request bodies by Content-Length",
                sizes(),
            ),
            response_bytes: registrar.global("http_server_response_bytes", "Sizes of response bodies", sizes()),
            sent_bytes: registrar.global(
                "http_client_sent_bytes",
                "Sizes of the bodies of requests to the app",
                Family::new_with_constructor(sizes),
            ),
            sent_handles: Handles::new(MAX_SERIES),
            received_bytes: registrar.global(
                "http_client_received_bytes",
                "Sizes of the bodies that the app answered, as far as they were read",
                sizes(),
            ),
            probes: registrar.global(
                "http_healthprobes_completed_count",
                "Health checks of the app",
                Family::default(),
            ),
            probe_latency: registrar.global(
                "http_healthprobes_roundtrip_latency",
                "Time of a health check, in milliseconds",
                Family::new_with_constructor(latencies(rules)),
            ),
        }))
    }

    /// Whether the path of a request is part of its series. If not, it need not be given.
    #[must_use]
    pub fn shows_paths(&self) -> bool {
        self.0.paths.shows_any()
    }

    /// The API answered a request.
    pub fn served(&self, exchange: &HttpExchange<'_>) {
        let traffic = &*self.0;
        traffic.count(&traffic.server, &traffic.server_handles, exchange);
        traffic.request_bytes.observe(bytes(exchange.request_bytes));
        traffic.response_bytes.observe(bytes(exchange.response_bytes));
    }

    /// The app answered a request, or did not.
    pub fn called(&self, exchange: &HttpExchange<'_>) {
        let traffic = &*self.0;
        traffic.count(&traffic.client, &traffic.client_handles, exchange);
        let (method, path) = (traffic.paths.method(exchange.method, &METHODS), traffic.paths.path(exchange.path));
        let labels = SentLabels { method, path };
        let overflow = SentLabels { method, path: Cow::Borrowed("") };
        let create = |labels: &SentLabels| traffic.sent_bytes.get_or_create(labels);
        let size = bytes(exchange.request_bytes);
        traffic.sent_handles.with(&labels, &overflow, create, |sent| sent.observe(size));
        traffic.received_bytes.observe(bytes(exchange.response_bytes));
    }

    /// The app answered a health check, or did not.
    pub fn probed(&self, status: Option<u16>, took: Duration) {
        let labels = ProbeLabels { status: StatusLabel(status) };
        self.0.probes.get_or_create(&labels).inc();
        self.0.probe_latency.get_or_create(&labels).observe(milliseconds(took));
    }
}

impl Traffic {
    fn count(
        &self,
        families: &ExchangeFamilies,
        handles: &Handles<ExchangeLabels, Series>,
        exchange: &HttpExchange<'_>,
    ) {
        let (method, status) = (self.paths.method(exchange.method, &METHODS), StatusLabel(exchange.status));
        let labels = ExchangeLabels { method, path: self.paths.path(exchange.path), status };
        let overflow = ExchangeLabels { method, path: Cow::Borrowed(""), status };
        handles.with(
            &labels,
            &overflow,
            |labels| families.series(labels),
            |series| {
                series.count.inc();
                series.latency.observe(milliseconds(exchange.took));
                if let Some(responses) = &series.responses {
                    responses.inc();
                }
            },
        );
    }
}

//! The settings of the channel.

use crate::telemetry::{GrpcTraffic, HttpTraffic, Metrics, Tracer};
use secrecy::SecretString;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Where the app listens and how it is called. [`AppSettings::new`] fills in the defaults.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// Host name or IP address (`--app-channel-address`).
    pub address: String,
    /// TCP port (`--app-port`).
    pub port: u16,
    /// `--app-protocol`
    pub protocol: HttpProtocol,
    /// Sent as `dapr-api-token` with every call (`APP_API_TOKEN`).
    pub api_token: Option<SecretString>,
    /// How long one event may take, from connecting to the head of the response, without the wait for a free connection.
    /// Dapr has no such limit, but without it a hung app would block a shard forever.
    pub event_timeout: Duration,
    /// Open connections, or requests in flight over HTTP/2; Dapr allows 1024.
    pub max_connections: NonZeroUsize,
    /// Whether events have the headers of daprd, which is written in Go: its `User-Agent`, `Accept-Encoding` and
    /// `traceparent`, and those of bindd only in bindd's own formats.
    pub has_go_headers: bool,
    /// How long one `OPTIONS` probe may take (`--app-binding-options-timeout`, 3 s in Dapr).
    pub probe_timeout: Duration,
    /// Counts the requests.
    pub traffic: HttpTraffic,
    /// Counts the calls of an app over gRPC.
    pub grpc_traffic: GrpcTraffic,
    /// Starts a span for each request with events.
    pub tracer: Tracer,
}

/// How an app is called over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpProtocol {
    /// HTTP/1.1
    Http,
    /// HTTP/1.1 over TLS. Every certificate is accepted, as in daprd.
    Https,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

impl HttpProtocol {
    /// As in `--app-protocol`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl AppSettings {
    /// An app on the loopback address, with the defaults: HTTP/1.1, no token, 60 s for an event, 1024 connections, 3 s for a
    /// probe, bindd's own headers.
    #[must_use]
    pub fn new(port: u16) -> Self {
        let metrics = Metrics::new();
        Self {
            address: "127.0.0.1".to_owned(),
            port,
            protocol: HttpProtocol::Http,
            api_token: None,
            event_timeout: Duration::from_secs(60),
            max_connections: NonZeroUsize::MIN.saturating_add(1023),
            has_go_headers: false,
            probe_timeout: Duration::from_secs(3),
            traffic: metrics.dapr().http().clone(),
            grpc_traffic: metrics.dapr().grpc().clone(),
            tracer: Tracer::default(),
        }
    }
}

/// Settings that cannot be put into a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppSettings {
    #[error("`{0}` is not a host name or IP address; give the host alone, without scheme and port")]
    Address(String),
    #[error("the app's API token contains characters that an HTTP header cannot contain; use visible ASCII")]
    Token,
    #[error("TLS to the app cannot be set up: {0}")]
    Tls(String),
}

//! The state and the settings of the API.

use super::admission::Access;
use super::error::ErrorFormat;
use crate::domain::Stop;
use crate::runtime::{Host, Readiness};
use crate::telemetry::{ApiLogRules, Metrics, Tracer};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What requests need. Nothing in it changes after the start.
#[derive(Debug)]
pub struct ApiState {
    pub host: Arc<Host>,
    /// Full readiness, reported by `/v1.0/healthz`.
    pub ready: Readiness,
    /// Outputs are usable, reported by `/v1.0/healthz/outbound`.
    pub outbound: Readiness,
    pub metrics: Metrics,
    pub settings: HttpSettings,
    /// `--app-id`.
    pub app_id: String,
    /// How the app is reached; shown by `/v1.0/metadata`.
    pub app: AppConnection,
    /// Additional members of `extended` in `/v1.0/metadata`, which always contains `daprRuntimeVersion`.
    pub extended: BTreeMap<String, String>,
    /// Requested by `POST /v1.0/shutdown`.
    pub stop: Stop,
    /// Requested shortly before connections are aborted: calls that still wait for a component are then answered with an
    /// unknown outcome.
    pub abort_calls: Stop,
}

/// How the app is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConnection {
    /// `--app-port`; `None` without an app.
    pub port: Option<u16>,
    /// `--app-protocol`.
    pub protocol: String,
    /// `--app-channel-address`.
    pub channel_address: String,
    /// `--app-max-concurrency`; `None` is no limit.
    pub max_concurrency: Option<u32>,
}

/// Limits, checks and formats of the API.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest request body, in bytes (`--max-body-size`, 4 MiB); `None` is no limit.
    pub max_body_size: Option<usize>,
    /// Bytes of the bodies of all requests in memory (`--max-buffer`, 256 MiB); `None` is no limit.
    pub max_buffer: Option<usize>,
    /// The largest request head, in bytes: `--read-buffer-size` (4 KiB) and 4 KiB more, as Go's server counts it. At
    /// least 8192 are used, the minimum of hyper.
    pub max_header_bytes: usize,
    /// Open connections of all listeners. At the limit, idle ones are closed, and new ones wait. 0 counts as 1.
    pub max_connections: usize,
    /// Report failures exactly as Dapr does: mostly 500, and no `details` (`--strict-dapr-errors`).
    pub strict_dapr_errors: bool,
    /// Web pages and host names that are accepted.
    pub access: Access,
    /// What is logged of each request (`--enable-api-logging`).
    pub api_log: ApiLogRules,
    /// Starts a span for each call of an output.
    pub tracer: Tracer,
    /// The required value of the header `dapr-api-token` (`DAPR_API_TOKEN`); `None` requires none.
    pub api_token: Option<SecretString>,
}

impl HttpSettings {
    pub(super) const fn error_format(&self) -> ErrorFormat {
        if self.strict_dapr_errors { ErrorFormat::Dapr } else { ErrorFormat::Precise }
    }
}

impl Default for AppConnection {
    fn default() -> Self {
        let (protocol, channel_address) = ("http".to_owned(), "127.0.0.1".to_owned());
        Self { port: None, protocol, channel_address, max_concurrency: None }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            max_body_size: Some(4 << 20),
            max_buffer: Some(256 << 20),
            max_header_bytes: 8 << 10,
            max_connections: 8192,
            strict_dapr_errors: false,
            access: Access::default(),
            api_log: ApiLogRules::default(),
            tracer: Tracer::default(),
            api_token: None,
        }
    }
}

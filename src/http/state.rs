//! The state and the settings of the API.

use super::admission::Access;
use super::component_calls::ManageComponents;
use super::connection::{ConnectionSettings, Protocol};
use super::error::ErrorFormat;
use crate::domain::{ApiRules, BodyMemory, Stop};
use crate::runtime::{ExtendedMetadata, Host, Readiness};
use crate::telemetry::{ApiLogRules, Metrics, Tracer};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// The header, or gRPC metadata, with the API token.
pub(super) const TOKEN_HEADER: &str = "dapr-api-token";

/// What requests need, over HTTP and over gRPC.
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
    /// Whether inputs are read, because the app is up and its health checks, if any, succeed.
    pub is_app_healthy: watch::Receiver<bool>,
    /// Features of Dapr that are on, such as `HotReload`; shown by `/v1.0/metadata`.
    pub features: Vec<String>,
    /// Additional members of `extended` in `/v1.0/metadata`, which always contains `daprRuntimeVersion`.
    pub extended: ExtendedMetadata,
    /// The memory of the bodies of all requests and responses (`--max-buffer`).
    pub body_memory: BodyMemory,
    /// Manages components (`--enable-components-api`); `None` without that API.
    pub components: Option<Arc<dyn ManageComponents>>,
    /// Requested by `POST /v1.0/shutdown`; forced if the request has the header `dapr-force-shutdown: true`.
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
    /// `None` without health checks of the app.
    pub health: Option<AppHealth>,
}

/// How the health of the app is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHealth {
    /// Path of the check; `None` for an app over gRPC, which has none.
    pub path: Option<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time limit of a check.
    pub timeout: Duration,
    /// Failed checks in a row after which the app is unhealthy.
    pub threshold: u32,
}

/// Limits, checks and formats of the API.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest request body, in bytes (`--max-body-size`, 4 MiB); `None` is no limit.
    pub max_body_size: Option<usize>,
    /// The largest request head, in bytes: `--read-buffer-size` (4 KiB) and 4 KiB more, as Go's server counts it. At
    /// least 8192 are used, the minimum of hyper.
    pub max_header_bytes: usize,
    /// Open connections of all listeners. At the limit, idle ones are closed, and new ones wait. 0 counts as 1.
    pub max_connections: usize,
    /// Report failures exactly as Dapr does: mostly 500, and no `details` (`--strict-dapr-errors`).
    pub strict_dapr_errors: bool,
    /// Decode `data` and encode it again, as daprd does, instead of passing on its exact text.
    pub reencodes_data: bool,
    /// Without a valid `traceparent`, use one of zeros, as daprd does, instead of a random one.
    pub zero_traceparent: bool,
    /// Leave out of the metadata what daprd does not have: the reports of the inputs.
    pub hides_inputs: bool,
    /// Endpoints that the Configuration does not allow are not found.
    pub api_rules: ApiRules,
    /// Serve HTTP/2, which clients begin without an upgrade (off with `DAPR_HTTP_DISABLE_H2C`).
    pub http2: bool,
    /// Web pages and host names that are accepted.
    pub access: Access,
    /// What is logged of each request (`--enable-api-logging`).
    pub api_log: ApiLogRules,
    /// Starts a span for each call of an output.
    pub tracer: Tracer,
    /// The required value of the header `dapr-api-token` (`DAPR_API_TOKEN`); `None` requires none.
    pub api_token: Option<SecretString>,
    /// The required value of the same header for requests that change what runs; without one, all of them are refused.
    pub admin_token: Option<SecretString>,
    /// The environment variable that has it.
    pub admin_token_name: &'static str,
}

impl HttpSettings {
    /// Compares in constant time, so that its duration does not reveal how much of a token was right; only its length.
    #[must_use]
    pub fn has_token(&self, headers: &HeaderMap) -> bool {
        self.api_token.as_ref().is_none_or(|token| is_sent(token, headers))
    }

    /// The same for requests that change what runs.
    #[must_use]
    pub fn has_admin_token(&self, headers: &HeaderMap) -> bool {
        self.admin_token.as_ref().is_some_and(|token| is_sent(token, headers))
    }

    pub(super) const fn connections(&self) -> ConnectionSettings {
        let protocol = if self.http2 { Protocol::Http } else { Protocol::Http1 };
        let Self { max_header_bytes, max_connections, .. } = *self;
        ConnectionSettings { max_header_bytes, max_connections, protocol }
    }

    pub(super) const fn error_format(&self) -> ErrorFormat {
        if self.strict_dapr_errors { ErrorFormat::Dapr } else { ErrorFormat::Precise }
    }
}

fn is_sent(token: &SecretString, headers: &HeaderMap) -> bool {
    let given = headers.get(TOKEN_HEADER);
    given.is_some_and(|given| token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into())
}

impl Default for AppConnection {
    fn default() -> Self {
        let (protocol, channel_address) = ("http".to_owned(), "127.0.0.1".to_owned());
        Self { port: None, protocol, channel_address, max_concurrency: None, health: None }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            max_body_size: Some(4 << 20),
            max_header_bytes: 8 << 10,
            max_connections: 8192,
            strict_dapr_errors: false,
            reencodes_data: false,
            zero_traceparent: false,
            hides_inputs: false,
            api_rules: ApiRules::default(),
            http2: true,
            access: Access::default(),
            api_log: ApiLogRules::default(),
            tracer: Tracer::default(),
            api_token: None,
            admin_token: None,
            admin_token_name: "BINDD_ADMIN_TOKEN",
        }
    }
}

//! What the HTTP side needs to know and to hold.

use super::admission::Access;
use crate::domain::Stop;
use crate::runtime::{Host, Readiness};
use crate::telemetry::Metrics;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a request may need. Cheap to share behind an `Arc`; nothing in it changes after the start.
#[derive(Debug)]
pub struct Face {
    /// The components.
    pub host: Arc<Host>,
    /// Full readiness, told by `/v1.0/healthz`.
    pub ready: Readiness,
    /// Outputs are usable, told by `/v1.0/healthz/outbound`.
    pub outbound: Readiness,
    /// Counts answered requests.
    pub metrics: Metrics,
    /// Limits and manners.
    pub settings: HttpSettings,
    /// `--app-id`.
    pub app_id: String,
    /// How the app is reached, for the metadata page.
    pub app: AppConnection,
    /// More pairs for `extended` on the metadata page; `daprRuntimeVersion` is added by itself.
    pub extended: BTreeMap<String, String>,
    /// Asked to finish by `POST /v1.0/shutdown`.
    pub stop: Stop,
    /// Asked to finish when whoever still waits for a component must be answered, just before connections are cut.
    pub last_answers: Stop,
}

/// How the app is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConnection {
    /// `--app-port`; without one there is no app to call.
    pub port: Option<u16>,
    /// `--app-protocol`.
    pub protocol: String,
    /// `--app-channel-address`.
    pub channel_address: String,
    /// `--app-max-concurrency`; without one there is no limit.
    pub max_concurrency: Option<u32>,
}

/// Limits and manners of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest request body, in bytes (`--max-body-size`, 4 MiB); `None` is no limit.
    pub max_body_size: Option<usize>,
    /// Bytes of request bodies held at once, over all requests (`--max-buffer`, 256 MiB); `None` is no limit.
    pub max_buffer: Option<usize>,
    /// The largest request head, in bytes: `--read-buffer-size` (4 KiB) and 4 KiB more, as Go's server counts it.
    /// Less than 8192 is raised to 8192.
    pub max_header_bytes: usize,
    /// Connections held at once, over all listeners; beyond that, idle ones are closed and accepting waits. At least 1.
    pub max_connections: usize,
    /// Answer failures exactly as Dapr does: 500 nearly always, and no `details` (`--strict-dapr-errors`).
    pub strict_dapr_errors: bool,
    /// Which web pages may call, and by which names loopback sockets may be called.
    pub access: Access,
    /// What the header `dapr-api-token` must hold (`DAPR_API_TOKEN`); `None` asks for none.
    pub api_token: Option<SecretString>,
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
            api_token: None,
        }
    }
}

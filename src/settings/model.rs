//! What the rest of the house gets to see: plain, checked values.

use crate::http::Access;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a request body, as in daprd.
pub(super) const DEFAULT_BODY: usize = 4 << 20;
/// Bytes of request bodies held at once.
pub(super) const DEFAULT_BUFFER: usize = 256 << 20;
/// Bytes of request headers, as in daprd.
pub(super) const DEFAULT_HEADERS: usize = 4 << 10;
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(5);
pub(super) const DEFAULT_PROBE: Duration = Duration::from_secs(3);
const DEFAULT_APP_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_LOG: &str = "info";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// The sidecar itself.
    Run(Box<Settings>),
    /// Check component files and contact nothing.
    Check(CheckSettings),
    /// Check component files, then try what each component needs.
    Probe(ProbeSettings),
    /// Print the least IAM policy for component files.
    Policy(PolicySettings),
    /// Wait until the outputs of another sidecar are ready.
    Wait(WaitSettings),
    /// Everything in one process, with a built-in app and some traffic.
    #[cfg(feature = "embedded")]
    Demo(DemoSettings),
    /// The user's component files and app against embedded AWS.
    #[cfg(feature = "embedded")]
    Dev(Box<DevSettings>),
}

impl Command {
    /// Threads that do its work; `None` is one for each core.
    ///
    /// One serves a sidecar best: it waits for others nearly all the time, and threads that hand work to each other cost
    /// more than they bring. Embedded AWS works in the same process and has its share.
    #[must_use]
    pub fn worker_threads(&self) -> Option<NonZeroUsize> {
        let count = match self {
            Self::Run(settings) => settings.worker_threads.unwrap_or(1),
            Self::Check(_) | Self::Probe(_) | Self::Policy(_) | Self::Wait(_) => 1,
            #[cfg(feature = "embedded")]
            Self::Demo(_) => 0,
            #[cfg(feature = "embedded")]
            Self::Dev(settings) => settings.run.worker_threads.unwrap_or(0),
        };
        NonZeroUsize::new(count)
    }
}

/// Where the app listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppEndpoint {
    /// Host name or IP address (`--app-channel-address`).
    pub address: String,
    /// TCP port (`--app-port`), never 0.
    pub port: u16,
}

/// Settings of a running sidecar.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the app (`--app-id`); without dots, as in daprd.
    pub app_id: String,
    /// The app, if there is one; without it no input is read.
    pub app: Option<AppEndpoint>,
    /// Where the HTTP API listens; port 0 takes a free one. Never empty.
    pub http_addresses: Vec<SocketAddr>,
    /// Where Prometheus may ask; `None` with `--enable-metrics=false`.
    pub metrics_address: Option<SocketAddr>,
    /// Which web pages may call (`--allowed-origins`), and by which names beside `localhost` loopback addresses may be
    /// called (`--allowed-hosts`).
    pub access: Access,
    /// Files and folders with components, in the order given.
    pub resources_paths: Vec<PathBuf>,
    /// Namespace of this sidecar (environment `NAMESPACE`); `None` when unset or empty.
    pub namespace: Option<String>,
    /// A level or a `tracing` filter.
    pub log_filter: String,
    /// One JSON object a line instead of text.
    pub log_json: bool,
    /// Largest request body in bytes; `None` is no limit.
    pub max_body_size: Option<usize>,
    /// Bytes of request bodies held in memory at once, over all requests; `None` is no limit.
    pub max_buffer: Option<usize>,
    /// Largest block of request headers in bytes, as daprd takes it: 4 KiB more are let in.
    pub read_buffer_size: usize,
    /// Threads that do the work, 0 for one for each core; `None` where the command is to decide.
    pub worker_threads: Option<usize>,
    /// Time for a graceful stop; `None` is no limit.
    pub graceful_shutdown: Option<Duration>,
    /// Answer every failure of a binding with 500, as daprd does.
    pub strict_dapr_errors: bool,
    /// The token that callers must send in `dapr-api-token` (environment `DAPR_API_TOKEN`).
    pub api_token: Option<SecretString>,
    /// The token that is sent to the app in `dapr-api-token` (environment `APP_API_TOKEN`).
    pub app_api_token: Option<SecretString>,
    /// A PEM file of further certificate authorities that AWS calls trust (environment `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// How long the app may take for one event; never zero.
    pub app_timeout: Duration,
    /// How long the app may take for one `OPTIONS` probe; never zero.
    pub probe_timeout: Duration,
    /// Flags of daprd that were given and mean nothing here; each deserves one warning.
    pub unused_flags: Vec<String>,
    /// What else is odd about command line and environment; each deserves one warning. Never shows a value.
    pub notices: Vec<String>,
}

impl Settings {
    /// A sidecar for one machine: loopback, a free port, no app, no metrics page, all else by default, and nothing
    /// from the environment. For the demo and for tests, which set what they need.
    #[must_use]
    pub fn local(app_id: impl Into<String>, resources: impl Into<PathBuf>) -> Self {
        Self {
            app_id: app_id.into(),
            app: None,
            http_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            metrics_address: None,
            access: Access::default(),
            resources_paths: vec![resources.into()],
            namespace: None,
            log_filter: DEFAULT_LOG.to_owned(),
            log_json: false,
            max_body_size: Some(DEFAULT_BODY),
            max_buffer: Some(DEFAULT_BUFFER),
            read_buffer_size: DEFAULT_HEADERS,
            worker_threads: None,
            graceful_shutdown: Some(DEFAULT_GRACE),
            strict_dapr_errors: false,
            api_token: None,
            app_api_token: None,
            ca_bundle: None,
            app_timeout: DEFAULT_APP_TIMEOUT,
            probe_timeout: DEFAULT_PROBE,
            unused_flags: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// Settings of `bindd check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// Files and folders to check; never empty.
    pub paths: Vec<PathBuf>,
    /// Checks as this app would see the files; without it, scopes hide nothing.
    pub app_id: Option<String>,
    /// Checks as a sidecar of this namespace would see the files.
    pub namespace: Option<String>,
    /// Answer in JSON.
    pub json: bool,
}

/// Settings of `bindd check --connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSettings {
    /// What is checked first.
    pub files: CheckSettings,
    /// A PEM file of further certificate authorities that AWS calls trust (environment `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
}

/// Settings of `bindd policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// The files.
    pub files: CheckSettings,
    /// The region of components whose file names none (`--region`, else environment `AWS_REGION`).
    pub region: Option<String>,
}

/// Settings of `bindd --wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitSettings {
    /// Where the other sidecar listens; never port 0 or an address that stands for all networks.
    pub address: SocketAddr,
}

/// Settings of `bindd demo`.
#[cfg(feature = "embedded")]
#[derive(Debug, Clone, PartialEq)]
pub struct DemoSettings {
    /// Keep streams, tables and progress in this folder; without it everything is temporary.
    pub keep: Option<PathBuf>,
    /// Orders put each second; above 0, at most 1,000.
    pub rate: f64,
    /// End after this time; without it, at Ctrl-C.
    pub ends_after: Option<Duration>,
    /// Port of the HTTP API; `None` takes 3500, or a free one where that is taken.
    pub http_port: Option<u16>,
    /// A level or a `tracing` filter; quiet unless asked, because the screen shows the demo.
    pub log_filter: String,
}

/// Settings of `bindd dev`.
#[cfg(feature = "embedded")]
#[derive(Debug, Clone)]
pub struct DevSettings {
    /// The sidecar's own settings.
    pub run: Settings,
    /// Keep streams, tables and progress in this folder; without it everything is temporary.
    pub keep: Option<PathBuf>,
    /// Port of the embedded Kinesis; `None` takes a free one.
    pub kinesis_port: Option<u16>,
    /// Port of the embedded DynamoDB; `None` takes a free one.
    pub dynamodb_port: Option<u16>,
    /// The app's command and its arguments; empty when the app is started by hand.
    pub command: Vec<String>,
}

/// The command line cannot be used, or asked only for a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct UsageError {
    /// What to print: to standard output with code 0, else to standard error.
    pub text: String,
    /// Exit code: 0 for help and version, 2 for wrong usage.
    pub code: u8,
}

impl UsageError {
    /// Wrong usage.
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }
}

//! The settings structs: plain, checked values.

use super::components_api::ComponentsApiSettings;
use super::file_commands::{CheckSettings, PolicySettings, ProbeSettings, TrySettings};
use super::leases::LeasesSettings;
use crate::http::Access;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// In bytes, as in daprd.
pub(super) const DEFAULT_BODY: usize = 4 << 20;
/// In bytes, over all requests.
pub(super) const DEFAULT_BUFFER: usize = 256 << 20;
/// In bytes, over all inputs.
pub(super) const DEFAULT_BUFFERED: usize = 64 << 20;
/// In bytes, as in daprd.
pub(super) const DEFAULT_HEADERS: usize = 4 << 10;
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(5);
pub(super) const DEFAULT_PROBE: Duration = Duration::from_secs(3);
pub(super) const DEFAULT_HEALTH_INTERVAL: Duration = Duration::from_secs(5);
pub(super) const DEFAULT_HEALTH_TIMEOUT: Duration = Duration::from_millis(500);
pub(super) const DEFAULT_HEALTH_THRESHOLD: u32 = 3;
pub(super) const DEFAULT_RECONCILE: Duration = Duration::from_secs(60);
/// As in daprd.
pub(super) const DEFAULT_COMPONENT_SOCKETS: &str = "/tmp/dapr-components-sockets";
pub(super) const DEFAULT_GRPC_IDLE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub enum Command {
    /// Run the sidecar.
    Run(Box<Settings>),
    /// Check component files, without network calls.
    Check(CheckSettings),
    /// Check component files, and then the access to AWS that each component needs.
    Probe(ProbeSettings),
    /// Print the minimal IAM policy for component files.
    Policy(PolicySettings),
    /// Show what a component does with the records of the standard input.
    Try(TrySettings),
    /// Show or change the leases of an input.
    Leases(Box<LeasesSettings>),
    /// Wait until the outputs of another sidecar are ready.
    Wait(WaitSettings),
    /// Run everything in one process, with a built-in app and some traffic.
    #[cfg(feature = "embedded")]
    Demo(DemoSettings),
    /// Run the user's component files and app with embedded AWS.
    #[cfg(feature = "embedded")]
    Dev(Box<DevSettings>),
}

impl Command {
    /// Number of worker threads; `None` is one per CPU core.
    ///
    /// The default of a sidecar is one: it waits for I/O nearly all the time, and passing work between threads costs more
    /// than it gains. With embedded AWS there is more work in the process, so the default is one per core.
    #[must_use]
    pub fn worker_threads(&self) -> Option<NonZeroUsize> {
        let count = match self {
            Self::Run(settings) => settings.worker_threads.unwrap_or(1),
            Self::Check(_) | Self::Probe(_) | Self::Policy(_) | Self::Try(_) | Self::Leases(_) | Self::Wait(_) => 1,
            #[cfg(feature = "embedded")]
            Self::Demo(_) => 0,
            #[cfg(feature = "embedded")]
            Self::Dev(settings) => settings.run.worker_threads.unwrap_or(0),
        };
        NonZeroUsize::new(count)
    }

    /// Whether the process serves profiles (`--enable-profiling`).
    #[must_use]
    pub fn has_profiles(&self) -> bool {
        self.sidecar().is_some_and(|settings| !settings.profile_addresses.is_empty())
    }

    /// Whether the process behaves as daprd (`--dapr-compat`). Then it exits with 1 after a second signal.
    #[must_use]
    pub fn is_dapr_compat(&self) -> bool {
        self.sidecar().is_some_and(|settings| settings.dapr_compat)
    }

    /// The settings of the sidecar, if the command runs one of the user's.
    fn sidecar(&self) -> Option<&Settings> {
        match self {
            Self::Run(settings) => Some(settings),
            Self::Check(_) | Self::Probe(_) | Self::Policy(_) | Self::Try(_) | Self::Leases(_) | Self::Wait(_) => None,
            #[cfg(feature = "embedded")]
            Self::Demo(_) => None,
            #[cfg(feature = "embedded")]
            Self::Dev(settings) => Some(&settings.run),
        }
    }
}

/// Where the app listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppEndpoint {
    /// Host name or IP address (`--app-channel-address`).
    pub address: String,
    /// TCP port (`--app-port`), never 0.
    pub port: u16,
    pub protocol: AppProtocol,
}

/// How the app is called (`--app-protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppProtocol {
    #[default]
    Http,
    Https,
    /// HTTP/2 without TLS.
    H2c,
    Grpc,
    Grpcs,
}

impl AppProtocol {
    /// As in `--app-protocol`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }
}

/// Health checks of the app (`--enable-app-health-check`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHealthSettings {
    /// Path of the check over HTTP, with its leading `/`.
    pub path: String,
    /// Time between two checks; never zero.
    pub interval: Duration,
    /// Time limit of a check; not longer than the interval.
    pub timeout: Duration,
    /// Failed checks in a row after which the app is unhealthy; at least 1.
    pub threshold: u32,
}

/// Where the sidecar runs (`--mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Standalone,
    /// Components that name no secret store read the secrets of Kubernetes.
    Kubernetes,
}

/// How changed files are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadSettings {
    /// `--watch`; `None` is as the feature `HotReload` of the Configuration says, else on.
    pub watch: Option<bool>,
    /// How often all files are compared again; never zero.
    pub reconcile_interval: Duration,
}

/// Settings of a running sidecar.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the app (`--app-id`); without dots, as in daprd.
    pub app_id: String,
    /// Without it, no input is read.
    pub app: Option<AppEndpoint>,
    /// Where the HTTP API listens; port 0 is any free port. Never empty.
    pub http_addresses: Vec<SocketAddr>,
    /// Where the gRPC API listens; port 0 is any free port. Never empty.
    pub grpc_addresses: Vec<SocketAddr>,
    /// Whether the HTTP API speaks HTTP/2 too (unless the environment variable `DAPR_HTTP_DISABLE_H2C` is true).
    pub http2: bool,
    /// A connection to the gRPC API without a request for this time is closed (environment variable
    /// `DAPR_GRPC_MAX_CONN_IDLE`); never zero.
    pub grpc_max_idle: Duration,
    /// A port that only accepts connections (`--dapr-internal-grpc-port`).
    pub internal_grpc_address: Option<SocketAddr>,
    /// Whether a free port does if that one is taken, because no flag names it.
    pub internal_grpc_any_port: bool,
    /// Where only health and metadata are served, without a token (`--dapr-public-port`).
    pub public_address: Option<SocketAddr>,
    /// The APIs listen on Unix sockets in this folder instead of TCP ports.
    pub unix_socket_folder: Option<PathBuf>,
    /// Where profiles are served (`--enable-profiling`); empty is nowhere.
    pub profile_addresses: Vec<SocketAddr>,
    /// Where metrics are served; `None` with `--enable-metrics=false`.
    pub metrics_address: Option<SocketAddr>,
    /// Origins of web pages that may call the HTTP API (`--allowed-origins`), and host names beside `localhost` that
    /// requests to loopback addresses may use (`--allowed-hosts`).
    pub access: Access,
    /// Files and folders with components.
    pub resources_paths: Vec<PathBuf>,
    /// Folder with the sockets of pluggable components (environment variable `DAPR_COMPONENTS_SOCKETS_FOLDER`).
    pub component_sockets: PathBuf,
    /// Files with a `Configuration` (`--config`); later ones win.
    pub config_paths: Vec<PathBuf>,
    pub reload: ReloadSettings,
    /// Whether an unknown kind of component stops the start.
    pub strict_components: bool,
    /// Behave as daprd where bindd differs on purpose (`--dapr-compat`).
    pub dapr_compat: bool,
    pub mode: Mode,
    /// Whether components that name no secret store read the secrets of Kubernetes, in its mode.
    pub builtin_kubernetes_secrets: bool,
    /// Whether the app is not asked for its configuration (`--disable-init-endpoints config`).
    pub skips_app_config: bool,
    /// Namespace of this sidecar (environment variable `NAMESPACE`).
    pub namespace: Option<String>,
    /// A level or a `tracing` filter.
    pub log_filter: String,
    /// Log one JSON object per line instead of text.
    pub log_json: bool,
    /// File to which logs are appended; `None` is the terminal.
    pub log_file: Option<PathBuf>,
    /// Log each request to the APIs; `None` is as the Configuration says, else not.
    pub api_logging: Option<bool>,
    /// Largest request body in bytes; `None` is no limit.
    pub max_body_size: Option<usize>,
    /// Bytes of request bodies in memory, over all requests; `None` is no limit.
    pub max_buffer: Option<usize>,
    /// Largest request headers in bytes. As in daprd, 4 KiB more than this are accepted.
    pub read_buffer_size: usize,
    /// Number of worker threads; 0 is one per CPU core, `None` is the default of the command.
    pub worker_threads: Option<usize>,
    /// Time limit of a graceful shutdown; `None` is no limit.
    pub graceful_shutdown: Option<Duration>,
    /// After a signal, serve the outputs for this long before the shutdown; `None` is not at all.
    pub block_shutdown: Option<Duration>,
    /// Answer every failure of a binding with 500, as daprd does. Also with `--dapr-compat`.
    pub strict_dapr_errors: bool,
    /// The token that requests must have in `dapr-api-token` (environment variable `DAPR_API_TOKEN`).
    pub api_token: Option<SecretString>,
    /// Whether components can be changed over HTTP (`--enable-components-api`), and the token that such requests must have.
    pub components_api: Option<ComponentsApiSettings>,
    /// The token that is sent to the app in `dapr-api-token` (environment variable `APP_API_TOKEN`).
    pub app_api_token: Option<SecretString>,
    /// A PEM file with additional certificate authorities for calls to AWS (environment variable `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// Time limit for the app to handle one event; never zero.
    pub app_timeout: Duration,
    /// Time limit for the app to answer one `OPTIONS` probe; never zero.
    pub probe_timeout: Duration,
    /// Health checks of the app; `None` without them.
    pub app_health: Option<AppHealthSettings>,
    /// Requests with events in flight at once, over all inputs (`--app-max-concurrency`); `None` is 1,024.
    pub app_max_concurrency: Option<NonZeroUsize>,
    /// Bytes of records that all inputs hold in memory at once (`--max-buffered-bytes`); above 4 GiB counts as 4 GiB.
    pub max_buffered_bytes: usize,
    /// Flags of daprd that were given and have no effect, to be logged at debug.
    pub unused_flags: Vec<String>,
    /// Other warnings about command line and environment. They contain no values of variables.
    pub notices: Vec<String>,
}

impl Settings {
    /// Settings for the demo and for tests: a free port on loopback, none for other sidecars, no app, no metrics, nothing
    /// from the environment, files that are not watched, and the defaults of the flags for the rest.
    #[must_use]
    pub fn local(app_id: impl Into<String>, resources: impl Into<PathBuf>) -> Self {
        Self {
            app_id: app_id.into(),
            app: None,
            http_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            grpc_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            http2: true,
            grpc_max_idle: DEFAULT_GRPC_IDLE,
            internal_grpc_address: None,
            internal_grpc_any_port: false,
            public_address: None,
            unix_socket_folder: None,
            profile_addresses: Vec::new(),
            metrics_address: None,
            access: Access::default(),
            resources_paths: vec![resources.into()],
            component_sockets: DEFAULT_COMPONENT_SOCKETS.into(),
            config_paths: Vec::new(),
            reload: ReloadSettings { watch: Some(false), reconcile_interval: DEFAULT_RECONCILE },
            strict_components: false,
            dapr_compat: false,
            mode: Mode::Standalone,
            builtin_kubernetes_secrets: true,
            skips_app_config: false,
            namespace: None,
            log_filter: "info".to_owned(),
            log_json: false,
            log_file: None,
            api_logging: None,
            max_body_size: Some(DEFAULT_BODY),
            max_buffer: Some(DEFAULT_BUFFER),
            read_buffer_size: DEFAULT_HEADERS,
            worker_threads: None,
            graceful_shutdown: Some(DEFAULT_GRACE),
            block_shutdown: None,
            strict_dapr_errors: false,
            api_token: None,
            components_api: None,
            app_api_token: None,
            ca_bundle: None,
            app_timeout: Duration::from_secs(60),
            probe_timeout: DEFAULT_PROBE,
            app_health: None,
            app_max_concurrency: None,
            max_buffered_bytes: DEFAULT_BUFFERED,
            unused_flags: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// Settings of `bindd --wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitSettings {
    /// Where the other sidecar listens; never port 0 or an unspecified address.
    pub address: SocketAddr,
    /// Exit with 0 also if the sidecar is not ready in time, as daprd does (`--dapr-compat`).
    pub succeeds_anyway: bool,
}

/// Settings of `bindd demo`.
#[cfg(feature = "embedded")]
#[derive(Debug, Clone, PartialEq)]
pub struct DemoSettings {
    /// Folder for streams, tables and progress; `None` is a temporary folder.
    pub keep: Option<PathBuf>,
    /// Orders per second; above 0, at most 1,000.
    pub rate: f64,
    /// End after this time; `None` is at Ctrl-C.
    pub ends_after: Option<Duration>,
    /// Port of the HTTP API; `None` is 3500, or any free port if that is in use.
    pub http_port: Option<u16>,
    /// A level or a `tracing` filter. The default is `error`, because the terminal shows the demo.
    pub log_filter: String,
}

/// Settings of `bindd dev`.
#[cfg(feature = "embedded")]
#[derive(Debug, Clone)]
pub struct DevSettings {
    pub run: Settings,
    /// Folder for streams, tables and progress; `None` is a temporary folder.
    pub keep: Option<PathBuf>,
    /// `None` is any free port.
    pub kinesis_port: Option<u16>,
    /// `None` is any free port.
    pub dynamodb_port: Option<u16>,
    /// The app's command and its arguments; empty if the user starts the app.
    pub command: Vec<String>,
}

/// The command line is wrong, or only prints a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct UsageError {
    /// Printed to standard output with code 0, else to standard error.
    pub text: String,
    /// 0 for help and version, 2 for wrong usage.
    pub code: u8,
}

impl UsageError {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }
}

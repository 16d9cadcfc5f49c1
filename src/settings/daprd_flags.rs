//! The flags of daprd about the gRPC API, the app's health, logs, files and the end of the process.

use super::values::{go_duration, switch};
use clap::{ArgAction, Args};
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC and other listeners")]
pub(super) struct ListenFlags {
    /// Port of the gRPC API; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 50001)]
    pub(super) dapr_grpc_port: u16,
    /// Port for calls from other sidecars of Dapr, which bindd does not serve: it only accepts connections there
    /// [default: one from 47300 to 49347 that the app id decides, or any free one].
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    pub(super) dapr_internal_grpc_port: Option<u16>,
    /// IP address of --dapr-internal-grpc-port [default: that of the HTTP API].
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true, hide_short_help = true)]
    pub(super) dapr_internal_grpc_listen_address: String,
    /// Port that serves only health and metadata, without a token, for probes of Kubernetes [default: none].
    #[arg(long, value_name = "PORT")]
    pub(super) dapr_public_port: Option<u16>,
    /// IP address of --dapr-public-port [default: all addresses].
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(super) dapr_public_listen_address: String,
    /// Folder in which the APIs listen on Unix sockets instead of TCP ports.
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(super) unix_domain_socket: OsString,
    /// Serve CPU and heap profiles on --profile-port, for `go tool pprof`.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false", hide_short_help = true)]
    pub(super) enable_profiling: bool,
    /// Port of the profiles, on loopback; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 7777, hide_short_help = true)]
    pub(super) profile_port: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Health of the app")]
pub(super) struct HealthFlags {
    /// Check the health of the app; inputs are read only while it is healthy.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) enable_app_health_check: bool,
    /// Path of the check over HTTP.
    #[arg(long, value_name = "PATH", default_value = "/healthz")]
    pub(super) app_health_check_path: String,
    /// Seconds between two checks; 0 or less is the default.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, allow_negative_numbers = true)]
    pub(super) app_health_probe_interval: i64,
    /// Time limit of a check in milliseconds; 0 or less is the default.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 500, allow_negative_numbers = true)]
    pub(super) app_health_probe_timeout: i64,
    /// Failed checks in a row after which the app is unhealthy; 0 or less is the default.
    #[arg(long, value_name = "COUNT", default_value_t = 3, allow_negative_numbers = true)]
    pub(super) app_health_threshold: i64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files and process")]
pub(super) struct ProcessFlags {
    /// File with a Configuration of Dapr. Repeat the flag or separate paths with commas; later files win.
    #[arg(long, value_name = "FILE", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) config: Vec<OsString>,
    /// Apply changes of component files without a restart [default: as the feature HotReload of the Configuration says,
    /// else true].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) watch: Option<bool>,
    /// How often all files are compared again, beside the notices of the file system; 0 or less is 60s.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = go_duration, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) hot_reload_reconcile_interval: Duration,
    /// Refuse to start when a file has a kind of component that bindd does not know.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) strict_components: bool,
    /// Behave as daprd in the points in which bindd differs on purpose; docs/dapr-compatibility.md lists them
    /// [default: the environment variable BINDD_DAPR_COMPAT, else false].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) dapr_compat: Option<bool>,
    /// standalone or kubernetes.
    #[arg(long, value_name = "MODE", default_value = "standalone")]
    pub(super) mode: String,
    /// Do not read secrets of Kubernetes where a component names no secret store.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false", hide_short_help = true)]
    pub(super) disable_builtin_k8s_secret_store: bool,
    /// Requests to the app at the start to leave out: config, subscribe; separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', action = ArgAction::Append, hide_short_help = true)]
    pub(super) disable_init_endpoints: Vec<String>,
    /// After a signal, serve the outputs for this long before the shutdown, or until the app is unhealthy
    /// [default: 0, at once].
    #[arg(long, value_name = "DURATION", value_parser = go_duration, allow_hyphen_values = true)]
    pub(super) dapr_block_shutdown_duration: Option<Duration>,
    /// File to which logs are appended, instead of the terminal.
    #[arg(long, help_heading = "Logs", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(super) log_file: OsString,
    /// Log each request to the APIs [default: as the Configuration says, else false].
    #[arg(long, help_heading = "Logs", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) enable_api_logging: Option<bool>,
}

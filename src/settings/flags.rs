//! The command line as the argument parser sees it: our flags, and daprd's flags without effect.
//! The doc comments of the flags are the texts of `--help`.

use super::daprd_flags::{HealthFlags, ListenFlags, ProcessFlags};
use super::lease_flags::{LEASES_EXAMPLES, LeasesFlags};
use super::try_flags::{TRY_EXAMPLES, TryFlags};
use super::values::{go_duration, quantity, switch};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A sidecar that connects an app to Amazon Kinesis and DynamoDB over plain HTTP, in place of Dapr's bindings.
#[derive(Debug, Parser)]
#[command(
    name = "bindd",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    args_override_self = true,
    after_help = "Durations are written like 500ms, 3s or 1m30s; sizes in bytes like 4Mi, 512Ki or 1000000.\n\
                  Environment variables: DAPR_API_TOKEN, APP_API_TOKEN, NAMESPACE, BINDD_ALLOWED_HOSTS, \
                  DAPR_GRPC_MAX_CONN_IDLE, DAPR_HTTP_DISABLE_H2C, DAPR_COMPONENTS_SOCKETS_FOLDER, \
                  BINDD_MAX_BUFFER, BINDD_STRICT_DAPR_ERRORS, BINDD_DAPR_COMPAT, BINDD_ADMIN_TOKEN, \
                  BINDD_ENABLE_COMPONENTS_API, and those of the AWS SDK.",
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) run: RunFlags,
    #[command(subcommand)]
    pub(super) subcommand: Option<SubcommandFlags>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SubcommandFlags {
    /// Run a demo in one process: embedded AWS, sample components, a built-in app and some traffic.
    #[cfg(feature = "embedded")]
    #[command(args_override_self = true)]
    Demo(DemoFlags),
    /// Run your component files and your app with embedded AWS.
    #[cfg(feature = "embedded")]
    #[command(args_override_self = true)]
    Dev(Box<DevFlags>),
    /// Check component files, and with --connect also their access to AWS. Exits with 1 if a check fails.
    #[command(args_override_self = true)]
    Check(CheckFlags),
    /// Print the minimal IAM policy for component files. Makes no network call.
    #[command(args_override_self = true)]
    Policy(PolicyFlags),
    /// Show what a component does with records: filtered or not, key, hash key and data. Makes no network call.
    #[command(args_override_self = true, after_help = TRY_EXAMPLES)]
    Try(TryFlags),
    /// Show or change the leases of an input: who reads which shard, and how far. Sidecars may go on running.
    #[command(after_help = LEASES_EXAMPLES)]
    Leases(LeasesFlags),
    /// Print a script that completes the command line in a shell.
    Completions(CompletionsFlags),
    /// Print the manual page, in the format of man.
    Man,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "App")]
pub(super) struct RunFlags {
    /// Name of the app, without dots. Required, except with dev. The default names of lease tables and stream consumers
    /// contain it.
    #[arg(long, value_name = "NAME")]
    pub(super) app_id: Option<String>,
    /// Port of the app. Without it, no input binding is read.
    #[arg(long, value_name = "PORT")]
    pub(super) app_port: Option<u16>,
    /// Protocol of the app: http, https, h2c, grpc or grpcs.
    #[arg(long, value_name = "PROTOCOL", default_value = "http")]
    pub(super) app_protocol: String,
    /// Deprecated: turns the protocol http into https, and grpc into grpcs.
    #[arg(long, hide_short_help = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) app_ssl: bool,
    /// Host name or IP address of the app.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) app_channel_address: String,
    /// Time limit for the app to handle one event.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = go_duration)]
    pub(super) app_timeout: Duration,
    /// Time limit for the app to answer the OPTIONS request that asks whether it takes an input binding.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = go_duration, allow_hyphen_values = true)]
    pub(super) app_binding_options_timeout: Duration,
    /// Requests to the app with events that are in flight at once, over all inputs; 0 or less is the default
    /// [default: 1024].
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(super) app_max_concurrency: Option<i64>,
    /// Folder or file with components. Repeat the flag or separate paths with commas.
    #[arg(long, help_heading = "Files and process", value_name = "PATH", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) resources_path: Vec<PathBuf>,
    /// Deprecated name of --resources-path, used only without it.
    #[arg(long, help_heading = "Files and process", value_name = "PATH", hide_short_help = true)]
    pub(super) components_path: Option<PathBuf>,
    #[command(flatten)]
    pub(super) ports: PortFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    /// Log level (debug, info, warn, error), or a filter such as info,bindd::consumer=debug.
    #[arg(long, help_heading = "Logs", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// Log one JSON object per line.
    #[arg(long, help_heading = "Logs", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) log_as_json: bool,
    /// Answer every failure of a binding with status 500, as daprd does; also on with --dapr-compat
    /// [default: the environment variable BINDD_STRICT_DAPR_ERRORS, else false].
    #[arg(long, help_heading = "HTTP API and metrics", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) strict_dapr_errors: Option<bool>,
    /// Print version and CPU architecture, then exit.
    #[arg(long, help_heading = "Other modes", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false", hide_short_help = true)]
    pub(super) build_info: bool,
    /// Wait up to 60 s until the outputs of the sidecar on --dapr-http-port are ready, then exit. Starts no sidecar.
    #[arg(long, help_heading = "Other modes", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, value_name = "true|false", hide_short_help = true)]
    pub(super) wait: bool,
    #[command(flatten)]
    pub(super) listen: ListenFlags,
    #[command(flatten)]
    pub(super) health: HealthFlags,
    #[command(flatten)]
    pub(super) process: ProcessFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP API and metrics")]
pub(super) struct PortFlags {
    /// Port of the HTTP API; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 3500)]
    pub(super) dapr_http_port: u16,
    /// IP addresses on which the APIs listen, separated by commas [default: 127.0.0.1; all with --dapr-compat].
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    pub(super) dapr_listen_addresses: String,
    /// Origins of web pages that may call the HTTP API, separated by commas; * allows any [default: none].
    #[arg(long, value_name = "ORIGINS", default_value = "", hide_default_value = true)]
    pub(super) allowed_origins: String,
    /// Host names beside localhost that requests to loopback addresses may use, separated by commas; * allows any
    /// [default: the environment variable BINDD_ALLOWED_HOSTS, else none].
    #[arg(long, value_name = "HOSTS")]
    pub(super) allowed_hosts: Option<String>,
    /// Serve the API that creates, changes and removes components. Every request to it needs the token of the environment
    /// variable BINDD_ADMIN_TOKEN, or else of DAPR_API_TOKEN
    /// [default: the environment variable BINDD_ENABLE_COMPONENTS_API, else false].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) enable_components_api: Option<bool>,
    /// Serve Prometheus metrics.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) enable_metrics: bool,
    /// Port of the metrics; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub(super) metrics_port: u16,
    /// IP address on which the metrics are served [default: 127.0.0.1; all with --dapr-compat].
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(super) metrics_listen_address: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitFlags {
    /// Largest request body in bytes; 0 is no limit [default: 4Mi].
    #[arg(long, value_name = "SIZE", value_parser = quantity, allow_hyphen_values = true)]
    pub(super) max_body_size: Option<i64>,
    /// Deprecated form of --max-body-size, in MiB.
    #[arg(long, value_name = "MIB", allow_negative_numbers = true, hide_short_help = true)]
    pub(super) dapr_http_max_request_size: Option<i64>,
    /// Bytes of request bodies that are held in memory at once; requests beyond that are answered with 503. 0 is no limit
    /// [default: the environment variable BINDD_MAX_BUFFER, else 256Mi].
    #[arg(long, value_name = "SIZE", value_parser = quantity, allow_hyphen_values = true)]
    pub(super) max_buffer: Option<i64>,
    /// Bytes of records that inputs hold in memory at once, from reading to acceptance, 64Ki to 4Gi; reading waits beyond
    /// that. 0 is 4Gi [default: 64Mi].
    #[arg(long, value_name = "SIZE", value_parser = quantity, allow_hyphen_values = true)]
    pub(super) max_buffered_bytes: Option<i64>,
    /// Largest request headers in bytes [default: 4Ki].
    #[arg(long, value_name = "SIZE", value_parser = quantity, allow_hyphen_values = true)]
    pub(super) read_buffer_size: Option<i64>,
    /// Deprecated form of --read-buffer-size, in KiB.
    #[arg(long, value_name = "KIB", allow_negative_numbers = true, hide_short_help = true)]
    pub(super) dapr_http_read_buffer_size: Option<i64>,
    /// Number of worker threads; 0 is one per CPU core [default: 1; with dev: one per CPU core].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(super) worker_threads: Option<u16>,
    /// Time limit in seconds for a graceful shutdown; 0 is no limit.
    #[arg(
        long,
        help_heading = "Files and process",
        value_name = "SECONDS",
        default_value_t = 5,
        allow_negative_numbers = true
    )]
    pub(super) dapr_graceful_shutdown_seconds: i64,
}

#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    pub(super) files: FileFlags,
    /// Also check what each component needs: credentials, stream or table, permissions. Writes nothing.
    #[arg(long)]
    pub(super) connect: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PolicyFlags {
    #[command(flatten)]
    pub(super) files: FileFlags,
    /// Region of components whose file has none [default: the environment variable AWS_REGION].
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsFlags {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct FileFlags {
    /// Folder or file with components. Repeat the flag or separate paths with commas.
    #[arg(long, value_name = "PATH", value_delimiter = ',', action = ArgAction::Append, required = true)]
    pub(super) resources_path: Vec<PathBuf>,
    /// Only components that this app may use, by their scopes [default: all components].
    #[arg(long, value_name = "NAME")]
    pub(super) app_id: Option<String>,
    /// Only components that a sidecar in this namespace loads [default: the environment variable NAMESPACE].
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// File with a Configuration of Dapr, as that of the sidecar. Repeat the flag or separate paths with commas.
    #[arg(long, value_name = "FILE", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) config: Vec<OsString>,
    /// Treat faults as daprd does, as a sidecar with this flag would
    /// [default: the environment variable BINDD_DAPR_COMPAT, else false].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    pub(super) dapr_compat: Option<bool>,
}

#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    /// Folder for the data, so that the next run continues with it [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Orders per second; above 0, at most 1000.
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    pub(super) rate: f64,
    /// End after this time [default: at Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = go_duration)]
    pub(super) ends_after: Option<Duration>,
    /// Port of the HTTP API [default: 3500, or any free port if it is in use].
    #[arg(long, value_name = "PORT")]
    pub(super) dapr_http_port: Option<u16>,
    /// Log level (debug, info, warn, error), or a filter such as info,bindd::consumer=debug.
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub(super) log_level: String,
}

#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(super) struct DevFlags {
    #[command(flatten)]
    pub(super) run: RunFlags,
    /// Folder for the data, so that the next run continues with it [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Port of the embedded Kinesis [default: any free port].
    #[arg(long, value_name = "PORT")]
    pub(super) kinesis_port: Option<u16>,
    /// Port of the embedded DynamoDB [default: any free port].
    #[arg(long, value_name = "PORT")]
    pub(super) dynamodb_port: Option<u16>,
    /// Command that starts your app. It gets DAPR_HTTP_PORT and the like in its environment, and ends with the sidecar.
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

/// Flags of daprd without effect here that take a value.
const IGNORED_FLAGS: [&str; 11] = [
    "actors-disseminate-timeout",
    "actors-service",
    "control-plane-address",
    "control-plane-namespace",
    "control-plane-trust-domain",
    "placement-host-address",
    "reminders-service",
    "scheduler-host-address",
    "scheduler-job-streams",
    "sentry-address",
    "sentry-request-jwt-audiences",
];
/// Boolean flags of daprd without effect here.
const IGNORED_SWITCHES: [&str; 1] = ["enable-mtls"];

/// daprd's flags without effect, accepted so that a command line for daprd also starts bindd.
fn ignored_args() -> impl Iterator<Item = Arg> {
    let arg = |name: &'static str| {
        let heading = "Flags of daprd without effect in bindd";
        Arg::new(name).long(name).action(ArgAction::Append).help_heading(heading).hide_short_help(true)
    };
    let flags = IGNORED_FLAGS.into_iter().map(move |name| arg(name).num_args(1).allow_negative_numbers(true));
    let switches = IGNORED_SWITCHES.into_iter().map(move |name| {
        arg(name).num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    });
    flags.chain(switches)
}

/// The flags without effect that were given, as the user writes them.
pub(super) fn ignored_given(matches: &ArgMatches) -> Vec<String> {
    let names = IGNORED_FLAGS.iter().chain(&IGNORED_SWITCHES);
    let given = names.filter(|name| matches.value_source(name) == Some(ValueSource::CommandLine));
    given.map(|name| format!("--{name}")).collect()
}

/// The whole command, with daprd's ignored flags for those commands that run a sidecar.
pub(super) fn command() -> clap::Command {
    let command = Cli::command().args(ignored_args());
    #[cfg(feature = "embedded")]
    let command = command.mut_subcommand("dev", |dev| dev.args(ignored_args()));
    command
}

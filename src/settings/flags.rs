//! The command line, as the argument parser sees it.

use super::{unused, values};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// A sidecar that carries Amazon Kinesis and DynamoDB to an app over plain HTTP, in place of Dapr's bindings.
#[derive(Debug, Parser)]
#[command(
    name = "bindd",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    args_override_self = true,
    after_help = "Environment: DAPR_API_TOKEN, APP_API_TOKEN, NAMESPACE, BINDD_ALLOWED_HOSTS, BINDD_STRICT_DAPR_ERRORS, and what the AWS SDK reads.",
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) run: RunFlags,
    #[command(subcommand)]
    pub(super) word: Option<Word>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Word {
    /// See everything work in one process: embedded AWS, sample components, a built-in app and some traffic.
    #[cfg(feature = "embedded")]
    #[command(args_override_self = true)]
    Demo(DemoFlags),
    /// Run your component files and your app against embedded AWS.
    #[cfg(feature = "embedded")]
    #[command(args_override_self = true)]
    Dev(Box<DevFlags>),
    /// Check component files, and with --connect their access; exits 1 if something is wrong.
    #[command(args_override_self = true)]
    Check(CheckFlags),
    /// Print the least IAM policy for component files; contacts nothing.
    #[command(args_override_self = true)]
    Policy(PolicyFlags),
}

#[derive(Debug, Args)]
pub(super) struct RunFlags {
    /// Name of the app; with it bindd tells its own progress on a stream from that of others.
    #[arg(long, value_name = "NAME")]
    pub(super) app_id: Option<String>,
    /// Port of the app; without it no input binding is read.
    #[arg(long, value_name = "PORT")]
    pub(super) app_port: Option<u16>,
    /// How the app is spoken to; only http.
    #[arg(long, value_name = "PROTOCOL", default_value = "http")]
    pub(super) app_protocol: String,
    /// Old way to ask for https; refused, because the app is spoken to over http only.
    #[arg(long, hide_short_help = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = values::switch, value_name = "true|false")]
    pub(super) app_ssl: bool,
    /// Host of the app.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) app_channel_address: String,
    /// How long the app may take for one event.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::go_duration)]
    pub(super) app_timeout: Duration,
    /// How long the app may take to say whether it wants a binding.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = values::go_duration, allow_hyphen_values = true)]
    pub(super) app_binding_options_timeout: Duration,
    /// Folder or file with components; repeat it or separate with commas.
    #[arg(long, value_name = "PATH", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) resources_path: Vec<PathBuf>,
    /// Old name of --resources-path, used only without it.
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub(super) components_path: Option<PathBuf>,
    #[command(flatten)]
    pub(super) ports: PortFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    /// debug, info, warn, error, or a filter such as info,bindd::consumer=debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// Write one JSON object a line.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = values::switch, value_name = "true|false")]
    pub(super) log_as_json: bool,
    /// Answer every failure of a binding with status 500, as daprd does.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch, value_name = "true|false")]
    pub(super) strict_dapr_errors: Option<bool>,
    /// Print the version and the target, then exit.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = values::switch, value_name = "true|false", hide_short_help = true)]
    pub(super) build_info: bool,
    /// Wait until the outputs of the sidecar on --dapr-http-port are ready, at most 60 s, then exit; starts nothing.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = values::switch, value_name = "true|false", hide_short_help = true)]
    pub(super) wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct PortFlags {
    /// Port of the HTTP API; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 3500)]
    pub(super) dapr_http_port: u16,
    /// Addresses on which the HTTP API listens, separated by commas [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    pub(super) dapr_listen_addresses: String,
    /// Origins of web pages that may call, separated by commas; * is any [default: none].
    #[arg(long, value_name = "ORIGINS", default_value = "", hide_default_value = true)]
    pub(super) allowed_origins: String,
    /// Names beside localhost by which loopback addresses may be called, separated by commas; * is any
    /// [default: the environment's BINDD_ALLOWED_HOSTS, else none].
    #[arg(long, value_name = "HOSTS")]
    pub(super) allowed_hosts: Option<String>,
    /// Offer metrics to Prometheus.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = values::switch, value_name = "true|false")]
    pub(super) enable_metrics: bool,
    /// Port of the metrics; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub(super) metrics_port: u16,
    /// Address on which the metrics are offered.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) metrics_listen_address: String,
}

#[derive(Debug, Args)]
pub(super) struct LimitFlags {
    /// Largest request body [default: 4Mi]; 0 is no limit.
    #[arg(long, value_name = "SIZE", value_parser = values::quantity, allow_hyphen_values = true)]
    pub(super) max_body_size: Option<i64>,
    /// Old form of --max-body-size, in MB.
    #[arg(long, value_name = "MB", allow_negative_numbers = true, hide_short_help = true)]
    pub(super) dapr_http_max_request_size: Option<i64>,
    /// Request bodies held in memory at once, over all requests; what comes beyond is answered 503. 0 is no limit
    /// [default: the environment's BINDD_MAX_BUFFER, else 256Mi].
    #[arg(long, value_name = "SIZE", value_parser = values::quantity, allow_hyphen_values = true)]
    pub(super) max_buffer: Option<i64>,
    /// Largest block of request headers [default: 4Ki].
    #[arg(long, value_name = "SIZE", value_parser = values::quantity, allow_hyphen_values = true)]
    pub(super) read_buffer_size: Option<i64>,
    /// Old form of --read-buffer-size, in KB.
    #[arg(long, value_name = "KB", allow_negative_numbers = true, hide_short_help = true)]
    pub(super) dapr_http_read_buffer_size: Option<i64>,
    /// Threads that do the work; 0 is one for each core [default: 1].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(super) worker_threads: Option<u16>,
    /// Time for a graceful stop; 0 is no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, allow_negative_numbers = true)]
    pub(super) dapr_graceful_shutdown_seconds: i64,
}

#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    pub(super) files: FileFlags,
    /// Then try what each component needs: credentials, stream or table, permissions. Writes nothing.
    #[arg(long)]
    pub(super) connect: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PolicyFlags {
    #[command(flatten)]
    pub(super) files: FileFlags,
    /// Region of components whose file names none [default: the environment's AWS_REGION].
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct FileFlags {
    /// Folder or file with components; repeat it or separate with commas.
    #[arg(long, value_name = "PATH", value_delimiter = ',', action = ArgAction::Append, required = true)]
    pub(super) resources_path: Vec<PathBuf>,
    /// Check as this app would see the files (scopes).
    #[arg(long, value_name = "NAME")]
    pub(super) app_id: Option<String>,
    /// Check as a sidecar in this namespace would see the files [default: the environment's NAMESPACE].
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
}

#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    /// Keep the data in this folder; a second run goes on where the first ended.
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Orders put each second.
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    pub(super) rate: f64,
    /// End after this time, such as 10s.
    #[arg(long = "for", value_name = "DURATION", value_parser = values::go_duration)]
    pub(super) ends_after: Option<Duration>,
    /// Port of the HTTP API [default: 3500, or a free one where that is taken].
    #[arg(long, value_name = "PORT")]
    pub(super) dapr_http_port: Option<u16>,
    /// debug, info, warn, error, or a filter.
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub(super) log_level: String,
}

#[cfg(feature = "embedded")]
#[derive(Debug, Args)]
pub(super) struct DevFlags {
    #[command(flatten)]
    pub(super) run: RunFlags,
    /// Keep the data in this folder; a second run goes on where the first ended.
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Port of the embedded Kinesis [default: a free one].
    #[arg(long, value_name = "PORT")]
    pub(super) kinesis_port: Option<u16>,
    /// Port of the embedded DynamoDB [default: a free one].
    #[arg(long, value_name = "PORT")]
    pub(super) dynamodb_port: Option<u16>,
    /// Your app's command, started with DAPR_HTTP_PORT and friends and stopped with the sidecar.
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

/// The whole command, with daprd's other flags added where a sidecar is run.
pub(super) fn command() -> clap::Command {
    let command = Cli::command().args(unused::args());
    #[cfg(feature = "embedded")]
    let command = command.mut_subcommand("dev", |dev| dev.args(unused::args()));
    command
}

/// Whether a flag stands for yes when it comes alone.
pub(super) fn is_switch(name: &str) -> bool {
    const OWN: [&str; 6] = ["app-ssl", "log-as-json", "strict-dapr-errors", "enable-metrics", "build-info", "wait"];
    OWN.contains(&name) || unused::is_switch(name)
}

/// The sidecar's flags whose value may be the next word.
pub(super) fn value_flags() -> Vec<String> {
    let takes_word = |arg: &&clap::Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    command().get_arguments().filter(takes_word).filter_map(clap::Arg::get_long).map(str::to_owned).collect()
}

/// Whether a word is one of our commands.
pub(super) fn is_command(word: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.get_name() == word)
}

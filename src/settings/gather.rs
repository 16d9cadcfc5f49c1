//! Builds the checked settings from arguments and environment.

use super::arguments::{Arguments, normalize};
use super::daprd_flags::ListenFlags;
use super::environment::{self, Environment, or_variable, switch, token, variable};
use super::file_commands::{CheckSettings, PolicySettings, ProbeSettings};
use super::flags::{self, CheckFlags, Cli, FileFlags, LimitFlags, PolicyFlags, PortFlags, RunFlags, SubcommandFlags};
use super::gather_daprd as daprd;
use super::gather_leases::leases;
use super::generate;
use super::model::{
    AppEndpoint, AppProtocol, Command, DEFAULT_BODY, DEFAULT_BUFFER, DEFAULT_BUFFERED, DEFAULT_GRACE, DEFAULT_HEADERS,
    DEFAULT_PROBE, Settings, UsageError, WaitSettings,
};
#[cfg(feature = "embedded")]
use super::model::{DemoSettings, DevSettings};
use super::try_flags;
use super::values;
use crate::http::{Access, AllowedHosts, AllowedOrigins};
use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Reads the command line, program name first, and the environment.
///
/// # Errors
/// With the text to print and the exit code: 2 for wrong usage, 0 for help and version.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the process reads its environment")]
    parse_with(args, &|name| std::env::var_os(name))
}

pub(super) fn parse_with(
    args: impl Iterator<Item = OsString>,
    environment: Environment<'_>,
) -> Result<Command, UsageError> {
    let Arguments { args, ignored } = normalize(args);
    let matches = flags::command().try_get_matches_from(args).map_err(|error| usage(&error))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| usage(&error))?;
    match cli.subcommand {
        None if cli.run.wait => wait(&cli.run, environment).map(Command::Wait),
        None => {
            let mut settings = run(cli.run, &matches, environment)?;
            settings.notices.extend(ignored.iter().map(|word| format!("argument {word:?} was ignored")));
            Ok(Command::Run(Box::new(settings)))
        }
        Some(SubcommandFlags::Check(flags)) => check(flags, environment),
        Some(SubcommandFlags::Completions(flags)) => Err(generate::completions(flags.shell)),
        Some(SubcommandFlags::Man) => Err(generate::manual()),
        Some(SubcommandFlags::Policy(flags)) => policy(flags, environment).map(Command::Policy),
        Some(SubcommandFlags::Try(flags)) => try_flags::settings(flags, environment).map(Command::Try),
        Some(SubcommandFlags::Leases(flags)) => {
            leases(flags, ca_bundle(environment), environment).map(|settings| Command::Leases(Box::new(settings)))
        }
        #[cfg(feature = "embedded")]
        Some(SubcommandFlags::Demo(flags)) => demo(flags).map(Command::Demo),
        #[cfg(feature = "embedded")]
        Some(SubcommandFlags::Dev(flags)) => {
            let inner = matches.subcommand_matches("dev").unwrap_or(&matches);
            dev(*flags, inner, environment).map(|settings| Command::Dev(Box::new(settings)))
        }
    }
}

fn usage(error: &clap::Error) -> UsageError {
    // As daprd, and without the name of the program, because scripts compare it.
    if error.kind() == ErrorKind::DisplayVersion {
        return UsageError { text: env!("CARGO_PKG_VERSION").to_owned(), code: 0 };
    }
    let code = if error.use_stderr() { 2 } else { 0 };
    UsageError { text: error.render().to_string().trim_end().to_owned(), code }
}

fn run(flags: RunFlags, matches: &ArgMatches, environment: Environment<'_>) -> Result<Settings, UsageError> {
    if flags.build_info {
        let text = format!("bindd {} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        return Err(UsageError { text, code: 0 });
    }
    let set = |name| variable(environment, name);
    let app_id = app_id(flags.app_id)?;
    let protocol = daprd::app_protocol(&flags.app_protocol, flags.app_ssl)?;
    let ports = [("dapr-http-port", flags.ports.dapr_http_port), ("dapr-grpc-port", flags.listen.dapr_grpc_port)];
    let app = app(flags.app_port, flags.app_channel_address, protocol, ports)?;
    let is_compat = switch(flags.process.dapr_compat, environment, "BINDD_DAPR_COMPAT")?;
    let is_strict = switch(flags.strict_dapr_errors, environment, "BINDD_STRICT_DAPR_ERRORS")?;
    let has_components_api = switch(flags.ports.enable_components_api, environment, "BINDD_ENABLE_COMPONENTS_API")?;
    let http_addresses = listen_addresses(&flags.ports, is_compat)?;
    Ok(Settings {
        app,
        grpc_addresses: on_port(&http_addresses, flags.listen.dapr_grpc_port),
        http2: !switch(None, environment, "DAPR_HTTP_DISABLE_H2C")?,
        grpc_max_idle: environment::grpc_max_idle(environment)?,
        internal_grpc_address: internal_address(&flags.listen, &http_addresses, &app_id)?,
        internal_grpc_any_port: flags.listen.internal_port().is_none(),
        public_address: daprd::public_address(&flags.listen)?,
        profile_addresses: daprd::profile_addresses(&flags.listen, is_compat.then_some(&http_addresses)),
        unix_socket_folder: daprd::path(flags.listen.unix_domain_socket),
        http_addresses,
        metrics_address: metrics_address(&flags.ports, is_compat)?,
        access: Access { is_open: is_compat, ..access(&flags.ports, set("BINDD_ALLOWED_HOSTS")?)? },
        component_sockets: environment::component_sockets(environment),
        resources_paths: paths(flags.resources_path, flags.components_path),
        reload: daprd::reload(&flags.process),
        config_paths: flags.process.config.into_iter().filter_map(daprd::path).collect(),
        strict_components: flags.process.strict_components,
        dapr_compat: is_compat,
        mode: daprd::mode(&flags.process.mode)?,
        builtin_kubernetes_secrets: !flags.process.disable_builtin_k8s_secret_store,
        skips_app_config: daprd::skips_app_config(&flags.process.disable_init_endpoints),
        block_shutdown: flags.process.dapr_block_shutdown_duration.filter(|time| !time.is_zero()),
        log_file: daprd::path(flags.process.log_file),
        api_logging: flags.process.enable_api_logging,
        app_health: daprd::app_health(flags.health)?,
        namespace: set("NAMESPACE")?,
        log_filter: log_filter(&flags.log_level),
        log_json: flags.log_as_json,
        max_body_size: body_limit(&flags.limits),
        max_buffer: buffer_limit(&flags.limits, set("BINDD_MAX_BUFFER")?)?,
        read_buffer_size: header_limit(&flags.limits),
        worker_threads: flags.limits.worker_threads.map(usize::from),
        graceful_shutdown: grace(flags.limits.dapr_graceful_shutdown_seconds),
        strict_dapr_errors: is_compat || is_strict,
        components_api: environment::components_api(has_components_api, environment)?,
        api_token: token(environment, "DAPR_API_TOKEN")?,
        app_api_token: token(environment, "APP_API_TOKEN")?,
        ca_bundle: ca_bundle(environment),
        app_timeout: app_timeout(flags.app_timeout)?,
        probe_timeout: Some(flags.app_binding_options_timeout).filter(|t| !t.is_zero()).unwrap_or(DEFAULT_PROBE),
        app_id,
        app_max_concurrency: at_most(flags.app_max_concurrency),
        max_buffered_bytes: buffered_limit(flags.limits.max_buffered_bytes),
        unused_flags: flags::ignored_given(matches),
        notices: environment::notices(environment),
    })
}

fn app_timeout(given: Duration) -> Result<Duration, UsageError> {
    let wrong = || UsageError::wrong("--app-timeout must be longer than 0, for example 60s");
    Some(given).filter(|limit| !limit.is_zero()).ok_or_else(wrong)
}

fn on_port(addresses: &[SocketAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect()
}

fn internal_address(listen: &ListenFlags, api: &[SocketAddr], app_id: &str) -> Result<Option<SocketAddr>, UsageError> {
    match api.first() {
        Some(api) => daprd::internal_address(listen, api.ip(), app_id).map(Some),
        None => Ok(None),
    }
}

/// Read as an OS string, because a path need not be UTF-8.
fn ca_bundle(environment: Environment<'_>) -> Option<PathBuf> {
    environment("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The address of the other sidecar. A request cannot be sent to an unspecified address such as 0.0.0.0, so loopback is used
/// instead.
fn wait(flags: &RunFlags, environment: Environment<'_>) -> Result<WaitSettings, UsageError> {
    let succeeds_anyway = switch(flags.process.dapr_compat, environment, "BINDD_DAPR_COMPAT")?;
    let addresses = listen_addresses(&flags.ports, false)?;
    let Some(address) = addresses.first().filter(|address| address.port() != 0) else {
        return Err(UsageError::wrong("--wait needs the port of the sidecar: set --dapr-http-port"));
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(WaitSettings { address: SocketAddr::new(ip, address.port()), succeeds_anyway })
}

fn app_id(given: Option<String>) -> Result<String, UsageError> {
    let Some(id) = given.filter(|id| !id.is_empty()) else {
        return Err(UsageError::wrong(
            "parameter app-id cannot be empty: set --app-id to the name of the app, or try `bindd demo` or `bindd --help`",
        ));
    };
    if id.contains('.') {
        return Err(UsageError::wrong(format!("parameter app-id cannot contain dots: `{id}`")));
    }
    Ok(id)
}

fn app(
    port: Option<u16>,
    address: String,
    protocol: AppProtocol,
    ports: [(&str, u16); 2],
) -> Result<Option<AppEndpoint>, UsageError> {
    let Some(port) = port.filter(|port| *port != 0) else {
        return Ok(None);
    };
    if let Some((flag, _)) = ports.iter().find(|(_, other)| *other == port) {
        return Err(UsageError::wrong(format!(
            "the '{flag}' argument value {port} conflicts with 'app-port': change one of them"
        )));
    }
    Ok(Some(AppEndpoint { address, port, protocol }))
}

fn listen_addresses(ports: &PortFlags, is_compat: bool) -> Result<Vec<SocketAddr>, UsageError> {
    let mut found = Vec::new();
    for text in ports.dapr_listen_addresses.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let ip = values::listen_address(text)
            .map_err(|problem| UsageError::wrong(format!("--dapr-listen-addresses: {problem}")))?;
        let address = SocketAddr::new(ip, ports.dapr_http_port);
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        found.push(SocketAddr::new(default_address(is_compat), ports.dapr_http_port));
    }
    Ok(found)
}

/// Loopback, or all addresses as in daprd. Those of IPv6 include those of IPv4.
const fn default_address(is_compat: bool) -> IpAddr {
    if is_compat { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

fn metrics_address(ports: &PortFlags, is_compat: bool) -> Result<Option<SocketAddr>, UsageError> {
    if !ports.enable_metrics {
        return Ok(None);
    }
    if ports.metrics_listen_address.is_empty() {
        return Ok(Some(SocketAddr::new(default_address(is_compat), ports.metrics_port)));
    }
    let ip = values::listen_address(&ports.metrics_listen_address)
        .map_err(|problem| UsageError::wrong(format!("--metrics-listen-address: {problem}")))?;
    Ok(Some(SocketAddr::new(ip, ports.metrics_port)))
}

fn access(ports: &PortFlags, variable: Option<String>) -> Result<Access, UsageError> {
    let origins = AllowedOrigins::parse(&ports.allowed_origins)
        .map_err(|problem| UsageError::wrong(format!("--allowed-origins: {problem}")))?;
    let hosts = match (&ports.allowed_hosts, variable) {
        (Some(list), _) => AllowedHosts::parse(list).map_err(|problem| format!("--allowed-hosts: {problem}")),
        (None, Some(list)) => AllowedHosts::parse(&list).map_err(|problem| format!("BINDD_ALLOWED_HOSTS: {problem}")),
        (None, None) => Ok(AllowedHosts::default()),
    };
    Ok(Access { is_open: false, origins, hosts: hosts.map_err(UsageError::wrong)? })
}

/// As in daprd, the deprecated flag is used only without the new one.
fn paths(new: Vec<PathBuf>, old: Option<PathBuf>) -> Vec<PathBuf> {
    let new: Vec<PathBuf> = new.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    if new.is_empty() { old.into_iter().filter(|path| !path.as_os_str().is_empty()).collect() } else { new }
}

fn log_filter(level: &str) -> String {
    match level.to_ascii_lowercase().as_str() {
        "fatal" => "error".to_owned(),
        "warning" => "warn".to_owned(),
        word @ ("trace" | "debug" | "info" | "warn" | "error") => word.to_owned(),
        _ => level.to_owned(),
    }
}

/// As in daprd, 0 or less is no limit, except -1, which is the default.
fn body_limit(limits: &LimitFlags) -> Option<usize> {
    match limits.max_body_size.or_else(|| limits.dapr_http_max_request_size.map(|mb| mb.saturating_mul(1 << 20))) {
        None | Some(-1) => Some(DEFAULT_BODY),
        Some(bytes) if bytes <= 0 => None,
        Some(bytes) => Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}

/// The flag, else the variable; 0 or less is no limit.
fn buffer_limit(limits: &LimitFlags, variable: Option<String>) -> Result<Option<usize>, UsageError> {
    let given = match (limits.max_buffer, variable) {
        (Some(bytes), _) => bytes,
        (None, Some(text)) => {
            values::quantity(&text).map_err(|problem| UsageError::wrong(format!("BINDD_MAX_BUFFER: {problem}")))?
        }
        (None, None) => return Ok(Some(DEFAULT_BUFFER)),
    };
    Ok(usize::try_from(given).ok().filter(|bytes| *bytes > 0))
}

/// 0 or less is the largest limit that the inputs can keep.
fn buffered_limit(given: Option<i64>) -> usize {
    let bytes = given.map_or(DEFAULT_BUFFERED, |bytes| usize::try_from(bytes).unwrap_or_default());
    if bytes == 0 { usize::MAX } else { bytes }
}

/// As in daprd, 0 or less is no limit.
fn at_most(count: Option<i64>) -> Option<NonZeroUsize> {
    count.and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new)
}

fn header_limit(limits: &LimitFlags) -> usize {
    limits
        .read_buffer_size
        .or_else(|| limits.dapr_http_read_buffer_size.map(|kb| kb.saturating_mul(1 << 10)))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0)
        .unwrap_or(DEFAULT_HEADERS)
}

fn grace(seconds: i64) -> Option<Duration> {
    match u64::try_from(seconds) {
        Err(_) => Some(DEFAULT_GRACE),
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
    }
}

fn check(flags: CheckFlags, environment: Environment<'_>) -> Result<Command, UsageError> {
    let files = CheckSettings { json: flags.json, ..files(flags.files, environment)? };
    if !flags.connect {
        return Ok(Command::Check(files));
    }
    let component_sockets = environment::component_sockets(environment);
    Ok(Command::Probe(ProbeSettings { files, component_sockets, ca_bundle: ca_bundle(environment) }))
}

fn policy(flags: PolicyFlags, environment: Environment<'_>) -> Result<PolicySettings, UsageError> {
    let region = or_variable(flags.region, environment, "AWS_REGION")?;
    Ok(PolicySettings { files: files(flags.files, environment)?, region })
}

fn files(flags: FileFlags, environment: Environment<'_>) -> Result<CheckSettings, UsageError> {
    let namespace = or_variable(flags.namespace, environment, "NAMESPACE")?;
    let dapr_compat = switch(flags.dapr_compat, environment, "BINDD_DAPR_COMPAT")?;
    let config_paths = flags.config.into_iter().filter_map(daprd::path).collect();
    let (paths, app_id) = (flags.resources_path, flags.app_id);
    Ok(CheckSettings { paths, app_id, namespace, config_paths, dapr_compat, json: false })
}

#[cfg(feature = "embedded")]
fn demo(flags: flags::DemoFlags) -> Result<DemoSettings, UsageError> {
    if !(flags.rate > 0.0 && flags.rate <= 1000.0) {
        return Err(UsageError::wrong(format!(
            "--rate {} is out of range: it must be above 0 and at most 1000",
            flags.rate
        )));
    }
    Ok(DemoSettings {
        keep: flags.keep,
        rate: flags.rate,
        ends_after: flags.ends_after,
        http_port: flags.dapr_http_port,
        log_filter: with_quiet_emulators(&log_filter(&flags.log_level)),
    })
}

/// Adds directives that silence the embedded services, unless the level is debug or trace.
#[cfg(feature = "embedded")]
fn with_quiet_emulators(filter: &str) -> String {
    match filter {
        "debug" | "trace" => filter.to_owned(),
        _ => format!("{},{filter}", crate::embedded::QUIET),
    }
}

#[cfg(feature = "embedded")]
fn dev(
    mut flags: flags::DevFlags,
    matches: &ArgMatches,
    environment: Environment<'_>,
) -> Result<DevSettings, UsageError> {
    if flags.run.wait {
        return Err(UsageError::wrong("--wait is not a flag of dev: run `bindd --wait` in another shell"));
    }
    flags.run.app_id.get_or_insert_with(|| "dev".to_owned());
    let run = run(flags.run, matches, environment)?;
    Ok(DevSettings {
        run: Settings { log_filter: with_quiet_emulators(&run.log_filter), ..run },
        keep: flags.keep,
        kinesis_port: flags.kinesis_port,
        dynamodb_port: flags.dynamodb_port,
        command: flags.command,
    })
}

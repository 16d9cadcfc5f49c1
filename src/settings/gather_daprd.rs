//! Checks the values of daprd's flags about listeners, the app's health and the process.

use super::daprd_flags::{HealthFlags, ListenFlags, ProcessFlags};
use super::model::{
    AppHealthSettings, AppProtocol, DEFAULT_HEALTH_INTERVAL, DEFAULT_HEALTH_THRESHOLD, DEFAULT_HEALTH_TIMEOUT,
    DEFAULT_RECONCILE, Mode, ReloadSettings, UsageError,
};
use super::values;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The first port that daprd tries for calls between sidecars.
const FIRST_INTERNAL_PORT: u16 = 47_300;

/// `--app-protocol`, in any case; `--app-ssl` adds TLS to it, as in daprd.
pub(super) fn app_protocol(word: &str, is_ssl: bool) -> Result<AppProtocol, UsageError> {
    let protocol = match word.to_ascii_lowercase().as_str() {
        "" | "http" => AppProtocol::Http,
        "https" => AppProtocol::Https,
        "h2c" => AppProtocol::H2c,
        "grpc" => AppProtocol::Grpc,
        "grpcs" => AppProtocol::Grpcs,
        _ => {
            return Err(UsageError::wrong(format!(
                "--app-protocol {word} is unknown: write http, https, h2c, grpc or grpcs"
            )));
        }
    };
    Ok(match (protocol, is_ssl) {
        (AppProtocol::Http, true) => AppProtocol::Https,
        (AppProtocol::Grpc, true) => AppProtocol::Grpcs,
        (protocol, _) => protocol,
    })
}

/// `None` while the flag does not enable the checks.
pub(super) fn app_health(flags: HealthFlags) -> Result<Option<AppHealthSettings>, UsageError> {
    if !flags.enable_app_health_check {
        return Ok(None);
    }
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    let interval = positive(flags.app_health_probe_interval).map_or(DEFAULT_HEALTH_INTERVAL, Duration::from_secs);
    let timeout = positive(flags.app_health_probe_timeout).map_or(DEFAULT_HEALTH_TIMEOUT, Duration::from_millis);
    if timeout > interval {
        return Err(UsageError::wrong(
            "value for 'health-probe-timeout' must be smaller than 'health-probe-interval': correct \
             --app-health-probe-timeout (milliseconds) or --app-health-probe-interval (seconds)",
        ));
    }
    let threshold = positive(flags.app_health_threshold).and_then(|count| u32::try_from(count).ok());
    let path = flags.app_health_check_path;
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    Ok(Some(AppHealthSettings { path, interval, timeout, threshold: threshold.unwrap_or(DEFAULT_HEALTH_THRESHOLD) }))
}

/// The address of `--dapr-public-port`; without an address of its own it is reached from everywhere, as in daprd, because
/// the kubelet calls the address of the pod.
pub(super) fn public_address(flags: &ListenFlags) -> Result<Option<SocketAddr>, UsageError> {
    let Some(port) = flags.dapr_public_port else { return Ok(None) };
    let ip = one_address("--dapr-public-listen-address", &flags.dapr_public_listen_address)?;
    Ok(Some(SocketAddr::new(ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port)))
}

impl ListenFlags {
    /// `--dapr-internal-grpc-port`; as in daprd, 0 is none.
    pub(super) fn internal_port(&self) -> Option<u16> {
        self.dapr_internal_grpc_port.filter(|port| *port != 0)
    }
}

/// The address of `--dapr-internal-grpc-port`, on the addresses of the API unless one is given.
pub(super) fn internal_address(flags: &ListenFlags, api: IpAddr, app_id: &str) -> Result<SocketAddr, UsageError> {
    let port = flags.internal_port().unwrap_or_else(|| stable_port(app_id));
    let ip = one_address("--dapr-internal-grpc-listen-address", &flags.dapr_internal_grpc_listen_address)?;
    Ok(SocketAddr::new(ip.unwrap_or(api), port))
}

/// As in daprd, a port from 47300 to 49347 that is the same at each start of an app. daprd also hashes the working folder,
/// user and host, so its port is another one.
fn stable_port(app_id: &str) -> u16 {
    // FNV-1a.
    let hash = app_id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // The upper bits depend on every byte.
    FIRST_INTERNAL_PORT + u16::try_from(hash >> 21).unwrap_or_default()
}

/// The addresses of `--profile-port`: loopback, whatever those of the API are, because no token protects it; with
/// `--dapr-compat` those of `api`.
pub(super) fn profile_addresses(flags: &ListenFlags, api: Option<&Vec<SocketAddr>>) -> Vec<SocketAddr> {
    let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, flags.profile_port))];
    let addresses = api.map_or(&loopback[..], Vec::as_slice);
    let is_on = flags.enable_profiling;
    addresses.iter().filter(|_| is_on).map(|address| SocketAddr::new(address.ip(), flags.profile_port)).collect()
}

fn one_address(flag: &str, text: &str) -> Result<Option<IpAddr>, UsageError> {
    if text.is_empty() {
        return Ok(None);
    }
    values::listen_address(text).map(Some).map_err(|problem| UsageError::wrong(format!("{flag}: {problem}")))
}

pub(super) fn mode(word: &str) -> Result<Mode, UsageError> {
    match word.to_ascii_lowercase().as_str() {
        "" | "standalone" => Ok(Mode::Standalone),
        "kubernetes" => Ok(Mode::Kubernetes),
        _ => Err(UsageError::wrong(format!("--mode {word} is unknown: write standalone or kubernetes"))),
    }
}

pub(super) fn reload(flags: &ProcessFlags) -> ReloadSettings {
    let interval = Some(flags.hot_reload_reconcile_interval).filter(|interval| !interval.is_zero());
    ReloadSettings { watch: flags.watch, reconcile_interval: interval.unwrap_or(DEFAULT_RECONCILE) }
}

/// An empty path is none, as in daprd.
pub(super) fn path(given: OsString) -> Option<PathBuf> {
    Some(given).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `config`, in any case, in `--disable-init-endpoints`.
pub(super) fn skips_app_config(names: &[String]) -> bool {
    names.iter().any(|name| name.trim().eq_ignore_ascii_case("config"))
}

//! Which calls go through a proxy. Pure.
//!
//! The SDK's HTTP client can read these variables too, but in `NO_PROXY` it supports neither ports nor `*.`, applies `*` to
//! host names only, and sends calls of loopback addresses to the proxy. So the decision is made here, for the URL of each
//! request.

use crate::manifest::Environment;
use http::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The proxies of the environment, and what bypasses them.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) http: Option<Proxy>,
    pub(crate) https: Option<Proxy>,
    bypass: Vec<Rule>,
}

/// The proxy of one variable. `Debug` does not print the URL, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) variable: &'static str,
    /// With a scheme.
    pub(crate) url: String,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("variable", &self.variable).finish_non_exhaustive()
    }
}

/// How one request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Direct,
    HttpProxy,
    HttpsProxy,
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// `*`
    Everything,
    /// A name and all below it.
    Domain { name: String, port: Option<u16> },
    /// An address, or with fewer bits a network.
    Network { address: IpAddr, bits: u8, port: Option<u16> },
}

impl Proxies {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. As in Go, upper case wins over lower case, and an
    /// empty variable counts as not set.
    pub(crate) fn from_environment(environment: &dyn Environment) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = environment.get(name)?.trim().to_owned();
                (!value.is_empty()).then_some((*name, value))
            })
        };
        let proxy = |names: &[&'static str]| {
            first(names).map(|(variable, value)| {
                let url = if value.contains("://") { value } else { format!("http://{value}") };
                Proxy { variable, url }
            })
        };
        let bypass = first(&["NO_PROXY", "no_proxy"]).map(|(_, list)| rules(&list)).unwrap_or_default();
        Self {
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            bypass,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The route to this URL. This machine and its network link are never behind a proxy.
    pub(crate) fn route(&self, url: &Uri) -> Route {
        let (route, proxy, default_port) = match url.scheme_str() {
            Some("https") => (Route::HttpsProxy, &self.https, 443),
            _ => (Route::HttpProxy, &self.http, 80),
        };
        let host = Host::new(url.host().unwrap_or_default());
        let port = url.port_u16().unwrap_or(default_port);
        if proxy.is_none() || host.is_local() || self.bypass.iter().any(|rule| rule.matches(&host, port)) {
            return Route::Direct;
        }
        route
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// In lower case, without the dot at the end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn new(text: &str) -> Self {
        let text = text.trim_matches(['[', ']']).trim_end_matches('.');
        let address = text.parse::<IpAddr>().ok().or_else(|| legacy_address(text).map(IpAddr::V4));
        address.map_or_else(|| Self::Name(text.to_ascii_lowercase()), |address| Self::Address(address.to_canonical()))
    }

    /// Whether it is this machine, or on its network link, as the metadata services of EC2 and of containers are.
    fn is_local(&self) -> bool {
        // LocalStack's name for 127.0.0.1, with names for services below it.
        const LOCAL: [&str; 2] = ["localhost", "localhost.localstack.cloud"];
        // EC2's metadata and the credentials of EKS Pod Identity over IPv6.
        const METADATA: [Ipv6Addr; 2] =
            [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)];
        match self {
            Self::Name(name) => LOCAL.iter().any(|local| is_below(name, local)),
            Self::Address(IpAddr::V4(address)) => {
                address.is_loopback() || address.is_unspecified() || address.is_link_local()
            }
            Self::Address(IpAddr::V6(address)) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unicast_link_local()
                    || METADATA.contains(address)
            }
        }
    }
}

/// Whether a name is `parent` or a subdomain of it.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The old notations of IPv4 addresses that resolvers accept: `127.1`, `2130706433`, `0x7f.0.0.1`, `017700000001`.
fn legacy_address(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| {
        let lower = part.to_ascii_lowercase();
        match lower.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None if lower.len() > 1 && lower.starts_with('0') => u32::from_str_radix(&lower, 8).ok(),
            None if lower.bytes().all(|byte| byte.is_ascii_digit()) => lower.parse().ok(),
            None => None,
        }
    };
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, bytes) = parts.split_last()?;
    if bytes.len() > 3 || bytes.iter().any(|byte| *byte > 255) {
        return None;
    }
    // The last number fills the remaining bytes.
    let left = 4 - bytes.len();
    if left < 4 && u64::from(*last) >= 1_u64 << (8 * left) {
        return None;
    }
    let start = bytes.iter().enumerate().fold(0, |sum, (place, byte)| sum | (byte << (24 - 8 * place)));
    Some(Ipv4Addr::from(start | last))
}

/// The entries of `NO_PROXY`, separated by commas or white space. Entries that cannot be read match nothing.
fn rules(list: &str) -> Vec<Rule> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter_map(rule).collect()
}

fn rule(entry: &str) -> Option<Rule> {
    if entry == "*" {
        return Some(Rule::Everything);
    }
    let (host, port) = with_port(entry);
    if let Some(address) = address(host) {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(Rule::Network { address, bits, port });
    }
    if let Some((network, bits)) = host.split_once('/') {
        let address: IpAddr = network.trim_matches(['[', ']']).parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= max)?;
        return Some(Rule::Network { address, bits, port });
    }
    let name = host.strip_prefix('*').unwrap_or(host).trim_start_matches('.').trim_end_matches('.');
    (!name.is_empty()).then(|| Rule::Domain { name: name.to_ascii_lowercase(), port })
}

/// `host:port`, `[::1]:port`, `host`, `::1`
fn with_port(entry: &str) -> (&str, Option<u16>) {
    let is_bare_v6 = entry.matches(':').count() > 1 && !entry.contains("]:");
    match entry.rsplit_once(':').filter(|_| !is_bare_v6) {
        Some((host, port)) => port.parse().map_or((entry, None), |port| (host, Some(port))),
        None => (entry, None),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

impl Rule {
    fn matches(&self, host: &Host, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match (self, host) {
            (Self::Everything, _) => true,
            (Self::Domain { name, port }, Host::Name(host)) => is_port(port) && is_below(host, name),
            (Self::Network { address, bits, port }, Host::Address(host)) => {
                is_port(port) && is_within(*host, *address, *bits)
            }
            (Self::Domain { .. }, Host::Address(_)) | (Self::Network { .. }, Host::Name(_)) => false,
        }
    }
}

/// Whether the first `bits` of both addresses are the same.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits() ^ network.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits() ^ network.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differing >= u32::from(bits)
}

#[cfg(test)]
#[path = "tests/proxy.rs"]
mod tests;

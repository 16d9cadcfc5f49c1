//! Which requests are accepted at all. A web page in a browser may send requests to loopback; their `Origin` and
//! `Sec-Fetch-Site` (<https://www.w3.org/TR/fetch-metadata/>) distinguish them from requests of programs. DNS rebinding,
//! where the name of the page is changed to point to loopback, passes as same-origin; only the name in `Host` reveals it.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Version};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Requests that are accepted besides those of programs that use a loopback name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Check nothing, as daprd does. `origins` then only says which pages may read responses.
    pub is_open: bool,
    /// Web pages that may call (`--allowed-origins`).
    pub origins: AllowedOrigins,
    /// Further names in `Host` that loopback sockets accept (`--allowed-hosts`).
    pub hosts: AllowedHosts,
}

/// Origins of web pages; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    /// The text before and after the `*`; an origin without `*` has no second part.
    patterns: Vec<(String, Option<String>)>,
}

/// Names of this machine and optional ports; none by default. Loopback names need not be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    any: bool,
    names: Vec<(String, Option<String>)>,
}

impl AllowedOrigins {
    /// Parses a comma-separated list of `scheme://host[:port]`, in which one `*` stands for any text, or `*` for any
    /// origin.
    ///
    /// # Errors
    /// When an entry can match no origin; the text says what to write.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut origins = Self::default();
        for entry in entries(list) {
            if entry == "*" {
                origins.any = true;
                continue;
            }
            let origin = normal_origin(entry.strip_suffix('/').unwrap_or(entry))
                .filter(|origin| origin.matches('*').count() <= 1);
            let origin = origin.ok_or_else(|| {
                format!(
                    "`{entry}` is not an origin; write it like https://shop.example or http://localhost:8080, with at \
                     most one *"
                )
            })?;
            origins.patterns.push(match origin.split_once('*') {
                Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
                None => (origin, None),
            });
        }
        Ok(origins)
    }

    pub(super) const fn is_any(&self) -> bool {
        self.any
    }

    pub(super) const fn is_empty(&self) -> bool {
        !self.any && self.patterns.is_empty()
    }

    pub(super) fn matches(&self, origin: &HeaderValue) -> bool {
        if self.any {
            return true;
        }
        let Some(origin) = origin.to_str().ok().and_then(normal_origin) else { return false };
        self.patterns.iter().any(|(before, after)| match after {
            None => origin == *before,
            Some(after) => {
                origin.len() >= before.len() + after.len() && origin.starts_with(before) && origin.ends_with(after)
            }
        })
    }
}

impl AllowedHosts {
    /// Parses a comma-separated list of `name[:port]`, or `*` for any name.
    ///
    /// # Errors
    /// When an entry can match no `Host`; the text says what to write.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut hosts = Self::default();
        for entry in entries(list) {
            if entry == "*" {
                hosts.any = true;
                continue;
            }
            let is_name = |text: &str| !text.contains(['*', '/', '@']) && !text.contains(char::is_whitespace);
            let (name, port) = split_port(entry).filter(|(name, _)| is_name(name)).ok_or_else(|| {
                format!("`{entry}` is not a host name; write it like host.docker.internal or sidecar.local:3500")
            })?;
            hosts.names.push((without_dot(name).to_owned(), Some(port.to_owned()).filter(|port| !port.is_empty())));
        }
        Ok(hosts)
    }

    fn matches(&self, host: &[u8]) -> bool {
        let Some((name, port)) = std::str::from_utf8(host).ok().and_then(split_port) else { return false };
        is_loopback_name(name)
            || self.names.iter().any(|(allowed, allowed_port)| {
                without_dot(name).eq_ignore_ascii_case(allowed)
                    && allowed_port.as_ref().is_none_or(|allowed| allowed.as_str() == port)
            })
    }
}

/// What the addresses of a connection reveal about its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The client connected to a loopback address.
    pub(super) is_local_loopback: bool,
    /// The client itself has a loopback address.
    pub(super) is_peer_loopback: bool,
    /// The address of the client; `None` over a Unix socket.
    pub(super) peer: Option<SocketAddr>,
}

impl ConnectInfo {
    /// An unknown address gets the stricter checks.
    pub(super) fn new(local: Option<SocketAddr>, peer: Option<SocketAddr>) -> Self {
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        Self { is_local_loopback: local.is_none_or(is_loopback), is_peer_loopback: peer.is_some_and(is_loopback), peer }
    }

    pub(super) const fn peer(self) -> Option<SocketAddr> {
        self.peer
    }
}

/// Why a request is refused, with the value of the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal<'r> {
    /// Its `Host` is not a name of this machine; `None` if it has none.
    Host(Option<&'r [u8]>),
    /// It comes from a web page of this origin.
    Origin(&'r HeaderValue),
    /// A browser marks it as from another site; it has no `Origin`.
    Site(&'r HeaderValue),
}

impl Access {
    /// The message for the client of gRPC whose request is not accepted.
    #[must_use]
    pub fn refusal(&self, head: &Parts, info: ConnectInfo) -> Option<String> {
        self.check(head, info, false).err().map(|refusal| refusal.message())
    }

    /// Whether a request is accepted. Allocates nothing unless there is an `Origin`. Health routes are open to any page,
    /// since they change nothing and reveal only whether bindd is ready.
    pub(super) fn check<'r>(&self, head: &'r Parts, info: ConnectInfo, is_health: bool) -> Result<(), Refusal<'r>> {
        if self.is_open {
            return Ok(());
        }
        if info.is_local_loopback && !self.hosts.any {
            self.check_host(head)?;
        }
        if is_health || self.origins.is_any() { Ok(()) } else { self.check_origin(head) }
    }

    /// As [`Access::check`], for requests that change what runs: they are always checked, and `*` allows no page.
    pub(super) fn check_admin<'r>(&self, head: &'r Parts, info: ConnectInfo) -> Result<(), Refusal<'r>> {
        if info.is_local_loopback && !self.hosts.any {
            self.check_host(head)?;
        }
        Self { origins: AllowedOrigins { any: false, ..self.origins.clone() }, ..Self::default() }.check_origin(head)
    }

    /// Whether requests are checked at all.
    pub(super) const fn is_guarded(&self) -> bool {
        !self.is_open
    }

    /// Each name in the request must be allowed: HTTP prefers an absolute target to `Host`, but a proxy may have used the
    /// other one.
    fn check_host<'r>(&self, head: &'r Parts) -> Result<(), Refusal<'r>> {
        let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
        let mut names = target.into_iter().chain(hosts).filter(|name| !name.is_empty()).peekable();
        // HTTP/1.0 does not require it, and browsers always send it.
        if names.peek().is_none() {
            return if head.version <= Version::HTTP_10 { Ok(()) } else { Err(Refusal::Host(None)) };
        }
        names.find(|name| !self.hosts.matches(name)).map_or(Ok(()), |name| Err(Refusal::Host(Some(name))))
    }

    fn check_origin<'r>(&self, head: &'r Parts) -> Result<(), Refusal<'r>> {
        let mut origins = head.headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_some() {
            return origins
                .find(|origin| !self.origins.matches(origin))
                .map_or(Ok(()), |origin| Err(Refusal::Origin(origin)));
        }
        let is_same = |site: &HeaderValue| {
            ["same-origin", "none"].iter().any(|same| site.as_bytes().eq_ignore_ascii_case(same.as_bytes()))
        };
        let other = head.headers.get_all(&SEC_FETCH_SITE).iter().find(|site| !is_same(site));
        other.map_or(Ok(()), |site| Err(Refusal::Site(site)))
    }
}

impl Refusal<'_> {
    /// The message for the client. The value of the header is escaped.
    pub(super) fn message(&self) -> String {
        let quoted = |value: &[u8]| format!("{:?}", String::from_utf8_lossy(value));
        match self {
            Self::Host(Some(host)) => format!(
                "request refused: Host {} is not a loopback name; call 127.0.0.1 or localhost, or list this name in \
                 --allowed-hosts (environment BINDD_ALLOWED_HOSTS)",
                quoted(host)
            ),
            Self::Host(None) => "request refused: it has no Host header; send one".to_owned(),
            Self::Origin(origin) if !origin.as_bytes().contains(&b':') => format!(
                "request refused: a browser sent it for a page without an origin (Origin: {}), which cannot be \
                 listed in --allowed-origins; serve the page over http or https",
                quoted(origin.as_bytes())
            ),
            Self::Origin(origin) => format!(
                "request refused: it comes from a web page of origin {}; list this origin in --allowed-origins to \
                 allow it",
                quoted(origin.as_bytes())
            ),
            Self::Site(site) => format!(
                "request refused: a browser sent it for a page of another site (Sec-Fetch-Site: {}); list the origin of \
                 the page in --allowed-origins and let the page send Origin (fetch with mode cors)",
                quoted(site.as_bytes())
            ),
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// An origin in lower case and without the default port of its scheme, as browsers write it.
fn normal_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.*".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) || authority.contains(['/', '@', '?', '#', ' ', '\t', ',']) {
        return None;
    }
    // The port may be a wildcard: `http://localhost:*`.
    let (host, port) = match authority.strip_suffix(":*") {
        Some(host) => (host, "*"),
        None => split_port(authority)?,
    };
    let is_default = matches!((scheme, port), (_, "") | ("http", "80") | ("https", "443"));
    Some(if is_default { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") })
}

/// The host and the port of `host[:port]`; `None` if it is not one. IPv6 addresses have brackets.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    let port = if rest.is_empty() { rest } else { rest.strip_prefix(':')? };
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((host, port))
}

/// A name without the dot of the DNS root.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// `localhost` and its subdomains (RFC 6761, section 6.3), 127.0.0.0/8, `[::1]` and IPv4 loopback mapped to IPv6.
fn is_loopback_name(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback());
    }
    const LOCALHOST: &str = "localhost";
    let name = without_dot(host);
    let below = name.len().checked_sub(LOCALHOST.len()).and_then(|at| name.split_at_checked(at));
    below.is_some_and(|(labels, last)| {
        last.eq_ignore_ascii_case(LOCALHOST) && (labels.is_empty() || labels.len() > 1 && labels.ends_with('.'))
    }) || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "tests/admission.rs"]
mod tests;

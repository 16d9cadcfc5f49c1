//! Listens on the addresses of the API. Some may be unavailable (`[::1]` without IPv6), or still be in use by a process
//! that is exiting: these are retried for 10 s, as daprd does, while the others serve.

use super::bind_error::BindError;
use super::socket::Socket;
use super::unix_socket::UnixSocket;
use crate::tasks::Accept;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

/// How long unavailable addresses are retried; daprd's value.
const RETRY_LIMIT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Length of the queue of connections that are not accepted yet; Tokio's value.
const BACKLOG: u32 = 1024;

/// Opens one socket; tests replace it.
type Open = fn(SocketAddr) -> io::Result<TcpListener>;

/// Open sockets, and addresses that are still retried.
#[derive(Debug)]
pub struct Listeners {
    open: Vec<TcpListener>,
    unix: Option<UnixSocket>,
    missing: Vec<SocketAddr>,
    next_retry: Instant,
    retry_until: Instant,
    opener: Open,
}

/// Listens on the addresses. Port 0 takes a free port, a different one for each address. If there are several, one is
/// enough to start, and the others are retried for 10 s, with a warning for each.
///
/// # Errors
/// When the only address is unavailable, or all of several are for 10 s. The error is that of the first.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Listeners, BindError> {
    bind_with(addresses, open).await
}

/// Listens on a Unix socket. A socket file without a listener is replaced; the new one is removed when the
/// listeners are dropped.
///
/// # Errors
/// When the path is too long, or taken by another process or another kind of file.
pub fn bind_unix(path: PathBuf) -> Result<Listeners, BindError> {
    let now = Instant::now();
    let unix = Some(UnixSocket::bind(path)?);
    Ok(Listeners { open: Vec::new(), unix, missing: Vec::new(), next_retry: now, retry_until: now, opener: open })
}

async fn bind_with(addresses: &[SocketAddr], opener: Open) -> Result<Listeners, BindError> {
    let now = Instant::now();
    let mut listeners = Listeners {
        open: Vec::with_capacity(addresses.len()),
        unix: None,
        missing: addresses.to_vec(),
        next_retry: now + RETRY_INTERVAL,
        retry_until: now + RETRY_LIMIT,
        opener,
    };
    let mut errors = listeners.open_missing();
    if addresses.len() > 1 {
        for error in &errors {
            tracing::warn!(%error, retry_for = ?RETRY_LIMIT, "could not listen on an address; retrying");
        }
        while listeners.open.is_empty() && Instant::now() < listeners.retry_until {
            tokio::time::sleep_until(listeners.next_retry).await;
            errors = listeners.open_missing();
        }
    }
    match errors.into_iter().next() {
        Some(error) if listeners.open.is_empty() => Err(error),
        Some(_) | None => Ok(listeners),
    }
}

/// All addresses of IPv6 include those of IPv4; on a machine without IPv6 they are only those.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let is_any_v6 = matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified());
    match open_exactly(address) {
        Err(error)
            if is_any_v6 && !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            open_exactly(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        opened => opened,
    }
}

/// Like [`TcpListener::bind`], but not async, since no name is looked up.
fn open_exactly(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Otherwise connections of an earlier process in TIME_WAIT would block the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Accept for Listeners {
    type Stream = Socket;

    async fn accept(&mut self) -> io::Result<(Socket, String)> {
        loop {
            tokio::select! {
                // Biased: connections that keep arriving must not delay the retry.
                biased;
                () = self.next_retry() => {}
                accepted = self.next_connection() => return accepted,
            }
            self.retry();
        }
    }
}

impl Listeners {
    /// The path of the Unix socket, if there is one.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_ref().map(UnixSocket::path)
    }

    /// The addresses of the open TCP sockets.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Waits until missing addresses are retried; forever if there are none. Cancel-safe.
    async fn next_retry(&self) {
        if self.missing.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.next_retry).await;
    }

    /// The next connection of any socket. Cancel-safe.
    async fn next_connection(&self) -> io::Result<(Socket, String)> {
        if let Some(unix) = &self.unix {
            let (stream, _) = unix.listener.accept().await?;
            return Ok((Socket::Unix(stream), unix.path().display().to_string()));
        }
        // Starts at a random one, so that a busy socket does not starve the others.
        let (last, first) = self.open.split_at(fastrand::usize(..=self.open.len()));
        std::future::poll_fn(|cx| {
            let accepted = first.iter().chain(last).map(|listener| listener.poll_accept(cx)).find(Poll::is_ready);
            accepted.unwrap_or(Poll::Pending)
        })
        .await
        .map(|(stream, client)| (Socket::Tcp(stream), client.to_string()))
    }

    /// Retries missing addresses, and gives up after the limit.
    fn retry(&mut self) {
        let errors = self.open_missing();
        if Instant::now() < self.retry_until {
            return;
        }
        self.missing.clear();
        for error in errors {
            tracing::warn!(
                %error, addresses = ?self.addresses(),
                "could not listen on an address; serving on the others"
            );
        }
    }

    fn open_missing(&mut self) -> Vec<BindError> {
        let mut errors = Vec::new();
        self.next_retry = Instant::now() + RETRY_INTERVAL;
        for address in std::mem::take(&mut self.missing) {
            match (self.opener)(address) {
                Ok(listener) => {
                    tracing::debug!(%address, "listening");
                    self.open.push(listener);
                }
                Err(source) => {
                    self.missing.push(address);
                    errors.push(BindError::new(address, source));
                }
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "127.0.0.1:0";
    const V6: &str = "[::1]:0";

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A machine without IPv6.
    fn only_v4(address: SocketAddr) -> io::Result<TcpListener> {
        if address.is_ipv4() { open(address) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
    }

    fn all_taken(_: SocketAddr) -> io::Result<TcpListener> {
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Opens IPv4 sockets for IPv6 addresses, so that the test needs no IPv6.
    fn both(address: SocketAddr) -> io::Result<TcpListener> {
        open(SocketAddr::from(([127, 0, 0, 1], address.port())))
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_several_addresses_is_enough_and_the_rest_is_tried_for_ten_seconds() {
        let begun = Instant::now();
        let mut listeners = bind_with(&addresses(&[V6, V4]), only_v4).await.unwrap();
        assert_eq!(
            (begun.elapsed(), listeners.addresses().len()),
            (Duration::ZERO, 1),
            "the start does not wait for it"
        );
        let mut tries = 0;
        while !listeners.missing.is_empty() {
            listeners.next_retry().await;
            listeners.retry();
            tries += 1;
        }
        assert_eq!((begun.elapsed(), tries), (RETRY_LIMIT, 20));
        let never = tokio::time::timeout(Duration::from_secs(3_600), listeners.next_retry()).await;
        assert!(never.is_err(), "no more retries");
        assert_eq!(listeners.addresses().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_comes_later_is_served_too() {
        let mut listeners = bind_with(&addresses(&[V6, V4]), only_v4).await.unwrap();
        listeners.opener = both;
        listeners.next_retry().await;
        listeners.retry();
        assert_eq!((listeners.addresses().len(), listeners.missing.len()), (2, 0));
        assert_ne!(
            listeners.addresses()[0],
            listeners.addresses()[1],
            "port 0 takes a different port for each address"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_address_the_start_fails_after_the_retries() {
        let begun = Instant::now();
        let error = bind_with(&addresses(&[V6, V4]), all_taken).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(address) if address.is_ipv6()), "{error}");
        assert!(begun.elapsed() >= RETRY_LIMIT);
        let begun = Instant::now();
        assert!(matches!(bind_with(&addresses(&[V4]), all_taken).await.unwrap_err(), BindError::Taken(_)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "a single address is not waited for");
    }

    #[tokio::test]
    async fn the_error_of_a_taken_port_says_what_to_do() {
        let taken = bind(&addresses(&[V4])).await.unwrap();
        let address = taken.addresses()[0];
        let error = bind(&[address]).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(at) if at == address));
        assert!(error.to_string().contains("choose another port"), "{error}");
    }
}

//! Listens on the addresses of the API. Of several, some may be missing on a machine (`[::1]` without IPv6) or be held
//! for a moment by a process that is ending: they are tried again for 10 s, as daprd does, while the others serve.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

/// How long addresses that cannot be had are tried; daprd's value.
const TRIED_FOR: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(500);
/// Connections that the system holds until they are accepted, as Tokio asks for.
const BACKLOG: u32 = 1024;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error(
        "port {} of {} is taken by another program: stop that program, or choose another port (--dapr-http-port, \
         --metrics-port)", .0.port(), .0.ip()
    )]
    Taken(SocketAddr),
    /// The system does not let us.
    #[error("port {} needs more rights than this process has: choose a port above 1023", .0.port())]
    Denied(SocketAddr),
    /// The address is not one of this machine.
    #[error("{} is not an address of this machine: correct --dapr-listen-addresses", .0.ip())]
    NotHere(SocketAddr),
    /// Anything else.
    #[error("could not listen on {address}: {source}; check --dapr-listen-addresses and --dapr-http-port")]
    Other {
        /// What was tried.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    fn of(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotHere(address),
            _ => Self::Other { address, source },
        }
    }
}

/// Opens one socket; another one in tests.
type Open = fn(SocketAddr) -> io::Result<TcpListener>;

/// Sockets that listen, and addresses that are still tried.
#[derive(Debug)]
pub struct Listeners {
    open: Vec<TcpListener>,
    missing: Vec<SocketAddr>,
    next_try: Instant,
    given_up_at: Instant,
    opener: Open,
}

/// Listens on the addresses. Port 0 takes a free port, another one for each address. A single address that cannot be
/// had is an error at once; of several, one is enough: the rest is tried for 10 s, with a warning for each.
///
/// # Errors
/// When none can be had (of several: within 10 s), with what to do about the first.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Listeners, BindError> {
    bind_by(addresses, open).await
}

async fn bind_by(addresses: &[SocketAddr], opener: Open) -> Result<Listeners, BindError> {
    let now = Instant::now();
    let mut listeners = Listeners {
        open: Vec::with_capacity(addresses.len()),
        missing: addresses.to_vec(),
        next_try: now + TRY_EVERY,
        given_up_at: now + TRIED_FOR,
        opener,
    };
    let mut errors = listeners.try_missing();
    if addresses.len() > 1 {
        for error in &errors {
            tracing::warn!(%error, tried_for = ?TRIED_FOR, "address could not be listened on yet; trying again");
        }
        while listeners.open.is_empty() && Instant::now() < listeners.given_up_at {
            tokio::time::sleep_until(listeners.next_try).await;
            errors = listeners.try_missing();
        }
    }
    match errors.into_iter().next() {
        Some(error) if listeners.open.is_empty() => Err(error),
        Some(_) | None => Ok(listeners),
    }
}

/// As [`TcpListener::bind`], which is asynchronous only because it may look up names.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process that still wait for their end do not hold the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listeners {
    /// The addresses that are listened on now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The sockets that are open now.
    pub(super) fn open(&self) -> &[TcpListener] {
        &self.open
    }

    /// Waits for the next time that missing addresses are tried; for ever once none is left. Cancel-safe.
    pub(super) async fn next_try(&self) {
        if self.missing.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.next_try).await;
    }

    /// Tries what is missing; gives up on it when its time is over.
    pub(super) fn retry(&mut self) {
        let errors = self.try_missing();
        if Instant::now() < self.given_up_at {
            return;
        }
        self.missing.clear();
        for error in errors {
            tracing::warn!(
                %error, addresses = ?self.addresses(),
                "address could not be listened on; serving on the other addresses"
            );
        }
    }

    fn try_missing(&mut self) -> Vec<BindError> {
        let mut errors = Vec::new();
        self.next_try = Instant::now() + TRY_EVERY;
        for address in std::mem::take(&mut self.missing) {
            match (self.opener)(address) {
                Ok(listener) => {
                    tracing::debug!(%address, "listening");
                    self.open.push(listener);
                }
                Err(source) => {
                    self.missing.push(address);
                    errors.push(BindError::of(address, source));
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

    fn nothing(_: SocketAddr) -> io::Result<TcpListener> {
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// IPv6 whose socket is an IPv4 one, so that the test needs none.
    fn both(address: SocketAddr) -> io::Result<TcpListener> {
        open(SocketAddr::from(([127, 0, 0, 1], address.port())))
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_several_addresses_is_enough_and_the_rest_is_tried_for_ten_seconds() {
        let begun = Instant::now();
        let mut listeners = bind_by(&addresses(&[V6, V4]), only_v4).await.unwrap();
        assert_eq!((begun.elapsed(), listeners.addresses().len()), (Duration::ZERO, 1), "nothing waits for it");
        let mut tries = 0;
        while !listeners.missing.is_empty() {
            listeners.next_try().await;
            listeners.retry();
            tries += 1;
        }
        assert_eq!((begun.elapsed(), tries), (TRIED_FOR, 20));
        let never = tokio::time::timeout(Duration::from_secs(3_600), listeners.next_try()).await;
        assert!(never.is_err(), "then it is left alone");
        assert_eq!(listeners.addresses().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_comes_later_is_served_too() {
        let mut listeners = bind_by(&addresses(&[V6, V4]), only_v4).await.unwrap();
        listeners.opener = both;
        listeners.next_try().await;
        listeners.retry();
        assert_eq!((listeners.addresses().len(), listeners.missing.len()), (2, 0));
        assert_ne!(listeners.addresses()[0], listeners.addresses()[1], "port 0 is another one for each");
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_address_the_start_fails_after_its_tries() {
        let begun = Instant::now();
        let error = bind_by(&addresses(&[V6, V4]), nothing).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(address) if address.is_ipv6()), "{error}");
        assert!(begun.elapsed() >= TRIED_FOR);
        let begun = Instant::now();
        assert!(matches!(bind_by(&addresses(&[V4]), nothing).await.unwrap_err(), BindError::Taken(_)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "a single address is not waited for");
    }

    #[tokio::test]
    async fn a_taken_port_is_told_with_what_to_do() {
        let taken = bind(&addresses(&[V4])).await.unwrap();
        let address = taken.addresses()[0];
        let error = bind(&[address]).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(at) if at == address));
        assert!(error.to_string().contains("choose another port"), "{error}");
    }
}

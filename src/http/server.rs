//! Binds, accepts, drains.

use super::connection::{self, Respond};
use super::face::{Face, HttpSettings};
use super::routes::Routes;
use crate::domain::Stop;
use crate::tasks::{Ended, Supervisor};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// After a failed accept (no descriptors left, for one) the next is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// At the cap this is told again after so long.
const FULL_TOLD_EVERY: Duration = Duration::from_secs(60);

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Clean,
    /// This many connections were cut because the time was over.
    Cut(usize),
}

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

/// Listens on every address, or on none. Port 0 takes a free port, another one for each address.
///
/// # Errors
/// With what to do about the first address that cannot be had.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|source| BindError::of(address, source))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves the face until `stop` asks to finish; then accepts no more, answers what was read, and cuts what is left
/// after `drain_limit` or when the stop is forced. Joins every connection. Dropping the future cuts them all.
pub async fn serve(listeners: Vec<TcpListener>, face: Arc<Face>, stop: Stop, drain_limit: Duration) -> Drained {
    let settings = face.settings.clone();
    serve_by(listeners, Routes::new(face), &settings, stop, drain_limit).await
}

pub(super) async fn serve_by(
    listeners: Vec<TcpListener>,
    service: impl Respond,
    settings: &HttpSettings,
    stop: Stop,
    drain_limit: Duration,
) -> Drained {
    let mut server = Server { service, settings, stop: &stop, connections: Supervisor::new() };
    server.accept(&listeners).await;
    // Lets the runtime look at the sockets once more; without it, what arrived last is not seen.
    tokio::task::yield_now().await;
    server.take_waiting(&listeners);
    drop(listeners);
    server.drain(drain_limit).await
}

struct Server<'a, S> {
    service: S,
    settings: &'a HttpSettings,
    stop: &'a Stop,
    connections: Supervisor<()>,
}

impl<S: Respond> Server<'_, S> {
    /// Accepts until stopped. At the cap, nothing is accepted: clients wait in the system's queue, and the log says so.
    async fn accept(&mut self, listeners: &[TcpListener]) {
        let most = self.settings.max_connections.max(1);
        let mut turn = 0_usize;
        let mut paused_until: Option<Instant> = None;
        let mut told_at: Option<Instant> = None;
        loop {
            let has_room = self.connections.len() < most;
            if !has_room && told_at.is_none_or(|at| at.elapsed() >= FULL_TOLD_EVERY) {
                tracing::warn!(
                    connections = most,
                    "no connection was accepted, others must close first: keep fewer open"
                );
                told_at = Some(Instant::now());
            }
            let pause = async {
                match paused_until {
                    Some(moment) => tokio::time::sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            // Biased: a stop comes first, then ended connections make room, then new ones come in.
            tokio::select! {
                biased;
                () = self.stop.asked() => return,
                Some(ended) = self.connections.next(), if !self.connections.is_empty() => note(&ended),
                () = pause, if paused_until.is_some() => paused_until = None,
                accepted = next_connection(listeners, &mut turn), if has_room && paused_until.is_none() => {
                    match accepted {
                        Ok((stream, peer)) => self.start(stream, peer),
                        Err(error) => {
                            tracing::warn!(%error, "connection could not be accepted");
                            paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                        }
                    }
                }
            }
        }
    }

    /// Takes what the system has already accepted for us: its client may have sent a request.
    fn take_waiting(&mut self, listeners: &[TcpListener]) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for listener in listeners {
            while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
                if self.connections.len() >= self.settings.max_connections.max(1) {
                    return;
                }
                self.start(stream, peer);
            }
        }
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (service, stop) = (self.service.clone(), self.stop.clone());
        let connection = connection::run(stream, service, self.settings.max_header_bytes, stop);
        self.connections.spawn(peer.to_string(), connection);
    }

    async fn drain(mut self, limit: Duration) -> Drained {
        let open = self.connections.len();
        let all_ended = async {
            while let Some(ended) = self.connections.next().await {
                note(&ended);
            }
        };
        tokio::select! {
            () = all_ended => {}
            () = tokio::time::sleep(limit) => {}
            () = self.stop.forced() => {}
        }
        let cut = self.connections.abort_and_join().await.len();
        if cut == 0 {
            tracing::debug!(connections = open, "http drained");
            return Drained::Clean;
        }
        tracing::warn!(connections = cut, ?limit, "http connections cut before they were answered");
        Drained::Cut(cut)
    }
}

/// A handler's panic is answered before it gets here, so this tells of a defect in the connection itself.
fn note(ended: &Ended<()>) {
    if let Err(error) = &ended.result {
        tracing::error!(peer = %ended.name, %error, "connection task broke");
    }
}

/// The next connection of any listener; `turn` is where the search begins, so that none starves. Cancel-safe.
async fn next_connection(listeners: &[TcpListener], turn: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        for step in 0..listeners.len() {
            let place = (*turn + step) % listeners.len();
            if let Some(Poll::Ready(accepted)) = listeners.get(place).map(|listener| listener.poll_accept(cx)) {
                *turn = place + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

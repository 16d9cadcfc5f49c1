//! Accepts, makes room, drains.

use super::connection::{self, Respond};
use super::face::{Face, HttpSettings};
use super::head_clock::OpenConnections;
use super::listen::Listeners;
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
/// At the limit of connections this is logged again after so long.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// At the limit, idle connections are looked for this often.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(250);
/// At the limit, at most one in this many connections is closed at once.
const CLOSED_AT_ONCE: usize = 64;

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Clean,
    /// This many connections were cut because the time was over.
    Cut(usize),
}

/// Serves the face until `stop` asks to finish; then accepts no more, answers what was read, and cuts what is left
/// after `drain_limit` or when the stop is forced. Joins every connection. Dropping the future cuts them all.
pub async fn serve(listeners: Listeners, face: Arc<Face>, stop: Stop, drain_limit: Duration) -> Drained {
    let settings = face.settings.clone();
    serve_by(listeners, Routes::new(face), &settings, stop, drain_limit).await
}

pub(super) async fn serve_by(
    mut listeners: Listeners,
    service: impl Respond,
    settings: &HttpSettings,
    stop: Stop,
    drain_limit: Duration,
) -> Drained {
    let connections = Supervisor::new();
    let mut server = Server { service, settings, stop: &stop, connections, open: OpenConnections::new() };
    server.accept(&mut listeners).await;
    // Lets the runtime look at the sockets once more; without it, what arrived last is not seen.
    tokio::task::yield_now().await;
    server.take_waiting(listeners.open());
    drop(listeners);
    server.drain(drain_limit).await
}

struct Server<'a, S> {
    service: S,
    settings: &'a HttpSettings,
    stop: &'a Stop,
    connections: Supervisor<()>,
    open: OpenConnections,
}

/// What the acceptor does between two connections.
#[derive(Debug, Default)]
struct Pace {
    /// Which listener is looked at first, so that none starves.
    turn: usize,
    /// After a failed accept.
    paused_until: Option<Instant>,
    warned_at: Option<Instant>,
}

impl<S: Respond> Server<'_, S> {
    const fn limit(&self) -> usize {
        if self.settings.max_connections == 0 { 1 } else { self.settings.max_connections }
    }

    /// Accepts until stopped. At the limit, nothing is accepted: clients wait in the system's queue until a connection
    /// ends, and those that are idle longest are closed for them.
    async fn accept(&mut self, listeners: &mut Listeners) {
        let mut pace = Pace::default();
        loop {
            let has_room = self.connections.len() < self.limit();
            if !has_room {
                self.make_room(&mut pace);
            }
            let paused_until = pace.paused_until;
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
                () = pause, if paused_until.is_some() => pace.paused_until = None,
                () = tokio::time::sleep(MAKE_ROOM_EVERY), if !has_room => {}
                () = listeners.next_try() => listeners.retry(),
                accepted = next_connection(listeners.open(), &mut pace.turn), if has_room && paused_until.is_none() => {
                    match accepted {
                        Ok((stream, peer)) => self.start(stream, peer),
                        Err(error) => {
                            tracing::warn!(%error, "connection could not be accepted");
                            pace.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                        }
                    }
                }
            }
        }
    }

    /// Closes the connections that are idle longest, a few at once.
    fn make_room(&mut self, pace: &mut Pace) {
        let limit = self.limit();
        let closed = self.open.close_idle(limit.div_ceil(CLOSED_AT_ONCE));
        if pace.warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            tracing::warn!(connections = limit, closed, "limit of open connections reached; idle ones are closed");
            pace.warned_at = Some(Instant::now());
        }
    }

    /// Takes what the system has already accepted for us: its client may have sent a request.
    fn take_waiting(&mut self, listeners: &[TcpListener]) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for listener in listeners {
            while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
                if self.connections.len() >= self.limit() {
                    return;
                }
                self.start(stream, peer);
            }
        }
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (service, stop) = (self.service.clone(), self.stop.clone());
        let clock = self.open.begin();
        let connection = connection::run(stream, service, self.settings.max_header_bytes, clock, stop);
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

//! What a connection is doing. Limits the time in which the head of a request must arrive, and finds the connections that
//! are idle longest when there are too many. Neither the pause between two requests nor the sending of a body is limited.
//!
//! Why not hyper's `header_read_timeout`: it also runs between two requests, and would close idle connections that clients
//! keep in their pools. And `auto::Builder` starts it only after the first bytes, which select HTTP/1 or HTTP/2, so a
//! client that never sends any would keep its connection.

use super::response_body::UnsentParts;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// At the limit of connections, one whose head has begun and is not complete after this time is closed at once: a head
/// is a packet or two. So is one that has sent nothing.
const MIN_HALF_OPEN: Duration = Duration::from_millis(200);
/// At the limit of connections, one that was idle for less is kept, because its client is probably still active.
const MIN_IDLE: Duration = Duration::from_secs(1);
/// Lingering close: after a response with `Connection: close`, the rest of the request is read and discarded for this long.
/// Closing at once would reset the connection, and the client might not see the response. Go's value.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Before the first request; its head must arrive in time.
    New,
    /// Between two requests; not limited.
    Idle,
    /// A part of a head was read.
    Head,
    /// A request is in flight; its body is not limited here.
    Request,
    /// HTTP/2 after its first request: several may be in flight.
    Http2,
}

/// Shared by the reader of the bytes and the service behind the parser, which run in one task, and by the accept loop,
/// which only looks for idle connections. So relaxed atomics are enough.
#[derive(Debug, Clone)]
pub(super) struct ConnectionState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    first_request: Notify,
    /// Requests in flight.
    active: AtomicU32,
    /// When it was accepted, the head began, the last request ended, or the client last read a part of a response after a
    /// pause; in milliseconds after `epoch`.
    idle_since: AtomicU64,
    epoch: Instant,
    is_close_requested: AtomicBool,
    close_requested: Notify,
    lingers: AtomicBool,
    unsent: Arc<UnsentParts>,
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub(super) struct ActiveRequest(ConnectionState);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        if shared.active.fetch_sub(1, Relaxed) == 1 {
            self.0.restart_idle_time();
        }
        self.0.change_phase(Phase::Request, Phase::Idle);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ConnectionState {
    /// Of a new connection. `epoch` is the same for all connections of a server.
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            shared: Arc::new(Shared {
                phase: AtomicU8::new(Phase::New as u8),
                first_request: Notify::new(),
                active: AtomicU32::new(0),
                idle_since: AtomicU64::new(millis(epoch.elapsed())),
                epoch,
                is_close_requested: AtomicBool::new(false),
                close_requested: Notify::new(),
                lingers: AtomicBool::new(false),
                unsent: Arc::default(),
            }),
        }
    }

    /// A head is complete.
    pub(super) fn request_started(&self, version: http::Version) -> ActiveRequest {
        let phase = if version == http::Version::HTTP_2 { Phase::Http2 } else { Phase::Request };
        if self.shared.phase.swap(phase as u8, Relaxed) == Phase::New as u8 {
            self.shared.first_request.notify_one();
        }
        self.shared.active.fetch_add(1, Relaxed);
        ActiveRequest(self.clone())
    }

    /// Waits until the first head is complete. Cancel-safe; for one waiter.
    pub(super) async fn first_request(&self) {
        while self.is_in(Phase::New) {
            self.shared.first_request.notified().await;
        }
    }

    fn is_active(&self) -> bool {
        self.shared.active.load(Relaxed) > 0
    }

    /// Whether no request is in flight and the client has read nothing of a response for `time`.
    pub(super) fn is_idle_for(&self, time: Duration) -> bool {
        let shared = &self.shared;
        let idle = millis(shared.epoch.elapsed()).saturating_sub(shared.idle_since.load(Relaxed));
        !self.is_active() && idle >= millis(time)
    }

    /// How long until it was idle for `time`; `None` if it was. While a request is in flight, all of the time is left.
    pub(super) fn idle_time_left(&self, time: Duration) -> Option<Duration> {
        let shared = &self.shared;
        let idle =
            Duration::from_millis(millis(shared.epoch.elapsed()).saturating_sub(shared.idle_since.load(Relaxed)));
        if self.is_active() { Some(time) } else { time.checked_sub(idle).filter(|left| !left.is_zero()) }
    }

    /// The client of a server that speaks only HTTP/2 has sent something; it need not send a request soon.
    fn http2_began(&self) {
        if self.change_phase(Phase::New, Phase::Http2) {
            self.shared.first_request.notify_one();
        }
    }

    fn restart_idle_time(&self) {
        self.shared.idle_since.store(millis(self.shared.epoch.elapsed()), Relaxed);
    }

    /// Waits until the connection must close, so that another can be accepted. Cancel-safe; for one waiter.
    pub(super) async fn close_requested(&self) {
        while !self.shared.is_close_requested.load(Relaxed) {
            self.shared.close_requested.notified().await;
        }
    }

    /// The response has `Connection: close`, and the client may still be sending.
    pub(super) fn linger(&self) {
        self.shared.lingers.store(true, Relaxed);
    }

    /// The parts of responses that are not sent yet.
    pub(super) fn unsent(&self) -> &Arc<UnsentParts> {
        &self.shared.unsent
    }

    /// Whether its first head, or the next one that has begun, is not complete.
    pub(super) fn is_half_open(&self) -> bool {
        (self.is_in(Phase::New) || self.is_in(Phase::Head)) && !self.is_active()
    }

    /// Since when the connection waits for a request after another; `None` if it does not.
    fn idle_since(&self) -> Option<u64> {
        let waits = self.is_in(Phase::Idle) || self.is_in(Phase::Http2);
        (waits && !self.is_active()).then(|| self.shared.idle_since.load(Relaxed))
    }

    fn half_open_since(&self) -> Option<u64> {
        self.is_half_open().then(|| self.shared.idle_since.load(Relaxed))
    }

    fn request_close(&self) {
        self.shared.is_close_requested.store(true, Relaxed);
        self.shared.close_requested.notify_one();
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.shared.phase.load(Relaxed) == phase as u8
    }

    fn change_phase(&self, from: Phase, to: Phase) -> bool {
        self.shared.phase.compare_exchange(from as u8, to as u8, Relaxed, Relaxed).is_ok()
    }
}

/// The open connections of one server.
#[derive(Debug)]
pub(super) struct OpenConnections {
    epoch: Instant,
    connections: Vec<ConnectionState>,
    /// At this length, ended connections are removed.
    prune_at: usize,
}

impl OpenConnections {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), connections: Vec::new(), prune_at: 64 }
    }

    /// Adds a new connection.
    pub(super) fn add(&mut self) -> ConnectionState {
        if self.connections.len() >= self.prune_at {
            self.prune();
            self.prune_at = 64.max(2 * self.connections.len());
        }
        let connection = ConnectionState::new(self.epoch);
        self.connections.push(connection.clone());
        connection
    }

    /// Closes all connections that are half open for some time. If there are none, closes at most `max` idle connections,
    /// those first that are idle longest; but none while an idle one is still closing, which takes about a second. One
    /// with a request in flight may take any time and is not waited for. Returns how many are closed.
    pub(super) fn close_idle(&mut self, max: usize) -> usize {
        self.prune();
        let half_open = self.close_half_open();
        if half_open > 0 {
            return half_open;
        }
        let is_closing = |connection: &ConnectionState| connection.shared.is_close_requested.load(Relaxed);
        if self.connections.iter().any(|connection| is_closing(connection) && connection.is_idle_for(MIN_IDLE)) {
            return 0;
        }
        let now = millis(self.epoch.elapsed());
        let is_long = |since: &u64| now.saturating_sub(*since) >= millis(MIN_IDLE);
        let mut idle: Vec<(u64, &ConnectionState)> = self
            .connections
            .iter()
            .filter(|connection| !is_closing(connection))
            .filter_map(|connection| connection.idle_since().filter(is_long).map(|since| (since, connection)))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.iter().take(max).map(|(_, connection)| connection.request_close()).count()
    }

    fn close_half_open(&self) -> usize {
        let now = millis(self.epoch.elapsed());
        let is_long = |since: u64| now.saturating_sub(since) >= millis(MIN_HALF_OPEN);
        let connections = self.connections.iter();
        connections
            .filter(|connection| !connection.shared.is_close_requested.load(Relaxed))
            .filter(|connection| connection.half_open_since().is_some_and(is_long))
            .map(ConnectionState::request_close)
            .count()
    }

    /// A connection that ended has dropped its own handle.
    fn prune(&mut self) {
        self.connections.retain(|connection| Arc::strong_count(&connection.shared) > 1);
    }
}

/// A stream whose reads fail with `TimedOut` when a head does not arrive in time.
#[derive(Debug)]
pub(super) struct HeadTimeout<S> {
    stream: S,
    state: ConnectionState,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    is_shut_down: bool,
    has_read: bool,
    /// The last write found the send buffer full.
    is_blocked: bool,
    has_heads: bool,
}

impl<S> HeadTimeout<S> {
    /// Without heads only the first bytes must arrive in time: clients of gRPC connect long before their first call.
    pub(super) fn new(stream: S, state: ConnectionState, limit: Duration, has_heads: bool) -> Self {
        Self {
            stream,
            state,
            limit,
            deadline: Box::pin(tokio::time::sleep(limit)),
            is_shut_down: false,
            has_read: false,
            is_blocked: false,
            has_heads,
        }
    }

    /// A client that reads a long response slowly is not idle. The time is read only after a blocked write.
    fn note_write(&mut self, is_pending: bool) {
        if std::mem::replace(&mut self.is_blocked, is_pending) && !is_pending {
            self.state.restart_idle_time();
        }
    }
}

impl<S: Read + Unpin> HeadTimeout<S> {
    /// Whether the client may still be sending: a body that is not read, or the rest of a head that was refused.
    fn lingers(&self) -> bool {
        let is_mid_head = self.state.is_in(Phase::Head) || self.has_read && self.state.is_in(Phase::New);
        is_mid_head || self.state.shared.lingers.load(Relaxed)
    }

    /// Reads and discards until the client closes or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && !self.deadline.is_elapsed() => {}
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.as_mut().poll(cx),
            }
        }
    }
}

impl<S: Read + Unpin> Read for HeadTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                this.has_read = true;
                if !this.has_heads {
                    this.state.http2_began();
                }
                if this.state.change_phase(Phase::Idle, Phase::Head) {
                    this.state.restart_idle_time();
                    this.deadline.as_mut().reset(Instant::now() + this.limit);
                }
                Poll::Ready(read)
            }
            Poll::Pending if this.state.is_in(Phase::New) || this.state.is_in(Phase::Head) => {
                std::task::ready!(this.deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request head did not arrive in time")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: Read + Write + Unpin> Write for HeadTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut_down {
            std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.is_shut_down = true;
            this.deadline.as_mut().reset(Instant::now() + LINGER);
        }
        if this.lingers() { this.poll_linger(cx).map(Ok) } else { Poll::Ready(Ok(())) }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note_write(written.is_pending());
        written
    }
}

#[cfg(test)]
#[path = "tests/connection_state.rs"]
mod tests;

//! What a connection is doing: limits the time that a request's head may take, and finds the connections that are idle
//! longest when there are too many. The pause between two requests and the sending of a body are not limited here.

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

/// At the limit of connections, one that was idle for less is kept: its client is likely to go on.
const KEPT_IDLE: Duration = Duration::from_secs(1);
/// After an answer that says `Connection: close`, what the client still sends is read for so long: closing at once would
/// reset the connection, and the client might never see the answer. Go's value.
const LINGER: Duration = Duration::from_millis(500);

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing was asked yet: the first head must come in time.
    Fresh,
    /// Between two requests; may last.
    Idle,
    /// Part of a head was read.
    Head,
    /// A request is being answered; its body may take its time.
    Request,
    /// HTTP/2 after its first request: its own frames keep it in order.
    Open,
}

/// Shared by the two ends of a connection, the reader of its bytes and the service behind the parser, which run in one
/// task; and by the acceptor, which only looks for idle connections. So no order among threads is needed.
#[derive(Debug, Clone)]
pub(super) struct HeadClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    asked: Notify,
    /// Requests that are being answered.
    active: AtomicU32,
    /// Since when none is, or the client last took a part of an answer after a pause; in milliseconds after `epoch`.
    idle_since: AtomicU64,
    epoch: Instant,
    is_closing: AtomicBool,
    closing: Notify,
    lingers: AtomicBool,
}

/// A request that is being answered, until dropped.
#[derive(Debug)]
pub(super) struct ActiveRequest(HeadClock);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        if shared.active.fetch_sub(1, Relaxed) == 1 {
            self.0.restart_idle_time();
        }
        self.0.move_on(Phase::Request, Phase::Idle);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl HeadClock {
    /// The clock of a connection that begins now. `epoch` is the same for all that are compared.
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            shared: Arc::new(Shared {
                phase: AtomicU8::new(Phase::Fresh as u8),
                asked: Notify::new(),
                active: AtomicU32::new(0),
                idle_since: AtomicU64::new(millis(epoch.elapsed())),
                epoch,
                is_closing: AtomicBool::new(false),
                closing: Notify::new(),
                lingers: AtomicBool::new(false),
            }),
        }
    }

    /// A head is complete.
    pub(super) fn begun(&self, version: http::Version) -> ActiveRequest {
        let phase = if version == http::Version::HTTP_2 { Phase::Open } else { Phase::Request };
        if self.shared.phase.swap(phase as u8, Relaxed) == Phase::Fresh as u8 {
            self.shared.asked.notify_one();
        }
        self.shared.active.fetch_add(1, Relaxed);
        ActiveRequest(self.clone())
    }

    /// Resolves once the first head is complete. Cancel-safe; for one waiter.
    pub(super) async fn first_request(&self) {
        while self.is_in(Phase::Fresh) {
            self.shared.asked.notified().await;
        }
    }

    /// Whether a request is being answered.
    pub(super) fn is_active(&self) -> bool {
        self.shared.active.load(Relaxed) > 0
    }

    /// Whether no request is being answered and the client has taken nothing of an answer for `time`.
    pub(super) fn is_idle_for(&self, time: Duration) -> bool {
        let shared = &self.shared;
        let idle = millis(shared.epoch.elapsed()).saturating_sub(shared.idle_since.load(Relaxed));
        !self.is_active() && idle >= millis(time)
    }

    fn restart_idle_time(&self) {
        self.shared.idle_since.store(millis(self.shared.epoch.elapsed()), Relaxed);
    }

    /// Resolves once the connection should make room for another. Cancel-safe; for one waiter.
    pub(super) async fn asked_to_close(&self) {
        while !self.shared.is_closing.load(Relaxed) {
            self.shared.closing.notified().await;
        }
    }

    /// The answer says that the connection closes while the client may still be sending.
    pub(super) fn linger(&self) {
        self.shared.lingers.store(true, Relaxed);
    }

    /// Since when the connection waits for a request, if it does. Part of a head is no idleness: it has its own limit.
    fn idle_since(&self) -> Option<u64> {
        let waits = [Phase::Fresh, Phase::Idle, Phase::Open].into_iter().any(|phase| self.is_in(phase));
        (waits && !self.is_active()).then(|| self.shared.idle_since.load(Relaxed))
    }

    fn close(&self) {
        self.shared.is_closing.store(true, Relaxed);
        self.shared.closing.notify_one();
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.shared.phase.load(Relaxed) == phase as u8
    }

    fn move_on(&self, from: Phase, to: Phase) -> bool {
        self.shared.phase.compare_exchange(from as u8, to as u8, Relaxed, Relaxed).is_ok()
    }
}

/// The connections of one server.
#[derive(Debug)]
pub(super) struct OpenConnections {
    epoch: Instant,
    clocks: Vec<HeadClock>,
    /// With so many clocks, those of ended connections are dropped.
    sweep_at: usize,
}

impl OpenConnections {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), clocks: Vec::new(), sweep_at: 64 }
    }

    /// The clock of a connection that begins now.
    pub(super) fn begin(&mut self) -> HeadClock {
        if self.clocks.len() >= self.sweep_at {
            self.sweep();
            self.sweep_at = 64.max(2 * self.clocks.len());
        }
        let clock = HeadClock::new(self.epoch);
        self.clocks.push(clock.clone());
        clock
    }

    /// Asks at most `max` connections to close, those first that are idle longest. Asks none while an idle one is still
    /// closing, which takes about a second; one that is answering may take any time and holds up nothing. Returns how
    /// many were asked.
    pub(super) fn close_idle(&mut self, max: usize) -> usize {
        self.sweep();
        let is_closing = |clock: &HeadClock| clock.shared.is_closing.load(Relaxed);
        if self.clocks.iter().any(|clock| is_closing(clock) && clock.is_idle_for(KEPT_IDLE)) {
            return 0;
        }
        let now = millis(self.epoch.elapsed());
        let is_long = |since: &u64| now.saturating_sub(*since) >= millis(KEPT_IDLE);
        let mut idle: Vec<(u64, &HeadClock)> = self
            .clocks
            .iter()
            .filter(|clock| !is_closing(clock))
            .filter_map(|clock| clock.idle_since().filter(is_long).map(|since| (since, clock)))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.iter().take(max).map(|(_, clock)| clock.close()).count()
    }

    /// The connection's own clock is gone with it.
    fn sweep(&mut self) {
        self.clocks.retain(|clock| Arc::strong_count(&clock.shared) > 1);
    }
}

/// A stream whose reads fail with `TimedOut` when a head takes too long.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    clock: HeadClock,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    is_shut_down: bool,
    has_read: bool,
    /// The last write found no room.
    is_blocked: bool,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, clock: HeadClock, limit: Duration) -> Self {
        Self {
            stream,
            clock,
            limit,
            deadline: Box::pin(tokio::time::sleep(limit)),
            is_shut_down: false,
            has_read: false,
            is_blocked: false,
        }
    }
}

impl<S> Timed<S> {
    /// A client that takes a long answer slowly is not idle. Reads the clock only after a write found no room.
    fn note_write(&mut self, is_pending: bool) {
        if std::mem::replace(&mut self.is_blocked, is_pending) && !is_pending {
            self.clock.restart_idle_time();
        }
    }
}

impl<S: Read + Unpin> Timed<S> {
    /// Whether the client may still be sending: a body that is not wanted, or a head that was refused midway.
    fn lingers(&self) -> bool {
        let is_mid_head = self.clock.is_in(Phase::Head) || self.has_read && self.clock.is_in(Phase::Fresh);
        is_mid_head || self.clock.shared.lingers.load(Relaxed)
    }

    /// Reads what still comes and drops it, until the client is done or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); 4096];
        loop {
            let mut buffer = ReadBuf::uninit(&mut room);
            match Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && !self.deadline.is_elapsed() => {}
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.as_mut().poll(cx),
            }
        }
    }
}

impl<S: Read + Unpin> Read for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                this.has_read = true;
                if this.clock.move_on(Phase::Idle, Phase::Head) {
                    this.deadline.as_mut().reset(Instant::now() + this.limit);
                }
                Poll::Ready(read)
            }
            Poll::Pending if this.clock.is_in(Phase::Fresh) || this.clock.is_in(Phase::Head) => {
                std::task::ready!(this.deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request head did not come in time")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: Read + Write + Unpin> Write for Timed<S> {
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
#[path = "tests/head_clock.rs"]
mod tests;

//! Limits the time that a request's head may take, and nothing else: not the pause between two requests on one
//! connection, not the sending of a body.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

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

/// Shared by the two ends of a connection: the reader of its bytes and the service behind the parser. Both run in the
/// task of the connection, so the phase needs no order among threads.
#[derive(Debug, Clone)]
pub(super) struct HeadClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    asked: Notify,
}

impl HeadClock {
    pub(super) fn new() -> Self {
        Self { shared: Arc::new(Shared { phase: AtomicU8::new(Phase::Fresh as u8), asked: Notify::new() }) }
    }

    /// A head is complete.
    pub(super) fn begun(&self, version: http::Version) {
        let phase = if version == http::Version::HTTP_2 { Phase::Open } else { Phase::Request };
        if self.shared.phase.swap(phase as u8, Relaxed) == Phase::Fresh as u8 {
            self.shared.asked.notify_one();
        }
    }

    /// A request is answered.
    pub(super) fn answered(&self) {
        self.move_on(Phase::Request, Phase::Idle);
    }

    /// Resolves once the first head is complete. Cancel-safe; for one waiter.
    pub(super) async fn first_request(&self) {
        while self.is_in(Phase::Fresh) {
            self.shared.asked.notified().await;
        }
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.shared.phase.load(Relaxed) == phase as u8
    }

    fn move_on(&self, from: Phase, to: Phase) -> bool {
        self.shared.phase.compare_exchange(from as u8, to as u8, Relaxed, Relaxed).is_ok()
    }
}

/// A stream whose reads fail with `TimedOut` when a head takes too long.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    clock: HeadClock,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, clock: HeadClock, limit: Duration) -> Self {
        Self { stream, clock, limit, deadline: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl<S: Read + Unpin> Read for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
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

impl<S: Write + Unpin> Write for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

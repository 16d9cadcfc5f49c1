//! Limits the time that a request's head may take, and nothing else: not the pause between two requests on one
//! connection, not the sending of a body.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// Where a connection stands. Seen by the reader of its bytes and by the service behind the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Shared by the two ends of a connection.
#[derive(Debug, Clone)]
pub(super) struct HeadClock {
    phase: Arc<watch::Sender<Phase>>,
}

impl HeadClock {
    pub(super) fn new() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Fresh)) }
    }

    /// A head is complete.
    pub(super) fn begun(&self, version: http::Version) {
        self.phase.send_replace(if version == http::Version::HTTP_2 { Phase::Open } else { Phase::Request });
    }

    /// A request is answered.
    pub(super) fn answered(&self) {
        self.move_on(Phase::Request, Phase::Idle);
    }

    /// Resolves once the first head is complete. Cancel-safe.
    pub(super) async fn first_request(&self) {
        let mut phases = self.phase.subscribe();
        // It ends with an error only when the sender is gone, and `self` holds it.
        drop(phases.wait_for(|phase| *phase != Phase::Fresh).await);
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    fn move_on(&self, from: Phase, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let moves = *phase == from;
            if moves {
                *phase = to;
            }
            moves
        });
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
                if this.clock.phase() == Phase::Idle {
                    this.clock.move_on(Phase::Idle, Phase::Head);
                    this.deadline.as_mut().reset(Instant::now() + this.limit);
                }
                Poll::Ready(read)
            }
            Poll::Pending => match this.clock.phase() {
                Phase::Fresh | Phase::Head => {
                    std::task::ready!(this.deadline.as_mut().poll(cx));
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request head did not come in time")))
                }
                Phase::Idle | Phase::Request | Phase::Open => Poll::Pending,
            },
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

//! The socket under a connection. It counts what was written and read, and holds back write errors so that an answer
//! which has already arrived can still be read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many of the first bytes of an answer are kept, to say what a peer speaks that does not speak HTTP.
const OPENING: usize = 40;

/// What went over a socket since the last request began.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) written: u64,
    pub(super) read: u64,
    /// The first bytes that were read.
    pub(super) opening: Vec<u8>,
    /// Once set, the rest of the request is thrown away.
    pub(super) write_error: Option<io::Error>,
}

/// The traffic of one socket, shared by the socket and its owner. A lock, as hyper owns the socket; held for a few
/// instructions only.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Traffic>>);

impl Meter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a new count.
    pub(super) fn reset(&self) {
        let mut traffic = self.lock();
        (traffic.written, traffic.read, traffic.write_error) = (0, 0, None);
        traffic.opening.clear();
    }

    /// All bytes, in both directions; grows while the exchange makes progress.
    pub(super) fn bytes(&self) -> u64 {
        let traffic = self.lock();
        traffic.written + traffic.read
    }
}

/// A socket to the app.
///
/// A server that answers early and closes makes our next write fail while its answer waits in the receive buffer. hyper
/// would report the write error and drop the answer; this socket takes the bytes of the failed write as written, so
/// hyper goes on reading until the answer or the end of the stream.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    meter: Meter,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { stream, meter: meter.clone() }, meter)
    }

    fn written(&self, offered: usize, result: io::Result<usize>) -> usize {
        let mut traffic = self.meter.lock();
        match result {
            Ok(count) => {
                traffic.written += count as u64;
                count
            }
            Err(error) => {
                traffic.write_error.get_or_insert(error);
                offered
            }
        }
    }

    fn is_broken(&self) -> bool {
        self.meter.lock().write_error.is_some()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut socket.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let mut traffic = socket.meter.lock();
        traffic.read += fresh.len() as u64;
        let room = OPENING.saturating_sub(traffic.opening.len()).min(fresh.len());
        if let Some(opening) = fresh.get(..room) {
            traffic.opening.extend_from_slice(opening);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if socket.is_broken() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut socket.stream).poll_write(cx, buf));
        Poll::Ready(Ok(socket.written(buf.len(), result)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        if socket.is_broken() {
            return Poll::Ready(Ok(offered));
        }
        let result = ready!(Pin::new(&mut socket.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(Ok(socket.written(offered, result)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

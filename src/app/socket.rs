//! The socket of a connection. It counts the bytes that were written and read, and delays write errors so that a response
//! which has already arrived can still be read.

use super::endpoint::Stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many of the first bytes of a response are kept, to describe a peer that does not speak HTTP.
const MAX_PREFIX: usize = 40;

/// The traffic of a socket since the start of the last request.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) written: u64,
    pub(super) read: u64,
    /// The first bytes that were read.
    pub(super) prefix: Vec<u8>,
    /// If set, the rest of the request is discarded.
    pub(super) write_error: Option<io::Error>,
}

/// Shared by the socket, which hyper owns, and the owner of the connection. The lock is held for a few instructions only.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedTraffic(Arc<Mutex<Traffic>>);

impl SharedTraffic {
    pub(super) fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the next request.
    pub(super) fn reset(&self) {
        let mut traffic = self.lock();
        (traffic.written, traffic.read, traffic.write_error) = (0, 0, None);
        traffic.prefix.clear();
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// All bytes in both directions; grows while the exchange makes progress.
    pub(super) fn bytes(&self) -> u64 {
        let traffic = self.lock();
        traffic.written + traffic.read
    }
}

/// A server that answers early and closes makes the next write fail while its response waits in the receive buffer. hyper
/// would report the write error and drop the response. This socket reports the failed write as a success, so hyper goes on
/// reading until the response or the end of the stream.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    traffic: SharedTraffic,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> (Self, SharedTraffic) {
        let traffic = SharedTraffic::default();
        (Self::counted(stream, traffic.clone()), traffic)
    }

    /// Counts in `traffic`, which may have counted for an earlier socket.
    pub(super) fn counted(stream: Stream, traffic: SharedTraffic) -> Self {
        traffic.reset();
        Self { stream, traffic }
    }

    fn written(&self, offered: usize, result: io::Result<usize>) -> usize {
        let mut traffic = self.traffic.lock();
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

    /// A flush writes too, where bytes wait to be encrypted.
    fn flushed(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.traffic.lock().write_error.get_or_insert(error);
        }
    }

    fn is_broken(&self) -> bool {
        self.traffic.lock().write_error.is_some()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut socket.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let mut traffic = socket.traffic.lock();
        traffic.read += fresh.len() as u64;
        let free = MAX_PREFIX.saturating_sub(traffic.prefix.len()).min(fresh.len());
        if let Some(prefix) = fresh.get(..free) {
            traffic.prefix.extend_from_slice(prefix);
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
        let socket = self.get_mut();
        if !socket.is_broken() {
            let result = ready!(Pin::new(&mut socket.stream).poll_flush(cx));
            socket.flushed(result);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

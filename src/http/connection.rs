//! One connection, from its first byte to its last, in one task.

use super::admission::ConnectInfo;
use super::head_clock::{HeadClock, Timed};
use crate::domain::Stop;
use axum::BoxError;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http::header::CONNECTION;
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// The time a head may take, from its first byte; for the first one of a connection, from the accept. Dapr's value.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection that has asked nothing yet may still ask once the server stops: its request may be on the
/// way already.
const LAST_CALL: Duration = Duration::from_millis(500);
/// How long a connection that makes room may take to send its last answer.
const ROOM_GRACE: Duration = Duration::from_secs(1);
/// After so long without a byte, the system asks the other end whether it is still there; Go's value.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// hyper refuses a smaller buffer.
const LEAST_BUFFER: usize = 8192;
/// Streams of one HTTP/2 connection at once; Go's value.
const MAX_STREAMS: u32 = 250;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body as it comes in.
pub(super) trait RequestBody: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static> RequestBody for B {}

/// Answers every request.
pub(super) trait Respond: Clone + Send + Sync + 'static {
    /// The answer. Dropped midway when the client goes away.
    fn respond<B: RequestBody>(&self, request: Request<B>, info: ConnectInfo) -> impl Future<Output = Response> + Send;
}

/// Runs the streams of an HTTP/2 connection inside the task of the connection, so that none outlives it. The channel
/// is unbounded because hyper hands work over synchronously; `MAX_STREAMS` bounds what is in it.
#[derive(Debug, Clone)]
struct Streams {
    sender: mpsc::UnboundedSender<Work>,
    /// HTTP/1 has none, and need not look for them each time.
    is_used: Arc<AtomicBool>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        self.is_used.store(true, Relaxed);
        // The receiver lives as long as the connection; afterwards there is nobody to answer.
        drop(self.sender.send(Box::pin(work)));
    }
}

/// Serves one connection until the client leaves, it breaks a limit, it must make room for another, or `stop` asks to
/// finish: then what was read is answered and the connection closed. Cancelling it aborts the requests in flight.
pub(super) async fn run(
    stream: TcpStream,
    service: impl Respond,
    max_header_bytes: usize,
    clock: HeadClock,
    stop: Stop,
) {
    prepare(&stream);
    let info = ConnectInfo::new(stream.local_addr().ok(), stream.peer_addr().ok());
    let (sender, receiver) = mpsc::unbounded_channel();
    let has_streams = Arc::new(AtomicBool::new(false));
    let builder = protocol(Streams { sender, is_used: Arc::clone(&has_streams) }, max_header_bytes);
    let answers = service_fn(|request: Request<Incoming>| {
        let active = clock.begun(request.version());
        let (service, clock) = (service.clone(), clock.clone());
        async move {
            let answer = service.respond(request, info).await;
            if answer.headers().contains_key(CONNECTION) {
                clock.linger();
            }
            drop(active);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = Timed::new(TokioIo::new(stream), clock.clone(), HEAD_LIMIT);
    let mut connection = std::pin::pin!(builder.serve_connection(io, answers));
    let mut streams = std::pin::pin!(drive(receiver));
    // In a set of its own, so that it is looked at only when it was woken, and not for every request.
    let mut leaving: FuturesUnordered<BoxFuture<'_, Leave>> = FuturesUnordered::new();
    leaving.push(Box::pin(last_call(&clock, &stop)));
    leaving.push(Box::pin(make_room(&clock)));
    let ended = std::future::poll_fn(|cx| {
        // First, because an answer written after the stop must already say that the connection closes.
        while let Poll::Ready(Some(leave)) = leaving.poll_next_unpin(cx) {
            match leave {
                Leave::Finish => connection.as_mut().graceful_shutdown(),
                Leave::MakeRoom => {
                    connection.as_mut().graceful_shutdown();
                    leaving.push(Box::pin(close_time_over(&clock)));
                }
                Leave::Abort => return Poll::Ready(Ok(())),
            }
        }
        let ended = connection.as_mut().poll(cx);
        if ended.is_pending() && has_streams.load(Relaxed) {
            // It never ends, and what it did wakes the connection.
            let Poll::Pending = streams.as_mut().poll(cx);
        }
        ended
    })
    .await;
    if let Err(error) = ended {
        log(error.as_ref());
    }
}

/// Sends small answers at once, and finds out when the client's machine has vanished.
fn prepare(stream: &TcpStream) {
    let keep_alive = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE)
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY on a connection");
    }
    if let Err(error) = keep_alive() {
        tracing::debug!(%error, "could not enable TCP keepalive on a connection");
    }
}

fn protocol(streams: Streams, max_header_bytes: usize) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    // `Timed` limits the head; hyper's own limit would close connections that are merely idle.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(max_header_bytes.max(LEAST_BUFFER));
    let list_size = u32::try_from(max_header_bytes.max(LEAST_BUFFER)).unwrap_or(u32::MAX);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(list_size);
    builder
}

/// Polls what arrives until dropped.
async fn drive(mut arriving: mpsc::UnboundedReceiver<Work>) -> Infallible {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            work = arriving.recv() => match work {
                Some(work) => running.push(work),
                None => std::future::pending().await,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

/// How a connection is closed from our side.
enum Leave {
    /// What was read is answered first.
    Finish,
    /// The same, because another connection needs its place.
    MakeRoom,
    /// Its client takes nothing of the last answer.
    Abort,
}

/// Resolves when the server stops.
async fn last_call(clock: &HeadClock, stop: &Stop) -> Leave {
    stop.asked().await;
    tokio::select! {
        () = clock.first_request() => {}
        () = tokio::time::sleep(LAST_CALL) => {}
    }
    Leave::Finish
}

async fn make_room(clock: &HeadClock) -> Leave {
    clock.asked_to_close().await;
    Leave::MakeRoom
}

/// Resolves when the connection had its time to close, answers no request and sends nothing.
async fn close_time_over(clock: &HeadClock) -> Leave {
    tokio::time::sleep(ROOM_GRACE).await;
    while !clock.is_idle_for(ROOM_GRACE) {
        tokio::time::sleep(ROOM_GRACE).await;
    }
    Leave::Abort
}

fn log(error: &(dyn Error + Send + Sync)) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::debug!(%error, %cause, "connection ended with an error");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_socket_is_kept_alive() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let stream = accepted.unwrap().0;
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
        prepare(&stream);
        assert!(sockopt::socket_keepalive(&stream).unwrap() && stream.nodelay().unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE);
        assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), KEEP_ALIVE);
        drop(client);
    }
}

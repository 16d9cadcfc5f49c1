//! One connection, in one task from its first byte to its last.

use super::admission::ConnectInfo;
use super::connection_state::{ConnectionState, HeadTimeout};
use super::response_body::{ResponseBody, WRITE_TIMEOUT};
use super::socket::Socket;
use crate::domain::Stop;
use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::Request;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a head may take from its first byte; the first head of a connection, from the accept. Dapr's value.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After a stop, how long a connection without a request is kept: its first request may be on the way.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);
/// How long a connection that is closed in favour of another may take to send its last response.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// hyper's minimum.
const MIN_BUFFER: usize = 8192;
/// Concurrent streams of one HTTP/2 connection; Go's value.
const MAX_STREAMS: u32 = 250;

type StreamTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Idle time before an HTTP/2 ping to a gRPC client, and the time for its answer; Dapr's values.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 without TLS by prior knowledge.
    Http,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 without TLS by prior knowledge. A connection may wait for its first request as for any other; after this time
    /// without a request it is closed.
    Grpc { max_idle: Duration },
}

/// How connections are served.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionSettings {
    /// The largest head of a request, in bytes; at least 8192 are used, the minimum of hyper.
    pub max_header_bytes: usize,
    /// Open connections of all listeners. At the limit, idle ones are closed, and new ones wait. 0 counts as 1.
    pub max_connections: usize,
    pub protocol: Protocol,
}

/// Answers requests.
pub trait Respond: Clone + Send + Sync + 'static {
    /// The response. Dropped midway when the client disconnects.
    fn respond(&self, request: Request<Body>, info: ConnectInfo) -> impl Future<Output = Response> + Send;
}

/// Runs the streams of an HTTP/2 connection in the task of the connection, so that none outlives it. The channel is
/// unbounded because hyper hands over streams synchronously; `MAX_STREAMS` limits what is in it.
#[derive(Debug, Clone)]
struct StreamExecutor {
    sender: mpsc::UnboundedSender<StreamTask>,
    /// False for HTTP/1, which then skips polling the streams.
    is_used: Arc<AtomicBool>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        self.is_used.store(true, Relaxed);
        // Fails only after the connection ended; then the client is gone.
        drop(self.sender.send(Box::pin(stream)));
    }
}

/// Serves one connection until its client closes it, it breaks a limit, it is closed in favour of another one, or `stop`
/// asks to finish: then the requests that were read are answered and the connection closes. Cancelling it aborts the
/// requests in flight.
pub(super) async fn run(
    stream: Socket,
    service: impl Respond,
    settings: ConnectionSettings,
    state: ConnectionState,
    stop: Stop,
) {
    stream.prepare();
    let info = stream.info();
    let (sender, receiver) = mpsc::unbounded_channel();
    let has_streams = Arc::new(AtomicBool::new(false));
    let builder = protocol(StreamExecutor { sender, is_used: Arc::clone(&has_streams) }, settings);
    let responder = service_fn(|request: Request<Incoming>| {
        let active = state.request_started(request.version());
        let (service, state) = (service.clone(), state.clone());
        async move {
            let response = service.respond(request.map(Body::new), info).await;
            if response.headers().contains_key(CONNECTION) {
                state.linger();
            }
            drop(active);
            Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, Arc::clone(state.unsent()))))
        }
    });
    let has_heads = matches!(settings.protocol, Protocol::Http | Protocol::Http1);
    let io = HeadTimeout::new(TokioIo::new(stream), state.clone(), HEAD_TIMEOUT, has_heads);
    let mut connection = std::pin::pin!(builder.serve_connection(io, responder));
    let mut streams = std::pin::pin!(run_streams(receiver));
    // This set polls a future only after it was woken, and so costs nothing for each request.
    let mut close_events: FuturesUnordered<BoxFuture<'_, Close>> = FuturesUnordered::new();
    close_events.push(Box::pin(stopped(&state, &stop)));
    close_events.push(Box::pin(must_make_room(&state)));
    close_events.push(Box::pin(stalled(&state)));
    if let Protocol::Grpc { max_idle } = settings.protocol {
        close_events.push(Box::pin(idle_for_long(&state, max_idle)));
    }
    let mut makes_room = false;
    let ended = std::future::poll_fn(|cx| {
        // First, because a response that is written after the stop must have `Connection: close`.
        while let Poll::Ready(Some(close)) = close_events.poll_next_unpin(cx) {
            match close {
                Close::Graceful => connection.as_mut().graceful_shutdown(),
                Close::MakeRoom => makes_room = true,
                Close::Abort => return Poll::Ready(Ok(())),
            }
        }
        let ended = connection.as_mut().poll(cx);
        if ended.is_pending() && std::mem::take(&mut makes_room) {
            // Only now it is known that the rest of the head has not arrived meanwhile.
            if state.is_half_open() {
                return Poll::Ready(Ok(()));
            }
            connection.as_mut().graceful_shutdown();
            close_events.push(Box::pin(grace_is_over(&state)));
            // Registers the new event, and the shutdown.
            cx.waker().wake_by_ref();
        }
        if ended.is_pending() && has_streams.load(Relaxed) {
            // Never ready; its progress wakes the connection.
            let Poll::Pending = streams.as_mut().poll(cx);
        }
        ended
    })
    .await;
    if let Err(error) = ended {
        log(error.as_ref());
    }
}

fn protocol(streams: StreamExecutor, settings: ConnectionSettings) -> auto::Builder<StreamExecutor> {
    let max_header_bytes = settings.max_header_bytes.max(MIN_BUFFER);
    let mut builder = auto::Builder::new(streams);
    // `HeadTimeout` limits the head instead; the module `connection_state` says why.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(max_header_bytes);
    let list_size = u32::try_from(max_header_bytes).unwrap_or(u32::MAX);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(list_size);
    match settings.protocol {
        Protocol::Http => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Grpc { .. } => {
            builder.http2().keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
            builder.http2_only()
        }
    }
}

/// Runs streams until dropped.
async fn run_streams(mut incoming: mpsc::UnboundedReceiver<StreamTask>) -> Infallible {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = incoming.recv() => match stream {
                Some(stream) => running.push(stream),
                None => std::future::pending().await,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

/// How the server closes a connection.
enum Close {
    /// The requests that were read are answered first.
    Graceful,
    /// The same, within a time limit, because another connection needs its place; at once without a request.
    MakeRoom,
    /// At once, because the client does not read its last response.
    Abort,
}

async fn stopped(state: &ConnectionState, stop: &Stop) -> Close {
    stop.finishing().await;
    tokio::select! {
        () = state.first_request() => {}
        () = tokio::time::sleep(FIRST_REQUEST_GRACE) => {}
    }
    Close::Graceful
}

async fn must_make_room(state: &ConnectionState) -> Close {
    state.close_requested().await;
    Close::MakeRoom
}

async fn stalled(state: &ConnectionState) -> Close {
    state.unsent().stalled().await;
    tracing::debug!(limit = ?WRITE_TIMEOUT, "connection aborted: its client did not read a response in time");
    Close::Abort
}

/// Waits until no request was in flight for this time.
async fn idle_for_long(state: &ConnectionState, time: Duration) -> Close {
    while let Some(rest) = state.idle_time_left(time) {
        tokio::time::sleep(rest).await;
    }
    Close::Graceful
}

/// Waits until the grace period is over and the connection neither has a request in flight nor sends anything.
async fn grace_is_over(state: &ConnectionState) -> Close {
    tokio::time::sleep(CLOSE_GRACE).await;
    while !state.is_idle_for(CLOSE_GRACE) {
        tokio::time::sleep(CLOSE_GRACE).await;
    }
    Close::Abort
}

fn log(error: &(dyn Error + Send + Sync)) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::debug!(%error, %cause, "connection ended with an error");
}

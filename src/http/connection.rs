//! One connection, from its first byte to its last, in one task.

use super::head_clock::{HeadClock, Timed};
use crate::domain::Stop;
use axum::Router;
use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::error::Error;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower::ServiceExt;

/// The time a head may take, from its first byte; for the first one of a connection, from the accept. Dapr's value.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection that has asked nothing yet may still ask once the server stops: its request may be on the
/// way already.
const LAST_CALL: Duration = Duration::from_millis(500);
/// hyper refuses a smaller buffer.
const LEAST_BUFFER: usize = 8192;
/// Streams of one HTTP/2 connection at once; Go's value.
const MAX_STREAMS: u32 = 250;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the streams of an HTTP/2 connection inside the task of the connection, so that none outlives it. The channel
/// is unbounded because hyper hands work over synchronously; `MAX_STREAMS` bounds what is in it.
#[derive(Debug, Clone)]
struct Streams(mpsc::UnboundedSender<Work>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        // The receiver lives as long as the connection; afterwards there is nobody to answer.
        drop(self.0.send(Box::pin(work)));
    }
}

/// Serves one connection until the client leaves, it breaks a limit, or `stop` asks to finish: then what was read is
/// answered and the connection closed. Cancelling it cuts the requests in hand.
pub(super) async fn run(stream: TcpStream, router: Router, max_header_bytes: usize, stop: Stop) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection keeps its delay");
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let builder = protocol(Streams(sender), max_header_bytes);
    let clock = HeadClock::new();
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        clock.begun(request.version());
        let (router, clock) = (router.clone(), clock.clone());
        async move {
            let answer = router.oneshot(request.map(Body::new)).await;
            clock.answered();
            answer
        }
    });
    let io = Timed::new(TokioIo::new(stream), clock.clone(), HEAD_LIMIT);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut streams = std::pin::pin!(drive(receiver));
    let mut leaving = std::pin::pin!(last_call(&clock, &stop));
    let mut is_leaving = false;
    let ended = loop {
        // Biased: an answer written after the stop must already say that the connection closes.
        tokio::select! {
            biased;
            () = leaving.as_mut(), if !is_leaving => {
                is_leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            ended = connection.as_mut() => break ended,
            () = streams.as_mut() => {}
        }
    };
    if let Err(error) = ended {
        tell(error.as_ref());
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
async fn drive(mut arriving: mpsc::UnboundedReceiver<Work>) {
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

/// Resolves when the connection should begin to leave.
async fn last_call(clock: &HeadClock, stop: &Stop) {
    stop.asked().await;
    tokio::select! {
        () = clock.first_request() => {}
        () = tokio::time::sleep(LAST_CALL) => {}
    }
}

fn tell(error: &(dyn Error + Send + Sync)) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::debug!(%error, %cause, "connection ended with an error");
}

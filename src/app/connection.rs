//! One HTTP/1.1 connection to the app, driven by the request that uses it.

use super::endpoint::Endpoint;
use super::socket::{SharedTraffic, Socket, Traffic};
use crate::domain::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How much of the body of a refusal is kept for dead letters; the log shows less of it.
pub(super) const MAX_EXCERPT: usize = 1 << 10;

/// How much of the body of a response is read to reuse its connection.
pub(super) const MAX_DRAINED: usize = 64 << 10;

/// After the head of the response, how long the rest of an exchange may stall, and how long it may take. The rest decides
/// only whether the connection can be reused, so the next record must not wait long for it.
pub(super) const FINISH_STALL: Duration = Duration::from_millis(100);
pub(super) const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// hyper's default of 100 is too low: a record whose response cannot be parsed would be retried forever.
const MAX_HEADERS: usize = 512;

type Body = Full<Bytes>;
type Driver = http1::Connection<TokioIo<Socket>, Body>;

/// An exchange without a valid response.
#[derive(Debug)]
pub(super) struct ExchangeError {
    pub(super) source: BoxError,
    /// Whether a byte of the request was written; if not, the app cannot have seen it.
    pub(super) was_written: bool,
    /// Whether a byte of a response was read.
    pub(super) has_response: bool,
    /// What was read, if it is no valid HTTP/1.1.
    pub(super) invalid_response: Option<InvalidResponse>,
}

/// A body that was to be read completely, and was not.
#[derive(Debug)]
pub(super) enum IncompleteBody {
    TooLong,
    Ended(BoxError),
}

/// What the peer sent instead of a valid HTTP/1.1 response.
#[derive(Debug)]
pub(super) enum InvalidResponse {
    /// It is HTTP/1.1; what is wrong with its head.
    Head(String),
    /// Another protocol, described in words.
    Known(String),
    /// The first bytes of something unknown. They may repeat the request.
    Unknown(Vec<u8>),
}

/// A connection. It makes progress only while one of its methods is polled. Dropping it closes the socket.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    /// `None` after the connection has ended.
    driver: Option<Driver>,
    traffic: SharedTraffic,
    last_used: Instant,
    /// An exchange is in progress, or was not completed.
    is_in_exchange: bool,
}

impl Connection {
    /// Cancel-safe.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, BoxError> {
        let (socket, traffic) = Socket::new(endpoint.connect().await?);
        let (sender, driver) = http1::Builder::new().max_headers(MAX_HEADERS).handshake(TokioIo::new(socket)).await?;
        Ok(Self { sender, driver: Some(driver), traffic, last_used: Instant::now(), is_in_exchange: false })
    }

    /// Whether another request may be sent: the last exchange was completed and the app has not closed the connection.
    /// Polls the socket once and does not wait.
    pub(super) fn is_reusable(&mut self) -> bool {
        if self.is_in_exchange || self.traffic.lock().write_error.is_some() {
            return false;
        }
        poll_driver(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Sends a request and reads the head of the response. Not cancel-safe: if the future is dropped, the connection must
    /// be dropped too.
    pub(super) async fn head(&mut self, request: Request<Body>) -> Result<Response<Incoming>, ExchangeError> {
        self.is_in_exchange = true;
        self.traffic.reset();
        let response = self.sender.send_request(request);
        drive(&mut self.driver, response).await.map_err(|error| exchange_error(error, &mut self.traffic.lock()))
    }

    /// Completes the exchange after the head: writes the rest of the request and reads the body of the response, up to the
    /// limits. Returns the first bytes of the body if `keep_prefix`. Not cancel-safe, like `head`.
    pub(super) async fn finish(&mut self, body: Incoming, keep_prefix: bool) -> Vec<u8> {
        let mut prefix = Vec::new();
        let is_complete = {
            let Self { sender, driver, traffic, .. } = self;
            let kept = keep_prefix.then_some(&mut prefix);
            let rest = async { drain(body, kept).await && sender.ready().await.is_ok() };
            while_progressing(drive(driver, rest), traffic).await
        };
        self.is_in_exchange = !is_complete;
        self.last_used = Instant::now();
        prefix
    }

    /// Completes the exchange after the head like `finish`, but returns the whole body. The caller limits the time. Not
    /// cancel-safe, like `head`.
    pub(super) async fn whole_body(&mut self, body: Incoming, max: usize) -> Result<Vec<u8>, IncompleteBody> {
        let Self { sender, driver, traffic, .. } = self;
        let read = drive(driver, collect(body, max)).await?;
        let is_complete = while_progressing(drive(driver, async { sender.ready().await.is_ok() }), traffic).await;
        self.is_in_exchange = !is_complete;
        self.last_used = Instant::now();
        Ok(read)
    }
}

async fn collect(mut body: Incoming, max: usize) -> Result<Vec<u8>, IncompleteBody> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| IncompleteBody::Ended(error.into()))?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > max {
            return Err(IncompleteBody::TooLong);
        }
        read.extend_from_slice(data);
    }
    Ok(read)
}

/// Runs the rest of an exchange to its end; false when it stalls or takes too long.
async fn while_progressing(rest: impl Future<Output = bool>, traffic: &SharedTraffic) -> bool {
    let mut rest = pin!(rest);
    let end = Instant::now() + FINISH_LIMIT;
    loop {
        let (bytes, stalled_at) = (traffic.bytes(), end.min(Instant::now() + FINISH_STALL));
        match tokio::time::timeout_at(stalled_at, &mut rest).await {
            Ok(is_complete) => return is_complete,
            Err(_) if traffic.bytes() == bytes || Instant::now() >= end => return false,
            Err(_) => {}
        }
    }
}

/// Polls `work` and the connection, which has no task.
async fn drive<F: Future>(driver: &mut Option<Driver>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        poll_driver(driver, cx);
        work.as_mut().poll(cx)
    })
    .await
}

fn poll_driver(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    // The cause is reported to the request, if there is one.
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Reads the body of a response and keeps its first bytes; returns whether it ended within the limit.
async fn drain(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(data) = frame.data_ref() else { continue };
        read += data.len();
        if let Some(kept) = &mut kept {
            let free = MAX_EXCERPT.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(data.get(..free).unwrap_or_default());
        }
        if read > MAX_DRAINED {
            return false;
        }
    }
    true
}

fn exchange_error(error: hyper::Error, traffic: &mut Traffic) -> ExchangeError {
    let invalid_response = invalid_response(&error, &traffic.prefix);
    let (was_written, has_response) = (traffic.written > 0, traffic.read > 0);
    // A failed write is closer to the cause than the end of the stream after it.
    let source = traffic.write_error.take().map_or_else(|| error.into(), BoxError::from);
    ExchangeError { source, was_written, has_response, invalid_response }
}

/// What the peer sent, if that is not HTTP/1.1, or has an invalid head.
fn invalid_response(error: &hyper::Error, prefix: &[u8]) -> Option<InvalidResponse> {
    let prefix = prefix.trim_ascii_start();
    let start = prefix.get(..7).unwrap_or(prefix);
    Some(match prefix {
        [] => return None,
        [0x15, 0x03, ..] => {
            let text = "it is a TLS alert, so the port accepts only TLS; set --app-protocol https";
            InvalidResponse::Known(text.to_owned())
        }
        // A frame header of SETTINGS or GOAWAY on stream 0.
        [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => {
            let text = "it is HTTP/2; set --app-protocol h2c, or grpc for a gRPC server";
            InvalidResponse::Known(text.to_owned())
        }
        _ if !b"HTTP/1.".starts_with(start) => InvalidResponse::Unknown(prefix.to_owned()),
        _ if error.is_parse_too_large() => {
            InvalidResponse::Head(format!("it has more than {MAX_HEADERS} header lines or about 400 KiB"))
        }
        _ if error.is_parse() => InvalidResponse::Head("it has a line that is not valid".to_owned()),
        _ => return None,
    })
}

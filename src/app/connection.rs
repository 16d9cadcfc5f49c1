//! One HTTP/1.1 connection to the app, driven by the request that uses it.

use super::answer::MAX_EXCERPT;
use super::socket::{Meter, Socket, Traffic};
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
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How much of an answer's body is read to keep its connection.
const MAX_DRAINED: usize = 64 << 10;

/// How long the rest of an exchange may stand still, and how long it may take, once the head of the answer is there. It
/// decides only whether the connection can be used again, so the next record must not wait for it.
const REST_STALL: Duration = Duration::from_millis(100);
const REST_LIMIT: Duration = Duration::from_secs(1);

/// More than the 100 that hyper takes by default: a record whose answer cannot be read would never pass.
const MAX_HEADERS: usize = 512;

type Body = Full<Bytes>;
type Wire = http1::Connection<TokioIo<Socket>, Body>;

/// An exchange without an answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) source: BoxError,
    /// Whether any byte of the request was written; if not, the app has surely not seen it.
    pub(super) was_written: bool,
    /// Whether any byte of an answer was read.
    pub(super) was_begun: bool,
    /// What the peer speaks, where it is not HTTP/1.1.
    pub(super) finding: Option<Finding>,
}

/// Why what the peer sent is no answer in HTTP/1.1.
#[derive(Debug)]
pub(super) enum Finding {
    /// In words.
    Known(String),
    /// The first bytes of something else. They may repeat the request.
    Unknown(Vec<u8>),
}

/// A connection. It makes progress only inside its own methods; dropping it closes the socket.
pub(super) struct Link {
    sender: SendRequest<Body>,
    /// `None` once the connection has ended.
    wire: Option<Wire>,
    meter: Meter,
    used: Instant,
    is_spent: bool,
}

impl Link {
    /// Connects. Cancel-safe.
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, BoxError> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let (socket, meter) = Socket::new(stream);
        let (sender, wire) = http1::Builder::new().max_headers(MAX_HEADERS).handshake(TokioIo::new(socket)).await?;
        Ok(Self { sender, wire: Some(wire), meter, used: Instant::now(), is_spent: false })
    }

    /// Whether another request may go over it: the last exchange was completed and the app has not closed it. Looks at
    /// the socket once and does not wait.
    pub(super) fn is_reusable(&mut self) -> bool {
        if self.is_spent || self.meter.lock().write_error.is_some() {
            return false;
        }
        poll_wire(&mut self.wire, &mut Context::from_waker(Waker::noop()));
        self.wire.is_some() && self.sender.is_ready()
    }

    /// How long ago it was last used.
    pub(super) fn idle_for(&self) -> Duration {
        self.used.elapsed()
    }

    /// Sends a request and reads the head of the answer. Not cancel-safe: after a drop in the middle the link must be
    /// dropped too.
    pub(super) async fn head(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Broken> {
        self.is_spent = true;
        self.meter.reset();
        let answer = self.sender.send_request(request);
        drive(&mut self.wire, answer).await.map_err(|error| broken(error, &mut self.meter.lock()))
    }

    /// Completes the exchange behind the head: writes what is left of the request and reads the body of the answer, up
    /// to its bounds. Gives the first bytes of the body where they are wanted. Cancel-safe as `head`.
    pub(super) async fn finish(&mut self, body: Incoming, wants_opening: bool) -> Vec<u8> {
        let mut opening = Vec::new();
        let is_complete = {
            let Self { sender, wire, meter, .. } = self;
            let kept = wants_opening.then_some(&mut opening);
            let rest = async { drain(body, kept).await && sender.ready().await.is_ok() };
            while_moving(drive(wire, rest), meter).await
        };
        self.is_spent = !is_complete;
        self.used = Instant::now();
        opening
    }
}

/// Runs the rest of an exchange until it is over; false when it stands still or takes too long.
async fn while_moving(rest: impl Future<Output = bool>, meter: &Meter) -> bool {
    let mut rest = pin!(rest);
    let end = Instant::now() + REST_LIMIT;
    loop {
        let (bytes, stalled) = (meter.bytes(), end.min(Instant::now() + REST_STALL));
        match tokio::time::timeout_at(stalled, &mut rest).await {
            Ok(is_complete) => return is_complete,
            Err(_) if meter.bytes() == bytes || Instant::now() >= end => return false,
            Err(_) => {}
        }
    }
}

/// Runs `work` while the connection makes progress; the connection has no task of its own.
async fn drive<F: Future>(wire: &mut Option<Wire>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        poll_wire(wire, cx);
        work.as_mut().poll(cx)
    })
    .await
}

fn poll_wire(wire: &mut Option<Wire>, cx: &mut Context<'_>) {
    // Why it ended is reported to the request, if there is one.
    if wire.as_mut().is_some_and(|wire| Pin::new(wire).poll(cx).is_ready()) {
        *wire = None;
    }
}

/// Reads an answer's body and keeps its first bytes; returns whether it came to its end within the bound.
async fn drain(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(data) = frame.data_ref() else { continue };
        read += data.len();
        if let Some(kept) = &mut kept {
            let room = MAX_EXCERPT.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(data.get(..room).unwrap_or_default());
        }
        if read > MAX_DRAINED {
            return false;
        }
    }
    true
}

fn broken(error: hyper::Error, traffic: &mut Traffic) -> Broken {
    let finding = finding(&error, &traffic.opening);
    let (was_written, was_begun) = (traffic.written > 0, traffic.read > 0);
    // A failed write is nearer to the cause than the end of the stream that followed.
    let source = traffic.write_error.take().map_or_else(|| error.into(), BoxError::from);
    Broken { source, was_written, was_begun, finding }
}

/// What the peer speaks by its first bytes, where that is not HTTP/1.1, or what is wrong with the head of its answer.
fn finding(error: &hyper::Error, opening: &[u8]) -> Option<Finding> {
    let opening = opening.trim_ascii_start();
    let start = opening.get(..7).unwrap_or(opening);
    let text = match opening {
        [] => return None,
        [0x15, 0x03, ..] => "it is a TLS alert, so the port takes TLS only; bindd calls apps in plain HTTP".to_owned(),
        // A frame header of SETTINGS or GOAWAY on stream 0.
        [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => {
            "it is HTTP/2 (as of a gRPC server); bindd calls apps in HTTP/1.1".to_owned()
        }
        _ if error.is_parse_too_large() => {
            format!("its head has more than {MAX_HEADERS} header lines or about 400 KiB")
        }
        _ if !b"HTTP/1.".starts_with(start) => return Some(Finding::Unknown(opening.to_owned())),
        _ if error.is_parse() => "its head has a line that is not valid".to_owned(),
        _ => return None,
    };
    Some(Finding::Known(text))
}

//! One HTTP/2 connection to the app, shared by many requests.

use super::connection::{FINISH_LIMIT, FINISH_STALL, IncompleteBody, InvalidResponse, MAX_DRAINED, MAX_EXCERPT};
use super::endpoint::Endpoint;
use super::socket::{SharedTraffic, Socket};
use crate::domain::BoxError;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Requests at once on a connection, if the app allows as many. Beyond that, another connection is opened.
const MAX_STREAMS: usize = 100;
/// In bytes, as hyper limits the headers of an HTTP/1.1 response.
const MAX_HEADER_LIST: u32 = 400 << 10;

/// A connection that its own task drives, because it must answer the app's pings and settings while it is idle.
pub(super) struct Http2Connection {
    sender: SendRequest<Bytes>,
    traffic: SharedTraffic,
    in_flight: AtomicUsize,
    /// No new request may use it.
    is_retired: AtomicBool,
    last_used: Mutex<Instant>,
}

/// A request on a connection; counted until it is dropped.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) connection: Arc<Http2Connection>,
    /// The connection was idle before.
    pub(super) was_idle: bool,
    /// Bytes that the app had sent before.
    read_before: u64,
}

/// An exchange without a response.
#[derive(Debug)]
pub(super) enum Http2Error {
    /// The app has not processed the request: it says so, or the request was not sent.
    NotProcessed(BoxError),
    /// The app may have received the request.
    Unknown(BoxError),
    /// The peer does not speak HTTP/2.
    NotHttp2 { response: InvalidResponse, source: BoxError },
}

/// The response, and the rest of the request, which is sent on meanwhile.
pub(super) struct Exchange {
    pub(super) response: Response<RecvStream>,
    upload: Upload,
}

struct Upload {
    /// `None` after the end of the body, or of the stream.
    stream: Option<SendStream<Bytes>>,
    rest: Bytes,
}

impl Http2Connection {
    /// Opens a connection, and returns it with the future that drives it until it ends. Cancel-safe.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<(Self, impl Future<Output = ()> + Send + use<>), BoxError> {
        let (socket, traffic) = Socket::new(endpoint.connect().await?);
        let mut builder = Builder::new();
        builder.enable_push(false).max_header_list_size(MAX_HEADER_LIST);
        let (sender, driver) = builder.handshake::<_, Bytes>(socket).await?;
        let drive = async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "HTTP/2 connection to the app ended");
            }
        };
        let connection = Self {
            sender,
            traffic,
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
        };
        Ok((connection, drive))
    }

    /// Whether no new request may use it: it has ended, or the app is closing it.
    pub(super) fn is_retired(&self) -> bool {
        // Without a stream of its own, a clone of the sender is ready at once, or fails.
        let mut sender = self.sender.clone();
        let state = sender.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
        self.is_retired.load(Ordering::Relaxed) || matches!(state, Poll::Ready(Err(_)))
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether another request may use it without a wait for others.
    pub(super) fn has_capacity(&self) -> bool {
        self.in_flight() < MAX_STREAMS.min(self.sender.current_max_send_streams())
    }

    /// `None` while a request uses it.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        (self.in_flight() == 0).then(|| self.last_used().elapsed())
    }

    fn last_used(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    /// `is_new`: the connection was opened for this request.
    pub(super) fn new(connection: Arc<Http2Connection>, is_new: bool) -> Self {
        let others = connection.in_flight.fetch_add(1, Ordering::Relaxed);
        let read_before = connection.traffic.lock().read;
        Self { connection, was_idle: others == 0 && !is_new, read_before }
    }

    /// Whether the app has sent anything on this connection since the request.
    pub(super) fn is_silent(&self) -> bool {
        self.connection.traffic.lock().read == self.read_before
    }

    /// Sends a request and reads the head of its response. If it is dropped, the stream is reset, and it is unknown whether
    /// the app has seen the request.
    pub(super) async fn exchange(&self, request: Request<()>, body: Bytes) -> Result<Exchange, Http2Error> {
        let sender = self.connection.sender.clone();
        let mut sender = sender.ready().await.map_err(|error| self.not_sent(error))?;
        let is_empty = body.is_empty();
        let (mut response, stream) = sender.send_request(request, is_empty).map_err(|error| self.not_sent(error))?;
        let mut upload = Upload { stream: (!is_empty).then_some(stream), rest: body };
        let response = poll_fn(|cx| {
            upload.advance(cx);
            std::pin::Pin::new(&mut response).poll(cx)
        });
        let response = response.await.map_err(|error| self.failed(error))?;
        Ok(Exchange { response, upload })
    }

    fn not_sent(&self, error: h2::Error) -> Http2Error {
        match self.other_protocol() {
            Some(response) => Http2Error::NotHttp2 { response, source: error.into() },
            None => Http2Error::NotProcessed(error.into()),
        }
    }

    fn failed(&self, error: h2::Error) -> Http2Error {
        if let Some(response) = self.other_protocol() {
            return Http2Error::NotHttp2 { response, source: error.into() };
        }
        if !error.is_reset() {
            self.connection.retire();
        }
        // RFC 9113, 6.8 and 8.7: a refused stream, and one above the last stream of a GOAWAY, were not processed. h2 gives
        // the error of a GOAWAY without an error code to those streams only.
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let is_after_last = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        match error.is_remote() && (is_refused || is_after_last) {
            true => Http2Error::NotProcessed(error.into()),
            false => Http2Error::Unknown(error.into()),
        }
    }

    /// What the peer speaks, if that is not HTTP/2.
    fn other_protocol(&self) -> Option<InvalidResponse> {
        let traffic = self.connection.traffic.lock();
        let prefix = traffic.prefix.as_slice();
        let text = match prefix {
            [0x15, 0x03, ..] => "it is a TLS alert, so the port accepts only TLS; set --app-protocol https",
            // Not enough, or the header of a frame: three bytes of length, then a type of RFC 9113.
            [] | [_] | [_, _] | [_, _, _] | [_, _, _, 0..=9, ..] => return None,
            _ if prefix.starts_with(b"HTTP/1.") => "it is HTTP/1.1; set --app-protocol http",
            _ => return Some(InvalidResponse::Unknown(prefix.to_owned())),
        };
        Some(InvalidResponse::Known(text.to_owned()))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.connection.last_used() = Instant::now();
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upload {
    /// Sends what the flow control allows. A failure is reported by the response.
    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.poll(cx).is_ready() {
            self.stream = None;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stream: Some(stream), rest } = self else { return Poll::Ready(()) };
        loop {
            stream.reserve_capacity(rest.len());
            let Some(Ok(capacity)) = ready!(stream.poll_capacity(cx)) else { return Poll::Ready(()) };
            // h2 may wake without a change.
            if capacity == 0 {
                continue;
            }
            let part = rest.split_to(capacity.min(rest.len()));
            let is_last = rest.is_empty();
            if stream.send_data(part, is_last).is_err() || is_last {
                return Poll::Ready(());
            }
        }
    }
}

impl Exchange {
    /// Reads the body for a short time and returns its first bytes, if `keep_prefix`. A stream that is not at its end then is
    /// reset, which some servers count as an attack, so it is read although only the status counts.
    pub(super) async fn finish(&mut self, keep_prefix: bool) -> Vec<u8> {
        let (mut prefix, mut read) = (Vec::new(), 0);
        let end = Instant::now() + FINISH_LIMIT;
        while let Ok(Some(Ok(data))) = timeout_at(end.min(Instant::now() + FINISH_STALL), self.data()).await {
            read += data.len();
            let free = MAX_EXCERPT.saturating_sub(prefix.len()).min(data.len());
            if keep_prefix {
                prefix.extend_from_slice(data.get(..free).unwrap_or_default());
            }
            if read > MAX_DRAINED {
                break;
            }
        }
        prefix
    }

    /// Reads the whole body. The caller limits the time.
    pub(super) async fn whole_body(&mut self, max: usize) -> Result<Vec<u8>, IncompleteBody> {
        let mut read = Vec::new();
        while let Some(data) = self.data().await {
            let data = data.map_err(|error| IncompleteBody::Ended(error.into()))?;
            if read.len() + data.len() > max {
                return Err(IncompleteBody::TooLong);
            }
            read.extend_from_slice(&data);
        }
        // The rest of the request, so that its stream is not reset.
        let sent = poll_fn(|cx| {
            self.upload.advance(cx);
            if self.upload.stream.is_none() { Poll::Ready(()) } else { Poll::Pending }
        });
        if timeout(FINISH_STALL, sent).await.is_err() {
            tracing::debug!("app answered before it had read the request");
        }
        Ok(read)
    }

    async fn data(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let Self { response, upload } = self;
        let data = poll_fn(|cx| {
            upload.advance(cx);
            response.body_mut().poll_data(cx)
        })
        .await?;
        // The window of the connection would be used up otherwise.
        Some(data.and_then(|data| response.body_mut().flow_control().release_capacity(data.len()).map(|()| data)))
    }
}

impl fmt::Debug for Http2Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

//! Reads the whole body of a request, within its own limit and that of all bodies together; or discards it.

use super::error::{ApiError, MalformedRequest};
use crate::domain::{BodyMemory, BodyMemoryFull, Reservation};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Version};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// How much of a body that is too large is still read and discarded, so that a client that writes all of it before it
/// reads sees the response instead of a broken connection.
const MAX_DISCARDED: usize = 16 << 20;
const MAX_DISCARD_TIME: Duration = Duration::from_secs(2);
/// The same for bodies of requests that are refused by their head; Go's values.
const MAX_SKIPPED: usize = 256 << 10;
const MAX_SKIP_TIME: Duration = Duration::from_millis(500);
/// How long a client may send nothing in the middle of a body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Half of what a connection reads at once.
const MAX_COPIED: usize = 4 << 10;
/// Memory that is allocated at once for a `Content-Length`, before the bytes have arrived.
const MAX_INITIAL_CAPACITY: usize = 1 << 20;

/// A request that is refused, and whether its body was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub error: MalformedRequest,
    /// The body was read to its end, so that the connection can be used again.
    pub is_read: bool,
}

impl From<BodyMemoryFull> for Refused {
    /// For a request that was read to its end.
    fn from(full: BodyMemoryFull) -> Self {
        MalformedRequest::from(full).into()
    }
}

impl From<MalformedRequest> for Refused {
    /// For a request that was read to its end.
    fn from(error: MalformedRequest) -> Self {
        Self { error, is_read: true }
    }
}

/// The whole body, and its reservation, which must live as long as the body. A body that arrived in one piece is not
/// copied.
///
/// # Errors
/// When it is larger than `limit`, when the bodies of all requests fill `memory`, or when the client stopped sending.
pub async fn read(
    mut body: Body,
    head: &Parts,
    limit: Option<usize>,
    memory: &BodyMemory,
) -> Result<(Bytes, Reservation), Refused> {
    let limit = limit.unwrap_or(usize::MAX).min(memory.max());
    let mut counted = Counted { limit, reservation: memory.reservation(), length: 0 };
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit && expects_continue(head) {
        return Err(Refused { error: MalformedRequest::TooLarge { limit }, is_read: false });
    }
    match collect(&mut body, &mut counted, declared).await {
        Ok(whole) => Ok((whole, counted.reservation)),
        Err(error) => {
            // Other requests may use the memory while the rest is discarded.
            drop(counted);
            let is_worth_reading = matches!(error, MalformedRequest::TooLarge { .. } | MalformedRequest::BufferFull(_));
            let is_read = is_worth_reading && Box::pin(discard(body, MAX_DISCARDED, MAX_DISCARD_TIME)).await;
            Err(Refused { error, is_read })
        }
    }
}

/// The body of a request that is answered without it.
pub(super) struct UnreadBody {
    body: Body,
    expects_continue: bool,
    version: Version,
}

impl UnreadBody {
    pub(super) fn new(head: &Parts, body: Body) -> Self {
        Self { body, expects_continue: expects_continue(head), version: head.version }
    }

    /// Discards the body. After a large one the connection closes, and `response` says so.
    pub(super) async fn skip(self, response: &mut Response) {
        let is_read = self.body.is_end_stream()
            || !self.expects_continue && Box::pin(discard(self.body, MAX_SKIPPED, MAX_SKIP_TIME)).await;
        if !is_read {
            close_after(response, self.version);
        }
    }

    /// Discards the body and answers with `error`.
    pub(super) async fn refuse(self, error: ApiError<'_>) -> Response {
        let mut response = error.into_response();
        self.skip(&mut response).await;
        response
    }
}

/// The connection closes after this response. HTTP/2 resets only the stream.
pub(super) fn close_after(response: &mut Response, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether the client waits for `100 Continue`, which hyper sends at the first read.
fn expects_continue(head: &Parts) -> bool {
    head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The data as the component may keep it. A small one is copied: it is a slice of the 8 KiB that the connection read, and
/// would keep all of them alive, while limits count only its own length.
#[must_use]
pub fn detached(data: Bytes) -> Bytes {
    if data.len() <= MAX_COPIED { Bytes::copy_from_slice(&data) } else { data }
}

/// Counts the bytes that were read, and checks both limits.
struct Counted {
    limit: usize,
    reservation: Reservation,
    length: usize,
}

impl Counted {
    fn add(&mut self, bytes: usize) -> Result<(), MalformedRequest> {
        if bytes > self.limit - self.length {
            return Err(MalformedRequest::TooLarge { limit: self.limit });
        }
        self.reservation.grow(bytes)?;
        self.length += bytes;
        Ok(())
    }
}

async fn collect(body: &mut Body, counted: &mut Counted, declared: usize) -> Result<Bytes, MalformedRequest> {
    if declared > counted.limit {
        return Err(MalformedRequest::TooLarge { limit: counted.limit });
    }
    let Some(first) = next_chunk(body).await? else { return Ok(Bytes::new()) };
    counted.add(first.len())?;
    let Some(second) = next_chunk(body).await? else { return Ok(first) };
    counted.add(second.len())?;
    let mut whole = BytesMut::with_capacity(declared.min(MAX_INITIAL_CAPACITY).max(counted.length));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    drop((first, second));
    while let Some(chunk) = next_chunk(body).await? {
        counted.add(chunk.len())?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, MalformedRequest> {
    loop {
        let mut frame = pin!(body.frame());
        // Most bodies arrive together with their head and need no timer.
        let frame = match std::future::poll_fn(|cx| Poll::Ready(frame.as_mut().poll(cx))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => tokio::time::timeout(READ_TIMEOUT, frame).await.map_err(|_| MalformedRequest::Stalled)?,
        };
        let Some(frame) = frame else { return Ok(None) };
        // The client disconnected: it sees no response, but the request must not be taken for a complete one.
        let frame = frame.map_err(|_| MalformedRequest::Body("unexpected EOF".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// Reads at most `max` bytes for at most `time`; returns whether the body ended within both.
async fn discard(mut body: Body, max: usize, time: Duration) -> bool {
    let reading = async {
        let mut discarded = 0_usize;
        while discarded <= max {
            match next_chunk(&mut body).await {
                Ok(Some(chunk)) => discarded = discarded.saturating_add(chunk.len()),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    };
    tokio::time::timeout(time, reading).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_data_is_copied_out_of_the_buffer_of_the_connection() {
        for (size, is_copied) in [(0, true), (MAX_COPIED, true), (MAX_COPIED + 1, false)] {
            let buffer = Bytes::from(vec![7; 2 * MAX_COPIED]);
            let data = buffer.slice(..size);
            let detached = detached(data.clone());
            assert_eq!(detached, data);
            assert_eq!(detached.as_ptr() != data.as_ptr(), is_copied || size == 0, "{size} bytes");
        }
    }
}

//! Reads a request body whole, within its own limit and that of all bodies together; or throws one away.

use super::buffer::{Buffer, Full, Share};
use super::connection::RequestBody;
use super::error::MalformedRequest;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Version};
use http_body_util::BodyExt;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Of a body that is too large, at most this much more is read and thrown away, so that a client that writes first
/// and reads then gets to see the answer instead of a broken connection.
const DISCARD: usize = 16 << 20;
/// And for at most this long.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// The same for bodies that are not looked at, because the request is refused; Go's values.
const SKIP: usize = 256 << 10;
const SKIP_TIME: Duration = Duration::from_millis(500);
/// A client that sends nothing for so long in the middle of a body has gone, or holds the connection for nothing.
const STALL: Duration = Duration::from_secs(60);
/// Half of what a connection reads into at once.
const SMALL: usize = 4 << 10;
/// A promised length is believed up to here when room is set aside.
const FIRST_ROOM: usize = 1 << 20;

/// A request that is refused, and what became of its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) error: MalformedRequest,
    /// The body was read to its end, so that the connection can go on.
    pub(super) is_read: bool,
}

impl From<MalformedRequest> for Refused {
    /// Of a request that was read whole.
    fn from(error: MalformedRequest) -> Self {
        Self { error, is_read: true }
    }
}

/// The whole body, and its share of the buffer, to be kept as long as the body is. A body that came in one piece is not
/// copied.
///
/// # Errors
/// When it is larger than `limit`, when the bodies of all requests fill the buffer, or when the client broke off.
pub(super) async fn read(
    mut body: impl RequestBody,
    head: &Parts,
    limit: Option<usize>,
    buffer: &Buffer,
) -> Result<(Bytes, Share), Refused> {
    let mut held = Held { limit: limit.unwrap_or(usize::MAX).min(buffer.limit()), share: buffer.share(), length: 0 };
    let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if promised > held.limit && is_held_back(head) {
        return Err(Refused { error: MalformedRequest::TooLarge { limit: held.limit }, is_read: false });
    }
    match gather(&mut body, &mut held, promised).await {
        Ok(whole) => Ok((whole, held.share)),
        Err(error) => {
            // What was read is free for others before the rest is thrown away.
            drop(held);
            let is_worth_reading =
                matches!(error, MalformedRequest::TooLarge { .. } | MalformedRequest::BufferFull { .. });
            let is_read = is_worth_reading && Box::pin(discard(body, DISCARD, DISCARD_TIME)).await;
            Err(Refused { error, is_read })
        }
    }
}

/// Ends a request whose body is not wanted: a small rest is read, so that the connection can go on, and of a larger one
/// the client learns that the connection closes.
pub(super) async fn skip(body: impl RequestBody, head: &Parts, answer: &mut Response) {
    let is_read = body.is_end_stream() || !is_held_back(head) && Box::pin(discard(body, SKIP, SKIP_TIME)).await;
    if !is_read {
        close_after(answer, head.version);
    }
}

/// The connection closes after this answer. HTTP/2 ends the stream only.
pub(super) fn close_after(answer: &mut Response, version: Version) {
    if version < Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether the client sends the body only when asked (`Expect: 100-continue`); the first read would ask for it.
fn is_held_back(head: &Parts) -> bool {
    head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The data as it is kept while the component works. A small one is copied: it would keep all 8 KiB alive that the
/// connection read it into, of which limits count only its own length.
pub(super) fn kept(data: Bytes) -> Bytes {
    if data.len() <= SMALL { Bytes::copy_from_slice(&data) } else { data }
}

/// What of a body is in memory.
struct Held {
    limit: usize,
    share: Share,
    length: usize,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> Result<(), MalformedRequest> {
        if bytes > self.limit - self.length {
            return Err(MalformedRequest::TooLarge { limit: self.limit });
        }
        self.share.grow(bytes).map_err(|Full { limit }| MalformedRequest::BufferFull { limit })?;
        self.length += bytes;
        Ok(())
    }
}

async fn gather(body: &mut impl RequestBody, held: &mut Held, promised: usize) -> Result<Bytes, MalformedRequest> {
    if promised > held.limit {
        return Err(MalformedRequest::TooLarge { limit: held.limit });
    }
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    held.grow(first.len())?;
    let Some(second) = next(body).await? else { return Ok(first) };
    held.grow(second.len())?;
    let mut whole = BytesMut::with_capacity(promised.min(FIRST_ROOM).max(held.length));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    drop((first, second));
    while let Some(more) = next(body).await? {
        held.grow(more.len())?;
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut impl RequestBody) -> Result<Option<Bytes>, MalformedRequest> {
    loop {
        let mut frame = pin!(body.frame());
        // A piece that is there already needs no clock.
        let at_once = std::future::poll_fn(|cx| Poll::Ready(frame.as_mut().poll(cx))).await;
        let frame = match at_once {
            Poll::Ready(frame) => frame,
            Poll::Pending => tokio::time::timeout(STALL, frame).await.map_err(|_| MalformedRequest::Stalled)?,
        };
        let Some(frame) = frame else { return Ok(None) };
        // The client went away in the middle: nobody reads the answer, but the request must not be taken for whole.
        let frame = frame.map_err(|_| MalformedRequest::Body("unexpected EOF".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// Reads at most so much for at most so long; whether that was the rest.
async fn discard(mut body: impl RequestBody, most: usize, time: Duration) -> bool {
    let reading = async {
        let mut discarded = 0_usize;
        while discarded <= most {
            match next(&mut body).await {
                Ok(Some(piece)) => discarded = discarded.saturating_add(piece.len()),
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
    fn only_small_data_leaves_the_buffer_that_it_came_in() {
        for (size, is_copied) in [(0, true), (SMALL, true), (SMALL + 1, false)] {
            let buffer = Bytes::from(vec![7; 2 * SMALL]);
            let data = buffer.slice(..size);
            let kept = kept(data.clone());
            assert_eq!(kept, data);
            assert_eq!(kept.as_ptr() != data.as_ptr(), is_copied || size == 0, "{size} bytes");
        }
    }
}

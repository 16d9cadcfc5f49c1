//! Reads a request body whole, within its own limit and that of all bodies together.

use super::buffer::{Buffer, Full, Share};
use super::connection::RequestBody;
use super::error::MalformedRequest;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

/// Of a body that is too large, at most this much more is read and thrown away, so that a client that writes first
/// and reads then gets to see the answer instead of a broken connection.
const DISCARD: usize = 16 << 20;
/// And for at most this long.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// Half of what a connection reads into at once.
const SMALL: usize = 4 << 10;
/// A promised length is believed up to here when room is set aside.
const FIRST_ROOM: usize = 1 << 20;

/// The whole body, and its share of the buffer, to be kept as long as the body is. A body that came in one piece is not
/// copied.
///
/// # Errors
/// When it is larger than `limit`, when the bodies of all requests fill the buffer, or when the client broke off.
pub(super) async fn read(
    mut body: impl RequestBody,
    limit: Option<usize>,
    buffer: &Buffer,
) -> Result<(Bytes, Share), MalformedRequest> {
    let mut held = Held { limit: limit.unwrap_or(usize::MAX).min(buffer.limit()), share: buffer.share(), length: 0 };
    let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    match gather(&mut body, &mut held, promised).await {
        Ok(whole) => Ok((whole, held.share)),
        Err(refusal) => {
            // What was read is free for others before the rest is thrown away.
            drop(held);
            match refusal {
                MalformedRequest::TooLarge { .. } | MalformedRequest::BufferFull { .. } => {
                    Box::pin(discard(body)).await
                }
                MalformedRequest::Body(_)
                | MalformedRequest::RawBody(_)
                | MalformedRequest::Metadata(_)
                | MalformedRequest::Baggage(_) => {}
            }
            Err(refusal)
        }
    }
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
    while let Some(frame) = body.frame().await {
        // The client went away in the middle: nobody reads the answer, but the request must not be taken for whole.
        let frame = frame.map_err(|_| MalformedRequest::Body("unexpected EOF".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(mut body: impl RequestBody) {
    let reading = async {
        let mut thrown = 0_usize;
        while thrown < DISCARD {
            match next(&mut body).await {
                Ok(Some(piece)) => thrown = thrown.saturating_add(piece.len()),
                Ok(None) | Err(_) => return,
            }
        }
    };
    if tokio::time::timeout(DISCARD_TIME, reading).await.is_err() {
        tracing::debug!("client was still sending a body that is too large");
    }
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

//! Reads a request body whole, within a limit.

use super::error::MalformedRequest;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::time::Duration;

/// Of a body that is too large, at most this much more is read and thrown away, so that a client that writes first
/// and reads then gets to see the answer instead of a broken connection.
const DISCARD: usize = 16 << 20;
/// And for at most this long.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// A promised length is believed up to here when room is set aside.
const FIRST_ROOM: usize = 1 << 20;

/// The whole body. A body that came in one piece is not copied.
///
/// # Errors
/// When it is larger than `limit`, or the client broke off.
pub(super) async fn read(mut body: Body, limit: Option<usize>) -> Result<Bytes, MalformedRequest> {
    let limit = limit.unwrap_or(usize::MAX);
    let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if promised > limit {
        discard(body).await;
        return Err(MalformedRequest::TooLarge);
    }
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        discard(body).await;
        return Err(MalformedRequest::TooLarge);
    }
    let Some(second) = next(&mut body).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(promised.min(FIRST_ROOM).max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(more) = piece {
        if more.len() > limit - whole.len() {
            discard(body).await;
            return Err(MalformedRequest::TooLarge);
        }
        whole.extend_from_slice(&more);
        piece = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, MalformedRequest> {
    while let Some(frame) = body.frame().await {
        // The client went away in the middle: nobody reads the answer, but the request must not be taken for whole.
        let frame = frame.map_err(|_| MalformedRequest::Body("unexpected EOF".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(mut body: Body) {
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

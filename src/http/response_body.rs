//! Bodies of responses, with a time limit for clients that do not read them. What is not sent is in memory, and a client
//! must not keep it there for ever.

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a client may take to read one part of a response.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest part. The protocol takes the next one only when it can send it.
const MAX_PART: usize = 64 << 10;
/// Parts that were sent are removed from a list of this length.
const MIN_PRUNED: usize = 16;

/// The parts of responses that one connection has not sent yet.
#[derive(Debug, Default)]
pub(super) struct UnsentParts {
    parts: Mutex<Parts>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Parts {
    /// The oldest first. A part that was sent is dropped elsewhere.
    queue: VecDeque<(Instant, Weak<()>)>,
    prune_at: usize,
}

impl UnsentParts {
    fn add(&self, data: Bytes) -> Bytes {
        let sent = Arc::new(());
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.queue.len() >= parts.prune_at {
            parts.queue.retain(|(_, part)| part.strong_count() > 0);
            parts.prune_at = MIN_PRUNED.max(2 * parts.queue.len());
        }
        parts.queue.push_back((Instant::now(), Arc::downgrade(&sent)));
        drop(parts);
        self.added.notify_one();
        Bytes::from_owner(Part { data, _sent: sent })
    }

    /// When the oldest part must be sent; `None` if there is none.
    fn deadline(&self) -> Option<Instant> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, part)) = parts.queue.front() {
            if part.strong_count() > 0 {
                return Some(*since + WRITE_TIMEOUT);
            }
            parts.queue.pop_front();
        }
        None
    }

    /// Waits until the client has not read a part in time. Cancel-safe; for one waiter.
    pub(super) async fn stalled(&self) {
        loop {
            match self.deadline() {
                None => self.added.notified().await,
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => tokio::time::sleep_until(deadline).await,
            }
        }
    }
}

struct Part {
    data: Bytes,
    _sent: Arc<()>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// The body of a response, in parts.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Body,
    /// Data of `body` that were not taken yet.
    rest: Bytes,
    unsent: Arc<UnsentParts>,
}

impl ResponseBody {
    pub(super) fn new(body: Body, unsent: Arc<UnsentParts>) -> Self {
        Self { body, rest: Bytes::new(), unsent }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let part = this.rest.split_to(MAX_PART.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(this.unsent.add(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
#[path = "tests/response_body.rs"]
mod tests;

//! One HTTP/1.1 connection to the app, driven by whoever uses it.

use crate::domain::{BoxError, causes};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How much of an answer is read for the sake of keeping its connection; the text itself is thrown away.
const READ_AT_MOST: usize = 64 << 10;

/// A longer `Retry-After` than this is taken for this; later the app may have changed its mind.
const LONGEST_RETRY_AFTER: u64 = 3_600;

type Body = Full<Bytes>;
type Wire = http1::Connection<TokioIo<TcpStream>, Body>;

/// What is kept of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Retry-After` in whole seconds; its date form is not read, as that would need a wall clock.
    pub(super) retry_after: Option<Duration>,
}

/// An exchange that came to no answer.
#[derive(Debug)]
pub(super) struct Broken {
    /// The cause.
    pub(super) source: BoxError,
    /// Whether the connection ended before the first byte of an answer.
    pub(super) unanswered: bool,
}

/// A connection. It makes progress only inside its own methods; dropping it closes the socket.
pub(super) struct Link {
    sender: SendRequest<Body>,
    /// `None` once the connection has ended.
    wire: Option<Wire>,
    used: Instant,
    is_spent: bool,
    has_begun_answer: bool,
}

impl Link {
    /// Connects. Cancel-safe.
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, BoxError> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, wire: Some(wire), used: Instant::now(), is_spent: false, has_begun_answer: false })
    }

    /// Whether another request may go over it: the last answer was read whole and the app has not closed it. Looks at
    /// the socket once and does not wait.
    pub(super) async fn is_reusable(&mut self) -> bool {
        if self.is_spent {
            return false;
        }
        drive(&mut self.wire, &mut self.has_begun_answer, poll_fn(|_| Poll::Ready(()))).await;
        self.wire.is_some() && self.sender.is_ready()
    }

    /// How long ago it was last used.
    pub(super) fn idle_for(&self) -> Duration {
        self.used.elapsed()
    }

    /// Sends a request and reads the answer to its end, or up to the bound. Not cancel-safe: after a drop in the middle
    /// the link must be dropped too.
    pub(super) async fn exchange(&mut self, request: Request<Body>) -> Result<Reply, Broken> {
        self.is_spent = true;
        self.has_begun_answer = false;
        let answer = self.sender.send_request(request);
        let head = drive(&mut self.wire, &mut self.has_begun_answer, answer).await;
        let answer = match head {
            Ok(answer) => answer,
            Err(source) => {
                let unanswered = !self.has_begun_answer && has_ended(&source);
                return Err(Broken { source: source.into(), unanswered });
            }
        };
        let reply = reply(&answer);
        match drive(&mut self.wire, &mut self.has_begun_answer, drain(answer.into_body())).await {
            Ok(is_whole) => self.is_spent = !is_whole,
            Err(source) => return Err(Broken { source: source.into(), unanswered: false }),
        }
        self.used = Instant::now();
        Ok(reply)
    }
}

/// Runs `work` while the connection makes progress; the connection never has a task of its own.
async fn drive<F: Future>(wire: &mut Option<Wire>, has_begun: &mut bool, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let has_ended = wire.as_mut().is_some_and(|wire| Pin::new(wire).poll(cx).is_ready());
        if has_ended && let Some(ended) = wire.take() {
            // Why it ended is told by the request, if there is one; here only unread bytes are of interest.
            *has_begun |= !ended.into_parts().read_buf.is_empty();
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// Reads an answer's body; tells whether it came to its end within the bound.
async fn drain(mut body: Incoming) -> Result<bool, hyper::Error> {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame?.data_ref().map_or(0, Bytes::len);
        if read > READ_AT_MOST {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the failure says that the peer is gone, not that it spoke nonsense.
fn has_ended(error: &hyper::Error) -> bool {
    if let Some(io) = causes(error).find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        return matches!(
            io.kind(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::NotConnected
        );
    }
    error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

fn reply(answer: &Response<Incoming>) -> Reply {
    Reply { status: answer.status().as_u16(), retry_after: retry_after(answer.headers()) }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_whole_seconds_are_a_wait_and_they_are_capped() {
        for (text, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("18446744073709551615", Some(LONGEST_RETRY_AFTER)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{text}");
        }
    }
}

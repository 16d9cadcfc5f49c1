//! Forwards a request to the service on a connection of its own.

use bytes::Bytes;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// A response body, with the connection that it comes from.
struct Forwarded {
    body: Incoming,
    /// Bytes until the response breaks off; no end without it.
    left: Option<usize>,
    _connection: JoinSet<()>,
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(left) = self.left else { return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other))) };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other))) };
        let Ok(mut data) = frame.into_data() else { return Poll::Ready(None) };
        if left == 0 {
            return Poll::Ready(Some(Err(io::Error::other("cut on purpose"))));
        }
        data.truncate(left);
        self.left = Some(left - data.len());
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// Forwards, and returns the response while its body still comes.
pub(super) async fn forward(to: SocketAddr, request: Request<Full<Bytes>>, cut: Option<usize>) -> io::Result<Answer> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, driver) = handshake.map_err(io::Error::other)?;
    let mut connection = JoinSet::new();
    // An error of the connection shows in the response.
    connection.spawn(async move { drop(driver.await) });
    let (mut parts, body) = request.into_parts();
    parts.version = http::Version::HTTP_11;
    parts.headers.remove(CONNECTION);
    let response = sender.send_request(Request::from_parts(parts, body)).await.map_err(io::Error::other)?;
    let (mut parts, body) = response.into_parts();
    parts.version = http::Version::HTTP_11;
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    let body = Forwarded { body, left: cut, _connection: connection };
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

/// Forwards, and reads the first bytes of the response, so that the service has executed the request. A subscription
/// has no end that could be waited for.
pub(super) async fn forward_and_read(to: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<()> {
    drop(forward(to, request, None).await?);
    Ok(())
}

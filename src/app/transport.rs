//! Sends requests over the version of HTTP that the app speaks.

use super::answer::Reply;
use super::exchange::{Call, SendError};
use super::http2_pool::Http2Pool;
use super::pool::Pool;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

#[derive(Debug)]
pub(super) enum Transport {
    Http1(Pool),
    Http2(Http2Pool),
}

impl Transport {
    pub(super) async fn send(&self, request: Request<Bytes>, call: Call) -> Result<Reply, SendError> {
        match self {
            Self::Http1(pool) => pool.send(request.map(Full::new), call).await,
            Self::Http2(pool) => pool.send(request, call).await,
        }
    }

    /// As an error names it.
    pub(super) const fn protocol(&self) -> &'static str {
        match self {
            Self::Http1(_) => "HTTP/1.1",
            Self::Http2(_) => "HTTP/2",
        }
    }

    /// Closes the idle connections that the app has closed or that are too old; returns how many are left.
    pub(super) fn reap(&self) -> usize {
        match self {
            Self::Http1(pool) => pool.reap(),
            Self::Http2(pool) => pool.reap(),
        }
    }

    /// Closes the idle connections, and joins the tasks of shared ones.
    pub(super) async fn close(&self) {
        match self {
            Self::Http1(pool) => pool.close_idle(),
            Self::Http2(pool) => pool.close().await,
        }
    }
}

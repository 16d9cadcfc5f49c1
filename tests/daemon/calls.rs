//! Calls of the HTTP API, with one connection for each.

use crate::secrecy::assert_hidden;
use bindd::testing::within;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A field of a JSON body, as text.
    pub(crate) fn field(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends a request and reads the whole response.
pub(crate) async fn send(address: SocketAddr, request: http::request::Builder, body: &str) -> Response {
    send_bytes(address, request, Bytes::copy_from_slice(body.as_bytes())).await
}

/// As [`send`], with a body that need not be text.
pub(crate) async fn send_bytes(address: SocketAddr, request: http::request::Builder, body: Bytes) -> Response {
    let request: Request<Full<Bytes>> =
        request.header("host", address.to_string()).header("connection", "close").body(Full::new(body)).unwrap();
    let what = format!("{} {}", request.method(), request.uri());
    within(&what, async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let exchange = async {
            let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            assert_hidden(&body, &what);
            assert_hidden(format!("{:?}", parts.headers).as_bytes(), &what);
            Response { status: parts.status, headers: parts.headers, body }
        };
        // The server may close the connection while it rejects a body; only the response matters.
        tokio::join!(exchange, async { drop(connection.await) }).0
    })
    .await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    send(address, Request::get(path), "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    send(address, Request::post(path), body).await
}

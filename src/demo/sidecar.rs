//! Calls the sidecar as an app does: one POST. A new connection per call is enough at the demo's rate.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Timeout of a call.
const LIMIT: Duration = Duration::from_secs(15);
/// Bytes of an error response that are read.
const ERROR_TEXT: usize = 4 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls `create` of an output binding; `Ok` means that the sidecar confirmed it.
pub(super) async fn create(sidecar: SocketAddr, binding: &str, body: String) -> Result<(), Failure> {
    tokio::time::timeout(LIMIT, call(sidecar, binding, body)).await?
}

async fn call(sidecar: SocketAddr, binding: &str, body: String) -> Result<(), Failure> {
    let stream = TcpStream::connect(sidecar).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(format!("/v1.0/bindings/{binding}"))
        .header(header::HOST, sidecar.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let text = Limited::new(response.into_body(), ERROR_TEXT).collect().await?.to_bytes();
        answer(status, &text)
    };
    let (answered, closed) = tokio::join!(exchange, connection);
    answered?;
    Ok(closed?)
}

fn answer(status: StatusCode, text: &[u8]) -> Result<(), Failure> {
    if status.is_success() { Ok(()) } else { Err(format!("{status}: {}", String::from_utf8_lossy(text)).into()) }
}

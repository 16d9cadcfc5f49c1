//! One connection to a program at a Unix socket.

use crate::domain::{BoxError, cause_line};
use http::Uri;
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// What a stream, and what all streams of a connection may send without being read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Opens a channel that does not connect again: when its connection breaks, each call fails.
///
/// # Errors
/// With the reason as one line.
pub(super) async fn open(socket: &Path) -> Result<Channel, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let mut stream = Some(stream);
    let connector = service_fn(move |_: Uri| {
        let ended = || BoxError::from(io::Error::from(io::ErrorKind::NotConnected));
        let stream = stream.take().map(TokioIo::new).ok_or_else(ended);
        async move { stream }
    });
    // Only for the headers, as gRPC names a Unix socket.
    let endpoint = Endpoint::from_static("http://localhost")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let endpoint =
        endpoint.user_agent(concat!("bindd/", env!("CARGO_PKG_VERSION"))).map_err(|error| cause_line(&error))?;
    endpoint.connect_with_connector(connector).await.map_err(|error| cause_line(&error))
}

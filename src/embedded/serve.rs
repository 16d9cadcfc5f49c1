//! Serves a router over HTTP/1.1 and h2c on one port.

use crate::domain::Stop;
use crate::tasks::serve_connections;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long requests in flight may take after a stop. Short, because a subscription stays open for minutes.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// Serves until stopped; joins every connection before it returns.
pub(super) async fn run(listener: TcpListener, router: Router, stop: Stop) {
    let handler = |stream| connection(stream, router.clone(), stop.clone());
    let aborted = serve_connections(listener, handler, usize::MAX, &stop, DRAIN_LIMIT).await;
    if aborted > 0 {
        tracing::debug!(connections = aborted, "embedded Kinesis aborted open requests");
    }
}

async fn connection(stream: TcpStream, router: Router, stop: Stop) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection to embedded Kinesis ended");
    }
}

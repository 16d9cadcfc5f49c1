//! Serves a router over HTTP/1.1 and h2c on one port.

use crate::domain::Stop;
use crate::tasks::Supervisor;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long requests in hand may take once told to stop. Short, because a subscription stays open for minutes.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// Pause after a failed accept, so that running out of file handles does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop; every connection is joined before it returns.
pub(super) async fn run(listener: TcpListener, router: Router, stop: Stop) {
    let graceful = GracefulShutdown::new();
    let mut connections = Supervisor::new();
    loop {
        tokio::select! {
            // Stopping outranks new work; joining what ended keeps the group small.
            biased;
            () = stop.asked() => break,
            Some(_) = connections.next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let task = connection(stream, router.clone(), graceful.watcher());
                    connections.spawn(format!("connection {peer}"), task);
                }
                Err(error) => {
                    tracing::warn!(%error, "embedded Kinesis could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::debug!(open = connections.len(), "embedded Kinesis cut open requests");
    }
    connections.abort_and_join().await;
}

async fn connection(stream: TcpStream, router: Router, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "socket option was refused");
    }
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(router);
    let served = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = served.await {
        tracing::debug!(%error, "connection to embedded Kinesis ended");
    }
}

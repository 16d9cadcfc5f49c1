//! Serves connections: closes idle ones at the limit, and drains after a stop.

use super::connection::{self, ConnectionSettings, Respond};
use super::connection_state::OpenConnections;
use super::listen::Listeners;
use super::routes::Api;
use super::socket::Socket;
use super::state::ApiState;
use crate::domain::Stop;
use crate::tasks::{ConnectionHandler, serve_connections};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// At the limit of connections, the warning is repeated after this time.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// Open connections of the public port.
const MAX_PUBLIC: usize = 256;
/// At the limit, one of this many idle connections is closed at a time.
const CLOSED_AT_ONCE: usize = 64;
/// With a low limit, this many.
const MIN_CLOSED: usize = 4;

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Clean,
    /// This many connections were aborted at the drain limit.
    Aborted(usize),
}

/// Serves the API until `stop` asks to finish. Then accepts no more, answers the requests that were read, and aborts what
/// is left after `drain_limit` or when the stop is forced. Joins every connection. Dropping the future aborts all.
pub async fn serve(listeners: Listeners, state: Arc<ApiState>, stop: Stop, drain_limit: Duration) -> Drained {
    let settings = state.settings.connections();
    serve_with(listeners, Api::new(state), settings, stop, drain_limit).await
}

/// As [`serve`], but only health and metadata: without a token, without CORS, and for few clients.
pub async fn serve_public(listeners: Listeners, state: Arc<ApiState>, stop: Stop, drain_limit: Duration) -> Drained {
    let settings = ConnectionSettings { max_connections: MAX_PUBLIC, ..state.settings.connections() };
    serve_with(listeners, Api::public(state), settings, stop, drain_limit).await
}

/// As [`serve`], for any service.
pub async fn serve_with(
    listeners: Listeners,
    service: impl Respond,
    settings: ConnectionSettings,
    stop: Stop,
    drain_limit: Duration,
) -> Drained {
    let max_connections = settings.max_connections.max(1);
    let connections = Connections {
        service,
        settings: ConnectionSettings { max_connections, ..settings },
        stop: stop.clone(),
        open: OpenConnections::new(),
        warned_at: None,
    };
    match serve_connections(listeners, connections, max_connections, &stop, drain_limit).await {
        0 => Drained::Clean,
        aborted => {
            tracing::warn!(connections = aborted, ?drain_limit, "connections aborted before they were answered");
            Drained::Aborted(aborted)
        }
    }
}

struct Connections<S> {
    service: S,
    settings: ConnectionSettings,
    stop: Stop,
    open: OpenConnections,
    warned_at: Option<Instant>,
}

impl<S: Respond> ConnectionHandler<Socket> for Connections<S> {
    fn handle(&mut self, stream: Socket) -> impl Future<Output = ()> + Send + 'static {
        connection::run(stream, self.service.clone(), self.settings, self.open.add(), self.stop.clone())
    }

    /// Closes half-open connections, or those that are idle longest, a few at a time.
    fn at_limit(&mut self) {
        let limit = self.settings.max_connections;
        let closed = self.open.close_idle(limit.div_ceil(CLOSED_AT_ONCE).max(MIN_CLOSED));
        if self.warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            tracing::warn!(connections = limit, closed, "limit of open connections reached; idle ones are closed");
            self.warned_at = Some(Instant::now());
        }
    }
}

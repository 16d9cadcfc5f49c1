//! A pool of connections to the app, limited in number.
//!
//! Why not `hyper_util::client::legacy`: its rule for a broken idle connection is the same (send again only what was not
//! written), but it drives each connection in a spawned task that no one joins. It also keeps the other idle connections
//! after a failure, and the limits on connections, on the rest of a response and on its first bytes would stay here.

use super::answer::Reply;
use super::connection::{Connection, ExchangeError};
use super::endpoint::Endpoint;
use super::exchange::{Call, SendError};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Idle connections that are kept; the value of Dapr's client.
const MAX_IDLE: usize = 64;

/// An idle connection is not reused after this time; many servers close theirs about then.
const MAX_IDLE_TIME: Duration = Duration::from_secs(90);

pub(super) struct Pool {
    endpoint: Arc<Endpoint>,
    slots: Semaphore,
    /// Last in, first out, so that connections that are not needed expire. A lock is enough: it is held for a push, a pop
    /// or one check of each.
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(endpoint: Arc<Endpoint>, max_connections: NonZeroUsize) -> Self {
        let slots = Semaphore::new(max_connections.get().min(Semaphore::MAX_PERMITS));
        Self { endpoint, slots, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request. The wait for a connection is first in, first out. A dropped request closes its connection; then it is
    /// unknown whether the app has seen it.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, call: Call) -> Result<Reply, SendError> {
        let _slot = match call.takes_slot {
            true => Some(self.slots.acquire().await.map_err(|closed| SendError::Unreachable(closed.into()))?),
            false => None,
        };
        let Call { limit, max_reply, .. } = call;
        let mut is_connected = false;
        let end = Instant::now() + limit;
        let (mut connection, response) = match timeout_at(end, self.head(request, &mut is_connected)).await {
            Ok(result) => result?,
            Err(_) if is_connected => return Err(SendError::TimedOut),
            Err(_) => return Err(SendError::Unreachable(format!("no connection within {limit:?}").into())),
        };
        let (head, body) = response.into_parts();
        let body = match max_reply.filter(|_| head.status.is_success()) {
            Some(max) => match timeout_at(end, connection.whole_body(body, max)).await {
                Ok(read) => read.map_err(SendError::Body)?,
                Err(_) => return Err(SendError::TimedOut),
            },
            None => connection.finish(body, !head.status.is_success()).await,
        };
        self.keep(connection);
        Ok(Reply { head, body })
    }

    /// Closes the idle connections. The pool can still be used.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    /// Closes the idle connections that the app has closed or that are too old; returns how many are left.
    pub(super) fn reap(&self) -> usize {
        let mut idle = self.idle();
        idle.retain_mut(|connection| connection.idle_for() < MAX_IDLE_TIME && connection.is_reusable());
        idle.len()
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
        is_connected: &mut bool,
    ) -> Result<(Connection, Response<Incoming>), SendError> {
        if let Some(mut connection) = self.take_idle() {
            *is_connected = true;
            match connection.head(request.clone()).await {
                Ok(response) => return Ok((connection, response)),
                // The app closed the connection before it got any of the request, so it is safe to send it again.
                Err(ExchangeError { was_written: false, source, .. }) => {
                    tracing::debug!(%source, "idle connection was closed")
                }
                Err(error) => {
                    // The app may be restarting, so the other idle connections are probably broken too.
                    self.close_idle();
                    return Err(send_error(error, true));
                }
            }
            *is_connected = false;
        }
        let mut connection = Connection::open(&self.endpoint).await.map_err(SendError::Unreachable)?;
        *is_connected = true;
        let response = connection.head(request).await.map_err(|error| send_error(error, false))?;
        Ok((connection, response))
    }

    fn keep(&self, mut connection: Connection) {
        if connection.is_reusable() {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle().pop()?;
            if connection.idle_for() < MAX_IDLE_TIME && connection.is_reusable() {
                return Some(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_error(error: ExchangeError, was_idle: bool) -> SendError {
    let ExchangeError { source, has_response, invalid_response, .. } = error;
    match invalid_response {
        Some(response) => SendError::Invalid { response, source },
        None => SendError::Ended { source, was_idle: was_idle && !has_response },
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("endpoint", &self.endpoint)
            .field("idle", &self.idle().len())
            .finish_non_exhaustive()
    }
}

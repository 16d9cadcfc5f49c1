//! The HTTP/2 connections to the app (`--app-protocol h2c`): as few as the requests in flight need.

use super::answer::Reply;
use super::endpoint::Endpoint;
use super::exchange::{Call, SendError};
use super::http2::{Exchange, Http2Connection, Http2Error, InUse};
use crate::domain::BoxError;
use crate::tasks::Supervisor;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Connections at once. Requests beyond what they carry share them.
const MAX_CONNECTIONS: usize = 16;
/// A connection without requests is closed after this time, as over HTTP/1.1.
const MAX_IDLE_TIME: Duration = Duration::from_secs(90);
/// How often a request is sent that the app has not processed.
const MAX_TRIES: usize = 3;
/// How long connections may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_millis(250);

pub(super) struct Http2Pool {
    endpoint: Arc<Endpoint>,
    authority: Authority,
    slots: Semaphore,
    connections: Mutex<Vec<Arc<Http2Connection>>>,
    /// Held while one is opened, so that requests that come together share it.
    opening: AsyncMutex<()>,
    tasks: Mutex<Supervisor<()>>,
}

impl Http2Pool {
    pub(super) fn new(endpoint: Arc<Endpoint>, authority: Authority, max_requests: NonZeroUsize) -> Self {
        Self {
            endpoint,
            authority,
            slots: Semaphore::new(max_requests.get().min(Semaphore::MAX_PERMITS)),
            connections: Mutex::default(),
            opening: AsyncMutex::default(),
            tasks: Mutex::new(Supervisor::new()),
        }
    }

    /// Sends a request. The wait for a slot is first in, first out. A dropped request resets its stream; then it is unknown
    /// whether the app has seen it.
    pub(super) async fn send(&self, request: Request<Bytes>, call: Call) -> Result<Reply, SendError> {
        let _slot = match call.takes_slot {
            true => Some(self.slots.acquire().await.map_err(|closed| SendError::Unreachable(closed.into()))?),
            false => None,
        };
        let (request, body) = self.absolute(request).map_err(|error| SendError::Unreachable(error.into()))?;
        let mut used = None;
        let end = Instant::now() + call.limit;
        let mut exchange = match timeout_at(end, self.exchange(request, body, &mut used)).await {
            Ok(result) => result?,
            Err(_) => return Err(timed_out(used.as_ref(), call.limit)),
        };
        let is_success = exchange.response.status().is_success();
        let body = match call.max_reply.filter(|_| is_success) {
            Some(max) => match timeout_at(end, exchange.whole_body(max)).await {
                Ok(read) => read.map_err(SendError::Body)?,
                Err(_) => return Err(SendError::TimedOut),
            },
            None => exchange.finish(!is_success).await,
        };
        let (head, _) = exchange.response.into_parts();
        Ok(Reply { head, body })
    }

    /// Closes the connections without requests, and no longer uses the others. The pool can still be used.
    pub(super) fn close_idle(&self) {
        self.connections().clear();
    }

    /// Closes the connections that were idle for too long, or that the app closes; returns how many are left.
    pub(super) fn reap(&self) -> usize {
        let mut connections = self.connections();
        connections.retain(|one| !one.is_retired() && one.idle_for().is_none_or(|idle| idle < MAX_IDLE_TIME));
        let mut tasks = self.tasks();
        while tasks.next().now_or_never().flatten().is_some() {}
        connections.len()
    }

    /// Closes all connections and joins their tasks.
    pub(super) async fn close(&self) {
        self.close_idle();
        let mut tasks = std::mem::take(&mut *self.tasks());
        let end = Instant::now() + CLOSE_LIMIT;
        while let Ok(Some(_)) = timeout_at(end, tasks.next()).await {}
        tasks.abort_and_join().await;
    }

    async fn exchange(
        &self,
        request: Request<()>,
        body: Bytes,
        used: &mut Option<InUse>,
    ) -> Result<Exchange, SendError> {
        let mut last = None;
        for _ in 0..MAX_TRIES {
            *used = None;
            let in_use = used.insert(self.connection().await.map_err(SendError::Unreachable)?);
            match in_use.exchange(request.clone(), body.clone()).await {
                Ok(exchange) => return Ok(exchange),
                // The app has not processed the request, so it is safe to send it again.
                Err(Http2Error::NotProcessed(source)) => {
                    tracing::debug!(%source, "app did not process a request");
                    last = Some(source);
                }
                Err(Http2Error::Unknown(source)) => {
                    return Err(SendError::Ended { source, was_idle: in_use.was_idle && in_use.is_silent() });
                }
                Err(Http2Error::NotHttp2 { response, source }) => {
                    in_use.connection.retire();
                    return Err(SendError::Invalid { response, source });
                }
            }
        }
        Err(SendError::Unreachable(last.unwrap_or_else(|| "the app accepts no stream".into())))
    }

    /// The connection with the most requests that may carry one more, or a new one.
    async fn connection(&self) -> Result<InUse, BoxError> {
        if let Some(in_use) = self.with_capacity() {
            return Ok(in_use);
        }
        let _opening = self.opening.lock().await;
        if let Some(in_use) = self.with_capacity() {
            return Ok(in_use);
        }
        if self.connections().len() >= MAX_CONNECTIONS {
            let least = self.connections().iter().min_by_key(|one| one.in_flight()).cloned();
            return least.map(|one| InUse::new(one, false)).ok_or_else(|| "no connection is open".into());
        }
        let (connection, drive) = Http2Connection::open(&self.endpoint).await?;
        let connection = Arc::new(connection);
        self.tasks().spawn("app connection", drive);
        let in_use = InUse::new(Arc::clone(&connection), true);
        self.connections().push(connection);
        Ok(in_use)
    }

    /// Busy ones first, so that those that are not needed expire.
    fn with_capacity(&self) -> Option<InUse> {
        let mut connections = self.connections();
        connections.retain(|one| !one.is_retired());
        let fitting = connections.iter().filter(|one| one.has_capacity());
        fitting.max_by_key(|one| one.in_flight()).map(|one| InUse::new(Arc::clone(one), false))
    }

    /// HTTP/2 has the authority in the URI, and no `Host`.
    fn absolute(&self, request: Request<Bytes>) -> Result<(Request<()>, Bytes), http::Error> {
        let (mut head, body) = request.into_parts();
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        head.uri = uri.path_and_query(head.uri.path_and_query().map_or("/", |path| path.as_str())).build()?;
        head.version = http::Version::HTTP_2;
        head.headers.remove(HOST);
        Ok((Request::from_parts(head, ()), body))
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Http2Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Supervisor<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out(used: Option<&InUse>, limit: Duration) -> SendError {
    let Some(in_use) = used else {
        return SendError::Unreachable(format!("no connection within {limit:?}").into());
    };
    // The peer may have vanished; other requests must not wait for it too.
    if in_use.is_silent() {
        in_use.connection.retire();
    }
    SendError::TimedOut
}

impl fmt::Debug for Http2Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Pool")
            .field("endpoint", &self.endpoint)
            .field("connections", &*self.connections())
            .finish_non_exhaustive()
    }
}

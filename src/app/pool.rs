//! Keeps connections to the app, bounded in number, and drops the ones that the app closed while they were idle.

use super::answer::Reply;
use super::connection::{Broken, Finding, Link};
use crate::domain::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many idle connections are kept, as in Dapr's client.
const MAX_IDLE: usize = 64;

/// An idle connection older than this is not used again; many servers close theirs about then.
const MAX_IDLE_TIME: Duration = Duration::from_secs(90);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The time was over after the connection was there.
    TimedOut,
    /// No connection.
    Unreachable(BoxError),
    /// The connection ended. `was_idle`: it came from the pool, and ended without a byte of an answer.
    Ended { source: BoxError, was_idle: bool },
    /// The peer does not speak HTTP/1.1.
    NotHttp { finding: Finding, source: BoxError },
}

/// The connections to one address.
pub(super) struct Pool {
    host: String,
    port: u16,
    slots: Semaphore,
    /// Last in, first out, so that spare ones grow old. A lock and not a channel: it is held for a push, a pop or one
    /// look at each.
    idle: Mutex<Vec<Link>>,
}

impl Pool {
    /// An empty pool; connects when first used.
    pub(super) fn new(host: String, port: u16, most: NonZeroUsize) -> Self {
        let slots = Semaphore::new(most.get().min(Semaphore::MAX_PERMITS));
        Self { host, port, slots, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request. The limit begins once a connection may be used, and ends with the head of the answer; the wait
    /// before that is bounded by the limits of the requests in front, which are served in order. Cancel-safe: a dropped
    /// request closes its connection, and leaves open whether the app has seen it.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Reply, NoAnswer> {
        let _slot = self.slots.acquire().await.map_err(|closed| NoAnswer::Unreachable(closed.into()))?;
        let mut is_connected = false;
        let (mut link, answer) = match tokio::time::timeout(limit, self.head(request, &mut is_connected)).await {
            Ok(answered) => answered?,
            Err(_) if is_connected => return Err(NoAnswer::TimedOut),
            Err(_) => return Err(NoAnswer::Unreachable(format!("no connection within {limit:?}").into())),
        };
        let (head, body) = answer.into_parts();
        let opening = link.finish(body, !head.status.is_success()).await;
        self.keep(link);
        Ok(Reply { head, opening })
    }

    /// Closes the connections that are idle. The pool can still be used.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    /// Closes the idle connections that the app has closed, or that are too old to be used again; returns how many are
    /// left.
    pub(super) fn reap(&self) -> usize {
        let mut idle = self.idle();
        idle.retain_mut(|link| link.idle_for() < MAX_IDLE_TIME && link.is_reusable());
        idle.len()
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
        is_connected: &mut bool,
    ) -> Result<(Link, Response<Incoming>), NoAnswer> {
        if let Some(mut link) = self.take_idle() {
            *is_connected = true;
            match link.head(request.clone()).await {
                Ok(answer) => return Ok((link, answer)),
                // The app closed the connection just before, and surely has not seen the request.
                Err(Broken { was_written: false, source, .. }) => {
                    tracing::debug!(%source, "idle connection was closed")
                }
                Err(broken) => {
                    // The app may be restarting, so the others are no better; the next request opens a new one.
                    self.close_idle();
                    return Err(no_answer(broken, true));
                }
            }
            *is_connected = false;
        }
        let mut link = Link::open(&self.host, self.port).await.map_err(NoAnswer::Unreachable)?;
        *is_connected = true;
        let answer = link.head(request).await.map_err(|broken| no_answer(broken, false))?;
        Ok((link, answer))
    }

    fn keep(&self, mut link: Link) {
        if link.is_reusable() {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push(link);
            }
        }
    }

    fn take_idle(&self) -> Option<Link> {
        loop {
            let mut link = self.idle().pop()?;
            if link.idle_for() < MAX_IDLE_TIME && link.is_reusable() {
                return Some(link);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(broken: Broken, is_kept: bool) -> NoAnswer {
    let Broken { source, was_begun, finding, .. } = broken;
    match finding {
        Some(finding) => NoAnswer::NotHttp { finding, source },
        None => NoAnswer::Ended { source, was_idle: is_kept && !was_begun },
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("idle", &self.idle().len())
            .finish_non_exhaustive()
    }
}

//! Keeps connections to the app, bounded in number, and heals the ones that the app closed while they lay idle.

use super::connection::{Broken, Link, Reply};
use crate::domain::BoxError;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many idle connections are kept, as in Dapr's client.
const MOST_IDLE: usize = 64;

/// An idle connection older than this is not used again; many servers close theirs about then.
const LONGEST_IDLE: Duration = Duration::from_secs(90);

/// A request came to no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The time was over.
    TimedOut,
    /// No connection, or it broke.
    Broken(BoxError),
}

/// The connections to one address.
pub(super) struct Pool {
    host: String,
    port: u16,
    slots: Semaphore,
    /// Last in, first out, so that spare ones grow old. A lock and not a channel: it is held for a push or a pop only.
    idle: Mutex<Vec<Link>>,
}

impl Pool {
    /// An empty pool; connects when first used.
    pub(super) fn new(host: String, port: u16, most: NonZeroUsize) -> Self {
        let slots = Semaphore::new(most.get().min(Semaphore::MAX_PERMITS));
        Self { host, port, slots, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request. The limit begins once a connection may be used; the wait before that is bounded by the limits
    /// of the requests in front, which are served in order. Cancel-safe: a dropped request closes its connection, and
    /// leaves open whether the app has seen it.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Reply, Unanswered> {
        let _slot = self.slots.acquire().await.map_err(|closed| Unanswered::Broken(closed.into()))?;
        match tokio::time::timeout(limit, self.send_healed(request)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(source)) => Err(Unanswered::Broken(source)),
            Err(_) => Err(Unanswered::TimedOut),
        }
    }

    /// Closes the connections that lie idle. The pool can still be used.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    async fn send_healed(&self, request: Request<Full<Bytes>>) -> Result<Reply, BoxError> {
        if let Some(link) = self.take_idle().await {
            match self.send_over(link, request.clone()).await {
                Ok(reply) => return Ok(reply),
                // The app closed an idle connection while the request was on its way: not a refusal, so it is said
                // again, once, over a connection of its own.
                Err(Broken { unanswered: true, source }) => tracing::debug!(%source, "idle connection was closed"),
                Err(Broken { unanswered: false, source }) => return Err(source),
            }
        }
        let link = Link::open(&self.host, self.port).await?;
        self.send_over(link, request).await.map_err(|broken| broken.source)
    }

    async fn send_over(&self, mut link: Link, request: Request<Full<Bytes>>) -> Result<Reply, Broken> {
        let reply = link.exchange(request).await?;
        if link.is_reusable().await {
            let mut idle = self.idle();
            if idle.len() < MOST_IDLE {
                idle.push(link);
            }
        }
        Ok(reply)
    }

    async fn take_idle(&self) -> Option<Link> {
        loop {
            let mut link = self.idle().pop()?;
            if link.idle_for() < LONGEST_IDLE && link.is_reusable().await {
                return Some(link);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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

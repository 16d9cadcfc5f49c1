//! Whether leases belong to the stream that is read: the comparison, and the calls that identify the stream.

use super::error::ConsumerError;
use super::stream_state::StreamState;
use super::timers::BackoffTimer;
use crate::domain::{FailureKind, Lease, RetrievalError, StreamDirectory, StreamIdentity, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The minimum time between two calls that describe the stream. An account may make 20 a second for all its streams.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause after failed calls.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Compares the leases with the stream as it is now. A row without a creation time is taken to belong to `known`, the
/// stream that this input read before.
///
/// # Errors
/// `OtherStream` or `StreamReplaced`; nothing may be read then.
pub(super) fn check(
    leases: &[Lease],
    found: &StreamIdentity,
    known: Option<&StreamIdentity>,
    table: &str,
) -> Result<(), ConsumerError> {
    let is_other = |stream: &&Arc<str>| !StreamIdentity::may_be_same(stream, &found.stream);
    if let Some(leased) = leases.iter().filter_map(|lease| lease.stream.as_ref()).find(is_other) {
        let (leased, own, table) = (leased.to_string(), found.stream.to_string(), table.to_owned());
        return Err(ConsumerError::OtherStream { leased, own, table });
    }
    let known = known.and_then(|known| known.created);
    match leases.iter().find_map(|lease| Replacement::new(lease.stream_created.or(known), found)) {
        Some(Replacement { leased, found }) => {
            Err(ConsumerError::StreamReplaced { leased, found, table: table.to_owned() })
        }
        None => Ok(()),
    }
}

/// The stream of the lease was replaced by another of the same name: when each of the two was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) leased: Timestamp,
    pub(super) found: Timestamp,
}

impl Replacement {
    /// `None` where the times are the same or one is unknown.
    fn new(leased: Option<Timestamp>, found: &StreamIdentity) -> Option<Self> {
        let (leased, found) = leased.zip(found.created)?;
        (leased != found).then_some(Self { leased, found })
    }
}

/// Identifies the stream for all shards of a worker, with as few calls as possible.
#[derive(Debug)]
pub(super) struct IdentityCheck {
    directory: Arc<dyn StreamDirectory>,
    stream_state: Arc<StreamState>,
    /// Locked during a call, so that the tasks that wait for the lock share the result.
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    /// The last result, and when its call began.
    last: Option<(Instant, StreamIdentity)>,
    timer: BackoffTimer,
}

impl IdentityCheck {
    pub(super) fn new(directory: Arc<dyn StreamDirectory>, stream_state: Arc<StreamState>, seed: u64) -> Self {
        let calls = Mutex::new(Calls { last: None, timer: BackoffTimer::new(MAX_PAUSE, seed) });
        Self { directory, stream_state, calls }
    }

    /// The identity as returned by a call that began at `moment` or later. Cancel-safe.
    ///
    /// # Errors
    /// Also without a call, during the pause after a failed one.
    pub(super) async fn identity_since(&self, moment: Instant) -> Result<StreamIdentity, RetrievalError> {
        let mut calls = self.calls.lock().await;
        if let Some((at, identity)) = &calls.last {
            if *at >= moment {
                return Ok(identity.clone());
            }
            // An identity without a creation time comes from the configuration, without a call.
            if identity.created.is_some() {
                sleep_until(*at + MIN_INTERVAL).await;
            }
        }
        let begun = Instant::now();
        if !calls.timer.is_over(begun) {
            return Err(RetrievalError::Unavailable {
                doing: "the stream was not described".to_owned(),
                kind: FailureKind::Transient,
                source: "the last call failed, and the pause before the next one is not over".into(),
            });
        }
        match self.directory.identify().await {
            Ok(identity) => {
                self.stream_state.described(self.directory.retention());
                calls.timer.succeeded(begun, Duration::ZERO);
                calls.last = Some((begun, identity.clone()));
                Ok(identity)
            }
            Err(error) => {
                if matches!(error, RetrievalError::NotFound { .. }) {
                    self.stream_state.stream_missing();
                }
                calls.timer.failed(Instant::now());
                Err(error)
            }
        }
    }

    /// Compares a lease with the stream as it was at `moment` or later; `None` is the same stream.
    pub(super) async fn replacement(
        &self,
        leased: Option<Timestamp>,
        moment: Instant,
    ) -> Result<Option<Replacement>, RetrievalError> {
        let found = self.identity_since(moment).await?;
        let leased = leased.or_else(|| self.stream_state.identity()?.created);
        Ok(Replacement::new(leased, &found))
    }
}

#[cfg(test)]
#[path = "tests/identity.rs"]
mod tests;

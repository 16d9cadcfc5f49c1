//! Whether leases belong to the stream that is read: the comparison, and the calls that return the identity.

use super::error::ConsumerError;
use super::history::StreamHistory;
use super::pause::Pause;
use crate::domain::{FailureKind, Lease, RetrievalError, StreamDirectory, StreamIdentity, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// At least so long between two calls that describe the stream; an account has 20 a second for all its streams.
const SPACING: Duration = Duration::from_secs(1);
/// The longest pause after failed calls.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Compares the leases with the stream as it is now. `known` is the stream that this input read before: it is meant where
/// a row does not say when its stream was created.
///
/// # Errors
/// `OtherStream` and `StreamReplaced`; nothing may be read then.
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
    let replaced = leases.iter().find_map(|lease| replacement(lease.stream_created.or(known), found));
    replaced.map_or(Ok(()), |(leased, found)| Err(ConsumerError::replaced(leased, found, table)))
}

/// The two creation times, if they show that the stream is not the one of the lease.
fn replacement(leased: Option<Timestamp>, found: &StreamIdentity) -> Option<(Timestamp, Timestamp)> {
    leased.zip(found.created).filter(|(leased, found)| leased != found)
}

/// Whether a shard may be opened under its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Replaced { leased: Timestamp, found: Timestamp },
}

/// Gives the identity of the stream to all shards of a worker, with as few calls as possible.
#[derive(Debug)]
pub(super) struct IdentityCheck {
    directory: Arc<dyn StreamDirectory>,
    history: Arc<StreamHistory>,
    /// Held during a call, so that callers who wait for the lock share its answer.
    asked: Mutex<Asked>,
}

#[derive(Debug)]
struct Asked {
    last: Option<(Instant, StreamIdentity)>,
    pause: Pause,
}

impl IdentityCheck {
    pub(super) fn new(directory: Arc<dyn StreamDirectory>, history: Arc<StreamHistory>, seed: u64) -> Self {
        let asked = Mutex::new(Asked { last: None, pause: Pause::new(LONGEST_PAUSE, seed) });
        Self { directory, history, asked }
    }

    /// The identity by a call that began at `moment` or later. After failures there are pauses without calls.
    ///
    /// # Errors
    /// As the service answered; during a pause without a call. Cancel-safe.
    pub(super) async fn since(&self, moment: Instant) -> Result<StreamIdentity, RetrievalError> {
        let mut asked = self.asked.lock().await;
        if let Some((at, identity)) = &asked.last {
            if *at >= moment {
                return Ok(identity.clone());
            }
            // Without a creation time there was no call.
            if identity.created.is_some() {
                sleep_until(*at + SPACING).await;
            }
        }
        let begun = Instant::now();
        if !asked.pause.is_over(begun) {
            return Err(RetrievalError::Unavailable {
                doing: "the stream is not described again yet".to_owned(),
                kind: FailureKind::Transient,
                source: "the last call failed and the pause after it is not over".into(),
            });
        }
        match self.directory.identify().await {
            Ok(identity) => {
                asked.pause.worked(begun, Duration::ZERO);
                asked.last = Some((begun, identity.clone()));
                Ok(identity)
            }
            Err(error) => {
                if matches!(error, RetrievalError::NotFound { .. }) {
                    self.history.stream_missing();
                }
                asked.pause.failed(Instant::now());
                Err(error)
            }
        }
    }

    /// Compares a lease with the stream as it was at `moment` or later.
    ///
    /// # Errors
    /// As [`IdentityCheck::since`].
    pub(super) async fn verify(&self, leased: Option<Timestamp>, moment: Instant) -> Result<Verdict, RetrievalError> {
        let found = self.since(moment).await?;
        let leased = leased.or_else(|| self.history.identity()?.created);
        Ok(replacement(leased, &found).map_or(Verdict::Same, |(leased, found)| Verdict::Replaced { leased, found }))
    }
}

#[cfg(test)]
#[path = "tests/identity.rs"]
mod tests;

//! What an input has learned of its stream since the process started.

use crate::domain::{Lease, ShardId, ShardListing, StreamIdentity, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A start at LATEST begins this much before the service's time, because the service's hosts do not share one clock.
const PIN_MARGIN_MILLIS: i64 = 1_000;

/// What an input has learned of its stream since the process started. Shared by all workers that the input runs one after
/// another, so that a restart neither moves the start of `latest` nor forgets progress.
#[derive(Debug, Default)]
pub struct StreamHistory {
    // A lock and not an owner task: held for a few map accesses, never across a wait.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    first_try: Option<Instant>,
    /// The service's time at the first try, less the margin.
    started: Option<Timestamp>,
    /// The stream did not exist at some time since the first try.
    was_missing: bool,
    identity: Option<StreamIdentity>,
    /// Leases as last seen, without those of ended shards.
    leases: BTreeMap<ShardId, Lease>,
    refusal: Option<String>,
}

/// Where `latest` begins if there are no leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LatestStart {
    /// At the oldest record: the stream is younger than this input.
    Creation,
    /// When the input first tried to read.
    Moment(Timestamp),
}

impl StreamHistory {
    /// The input tries to read. Only the first try counts.
    pub fn begin(&self, now: Instant) {
        self.known().first_try.get_or_insert(now);
    }

    /// Why the input refuses to read; `None` unless an operator must act.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.known().refusal.clone()
    }

    pub(super) fn refuse(&self, why: String) {
        self.known().refusal = Some(why);
    }

    /// A call found that there is no such stream: the one that comes next begins after the first try.
    pub(super) fn stream_missing(&self) {
        self.known().was_missing = true;
    }

    /// Another stream took the place of the one that was read. Nothing known about the old one is true of the new one.
    pub(super) fn stream_replaced(&self) {
        let mut known = self.known();
        known.was_missing = true;
        known.leases.clear();
    }

    /// The stream as it was last identified.
    pub(super) fn identity(&self) -> Option<StreamIdentity> {
        self.known().identity.clone()
    }

    /// The leases belong to this stream, or there are none.
    pub(super) fn accepted(&self, found: &StreamIdentity) {
        let mut known = self.known();
        known.refusal = None;
        let before = known.identity.as_ref().and_then(|identity| identity.created);
        if before.zip(found.created).is_some_and(|(before, found)| before != found) {
            known.was_missing = true;
            known.leases.clear();
        }
        let created = found.created.or(before);
        known.identity = Some(StreamIdentity { created, ..found.clone() });
    }

    /// Where `latest` begins, by the service's time of a listing that was received at `now`.
    pub(super) fn latest_start(&self, listed_at: Timestamp, now: Instant) -> LatestStart {
        let mut known = self.known();
        let elapsed = known.first_try.map_or(0, |first| now.saturating_duration_since(first).as_millis());
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let computed = listed_at.as_millis().saturating_sub(elapsed).saturating_sub(PIN_MARGIN_MILLIS);
        let started = *known.started.get_or_insert(Timestamp::from_millis(computed));
        let created = known.identity.as_ref().and_then(|identity| identity.created);
        let is_younger = known.was_missing || created.is_some_and(|created| created >= started);
        if is_younger { LatestStart::Creation } else { LatestStart::Moment(started) }
    }

    /// The moment at which this input began, once a listing has shown the service's time.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.known().started
    }

    /// Keeps what a scan saw. Rows that are gone are kept until [`StreamHistory::listed`] shows that their shards are gone too.
    pub(super) fn remember(&self, leases: &[Lease]) {
        let mut known = self.known();
        for lease in leases {
            if lease.checkpoint.is_ended() {
                known.leases.remove(&lease.shard);
            } else {
                known.leases.insert(lease.shard.clone(), lease.clone());
            }
        }
    }

    /// Forgets the leases of shards that the stream does not hold any more.
    pub(super) fn listed(&self, listing: &ShardListing) {
        let listed: std::collections::BTreeSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
        self.known().leases.retain(|shard, _| listed.contains(shard));
    }

    /// Leases that were seen before, of shards that had not ended, and that are not among these.
    pub(super) fn missing_from(&self, leases: &[Lease]) -> Vec<Lease> {
        let known = self.known();
        let present: std::collections::BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
        known.leases.values().filter(|lease| !present.contains(&lease.shard)).cloned().collect()
    }

    /// A shard was read to its end, so that its row may go.
    pub(super) fn ended(&self, shard: &ShardId) {
        self.known().leases.remove(shard);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/history.rs"]
mod tests;

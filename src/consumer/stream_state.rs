//! What an input knows of its stream since the process started.

use crate::domain::{Lease, ShardId, ShardListing, StreamIdentity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A start at LATEST begins this much before the time that Kinesis returned, since the clocks of its hosts may differ.
const START_MARGIN_MILLIS: i64 = 1_000;

/// Where a start at LATEST begins at a time of Kinesis.
pub(super) const fn latest_at(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(START_MARGIN_MILLIS))
}

/// Shared by all workers that an input runs one after another, so that a restart of the input neither moves the start of
/// `latest` nor forgets progress.
#[derive(Debug, Default)]
pub struct StreamState {
    // A lock and not an owner task: held for a few map accesses, never across a wait.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    first_start: Option<Instant>,
    /// The first start by the time of Kinesis, less the margin.
    started: Option<Timestamp>,
    /// The stream did not exist at some time since the first start.
    was_missing: bool,
    identity: Option<StreamIdentity>,
    /// Leases as last seen, without those of ended shards.
    leases: BTreeMap<ShardId, Lease>,
    refusal: Option<String>,
}

/// Where `latest` begins if there are no leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LatestStart {
    /// At the oldest record, because the stream was created after the input was started.
    Creation,
    /// When the input was started.
    Moment(Timestamp),
}

impl StreamState {
    /// Records when the input was started. Restarts do not change it.
    pub fn mark_started(&self, now: Instant) {
        self.known().first_start.get_or_insert(now);
    }

    /// Why the input does not read; `None` unless an operator must act.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.known().refusal.clone()
    }

    pub(super) fn refuse(&self, why: String) {
        self.known().refusal = Some(why);
    }

    /// Kinesis reported that the stream does not exist. A stream that is found later was created after the first start.
    pub(super) fn stream_missing(&self) {
        self.known().was_missing = true;
    }

    /// The stream was replaced by another of the same name, so what is known of the old one does not apply any more.
    pub(super) fn stream_replaced(&self) {
        let mut known = self.known();
        known.was_missing = true;
        known.leases.clear();
    }

    /// The stream as it was last identified.
    pub(super) fn identity(&self) -> Option<StreamIdentity> {
        self.known().identity.clone()
    }

    /// All leases belong to this stream, or there are none.
    pub(super) fn leases_verified(&self, found: &StreamIdentity) {
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

    /// Where `latest` begins. `listed_at` is the time of Kinesis in a listing that was received at `now`.
    pub(super) fn latest_start(&self, listed_at: Timestamp, now: Instant) -> LatestStart {
        let mut known = self.known();
        let elapsed = known.first_start.map_or(0, |first| now.saturating_duration_since(first).as_millis());
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let computed = latest_at(Timestamp::from_millis(listed_at.as_millis().saturating_sub(elapsed)));
        let started = *known.started.get_or_insert(computed);
        let created = known.identity.as_ref().and_then(|identity| identity.created);
        let is_created_later = known.was_missing || created.is_some_and(|created| created >= started);
        if is_created_later { LatestStart::Creation } else { LatestStart::Moment(started) }
    }

    /// When the input was started, by the time of Kinesis; known after the first listing.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.known().started
    }

    /// Records the leases of a scan. A lease whose row is gone stays until [`StreamState::retain_listed`] finds that its
    /// shard is gone too.
    pub(super) fn record_leases(&self, leases: &[Lease]) {
        let mut known = self.known();
        for lease in leases {
            if lease.checkpoint.is_ended() {
                known.leases.remove(&lease.shard);
            } else {
                known.leases.insert(lease.shard.clone(), lease.clone());
            }
        }
    }

    /// The leases as last seen, without those of ended shards.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.known().leases.values().cloned().collect()
    }

    /// Forgets the leases of shards that are not listed any more.
    pub(super) fn retain_listed(&self, listing: &ShardListing) {
        let listed: BTreeSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
        self.known().leases.retain(|shard, _| listed.contains(shard));
    }

    /// Recorded leases of shards that have not ended, and that are not among `leases`.
    pub(super) fn missing_from(&self, leases: &[Lease]) -> Vec<Lease> {
        let known = self.known();
        let present: BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
        known.leases.values().filter(|lease| !present.contains(&lease.shard)).cloned().collect()
    }

    /// Forgets the lease of a shard that ended: its row may be removed.
    pub(super) fn shard_ended(&self, shard: &ShardId) {
        self.known().leases.remove(shard);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/stream_state.rs"]
mod tests;

//! The metrics of one worker, shared by its shards.

use crate::domain::{RecordBatch, ShardId};
use crate::telemetry::InputMetrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Metric handles, and what the worst of the shards is by. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Vitals {
    pub(super) metrics: InputMetrics,
    // A lock and not an owner task: held for a map write, never across a wait, by at most one shard at a time.
    shards: Arc<Mutex<BTreeMap<ShardId, Vital>>>,
}

#[derive(Debug, Default)]
struct Vital {
    /// Since when accepted records wait for their checkpoint.
    waits_since: Option<Instant>,
    /// How far the last read was behind, and since when its records wait for the app; lag grows while they wait.
    behind: Duration,
    held_since: Option<Instant>,
}

impl Vital {
    fn lag(&self, now: Instant) -> Duration {
        self.behind + self.held_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Vitals {
    pub(super) fn new(metrics: InputMetrics) -> Self {
        Self { metrics, shards: Arc::default() }
    }

    /// Notes since when a shard waits for a checkpoint (`None`: it does not), and shows the oldest of all shards.
    pub(super) fn waits_since(&self, shard: &ShardId, since: Option<Instant>, now: Instant) {
        let mut shards = self.shards();
        shards.entry(shard.clone()).or_default().waits_since = since;
        let oldest = shards.values().filter_map(|vital| vital.waits_since).min();
        self.metrics.set_checkpoint_age(oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)));
    }

    /// Counts what a read brought; its records wait for the app from now on.
    pub(super) fn fetched(&self, shard: &ShardId, batch: &RecordBatch, now: Instant) {
        self.metrics.fetched(u64::try_from(batch.records.len()).unwrap_or(u64::MAX));
        let mut shards = self.shards();
        let vital = shards.entry(shard.clone()).or_default();
        vital.behind = batch.behind.unwrap_or(vital.behind);
        vital.held_since = (!batch.records.is_empty()).then_some(now);
        self.show_lag(&shards, now);
    }

    /// The app accepted all that was read.
    pub(super) fn caught_up(&self, shard: &ShardId, now: Instant) {
        let mut shards = self.shards();
        shards.entry(shard.clone()).or_default().held_since = None;
        self.show_lag(&shards, now);
    }

    /// Time went by.
    pub(super) fn look(&self, now: Instant) {
        self.show_lag(&self.shards(), now);
    }

    /// Forgets a shard that is not held any more.
    pub(super) fn forget(&self, shard: &ShardId, now: Instant) {
        self.waits_since(shard, None, now);
        let mut shards = self.shards();
        shards.remove(shard);
        self.show_lag(&shards, now);
    }

    /// The lag of the shard that is furthest behind.
    fn show_lag(&self, shards: &BTreeMap<ShardId, Vital>, now: Instant) {
        self.metrics.set_lag(shards.values().map(|vital| vital.lag(now)).max().unwrap_or_default());
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<ShardId, Vital>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Metrics of one worker: counters, and the lag of the shard that is furthest behind.

use crate::domain::{RecordBatch, ShardId};
use crate::telemetry::InputMetrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Shared by the shards of a worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct InputLag {
    pub(super) metrics: InputMetrics,
    // A lock and not an owner task: held for a map write, never across an await.
    shards: Arc<Mutex<BTreeMap<ShardId, ShardLag>>>,
}

#[derive(Debug, Default)]
struct ShardLag {
    /// Since when accepted records wait for a checkpoint.
    unstored_since: Option<Instant>,
    /// How far behind the tip of the shard the last read was.
    behind: Duration,
    /// Since when the records of the last read wait for the app. The lag grows during that time.
    unaccepted_since: Option<Instant>,
}

impl ShardLag {
    fn lag(&self, now: Instant) -> Duration {
        self.behind + self.unaccepted_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl InputLag {
    pub(super) fn new(metrics: InputMetrics) -> Self {
        Self { metrics, shards: Arc::default() }
    }

    /// Records since when a shard waits for a checkpoint (`None` if it does not), and updates the checkpoint age.
    pub(super) fn set_unstored(&self, shard: &ShardId, since: Option<Instant>, now: Instant) {
        let mut shards = self.shards();
        shards.entry(shard.clone()).or_default().unstored_since = since;
        let oldest = shards.values().filter_map(|lag| lag.unstored_since).min();
        self.metrics.set_checkpoint_age(oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)));
    }

    pub(super) fn fetched(&self, shard: &ShardId, batch: &RecordBatch, now: Instant) {
        self.metrics.fetched(u64::try_from(batch.records.len()).unwrap_or(u64::MAX));
        let mut shards = self.shards();
        let lag = shards.entry(shard.clone()).or_default();
        lag.behind = batch.behind.unwrap_or(lag.behind);
        lag.unaccepted_since = (!batch.records.is_empty()).then_some(now);
        self.update(&shards, now);
    }

    /// The app accepted all records that were read.
    pub(super) fn all_accepted(&self, shard: &ShardId, now: Instant) {
        let mut shards = self.shards();
        shards.entry(shard.clone()).or_default().unaccepted_since = None;
        self.update(&shards, now);
    }

    /// Updates the lag, which grows with time.
    pub(super) fn tick(&self, now: Instant) {
        self.update(&self.shards(), now);
    }

    /// Removes a shard whose lease is not held any more.
    pub(super) fn remove(&self, shard: &ShardId, now: Instant) {
        self.set_unstored(shard, None, now);
        let mut shards = self.shards();
        shards.remove(shard);
        self.update(&shards, now);
    }

    fn update(&self, shards: &BTreeMap<ShardId, ShardLag>, now: Instant) {
        self.metrics.set_lag(shards.values().map(|lag| lag.lag(now)).max().unwrap_or_default());
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<ShardId, ShardLag>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

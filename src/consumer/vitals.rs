//! The metrics of one worker, shared by its shards.

use crate::domain::ShardId;
use crate::telemetry::InputMetrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Metric handles, and since when each shard has accepted records without a checkpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Vitals {
    pub(super) metrics: InputMetrics,
    // A lock and not an owner task: held for a map write, never across a wait, by at most one shard at a time.
    waiting: Arc<Mutex<BTreeMap<ShardId, Instant>>>,
}

impl Vitals {
    pub(super) fn new(metrics: InputMetrics) -> Self {
        Self { metrics, waiting: Arc::default() }
    }

    /// Notes since when a shard waits for a checkpoint (`None`: it does not), and shows the oldest of all shards.
    pub(super) fn waits_since(&self, shard: &ShardId, since: Option<Instant>, now: Instant) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match since {
            Some(since) => waiting.insert(shard.clone(), since),
            None => waiting.remove(shard),
        };
        let oldest = waiting.values().min().map(|since| now.saturating_duration_since(*since));
        self.metrics.set_checkpoint_age(oldest.unwrap_or_default());
    }
}

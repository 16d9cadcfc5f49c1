//! Counts and logs of what happens while the shards of a stream are read. A thing that keeps happening has one log line a
//! minute, whatever the number of shards.

use crate::aggregation::AggregateError;
use crate::domain::{SequenceNumber, ShardId};
use crate::telemetry::{LogLimit, ReadMetrics};
use std::time::Duration;
use tokio::time::Instant;

/// Shared by all shards of an input.
#[derive(Debug, Default)]
pub(super) struct ReadMonitor {
    pub(super) metrics: ReadMetrics,
    throttles: LogLimit,
    damage: LogLimit,
    contention: LogLimit,
    silence: LogLimit,
}

impl ReadMonitor {
    pub(super) fn new(metrics: ReadMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// A call was throttled; `lasts` if that happened several times in a row to its shard.
    pub(super) fn throttled(&self, shard: &ShardId, lasts: bool, reason: &str) {
        self.metrics.throttled();
        if lasts && let Some(others) = self.throttles.next(Instant::now()) {
            let remedy = "read the stream with fewer consumers, add shards, or use `mode: extended`";
            tracing::warn!(%shard, others, reason, remedy, "reads of a shard were throttled");
        } else {
            tracing::debug!(%shard, reason, "read of a shard was throttled");
        }
    }

    /// A record looks like an aggregate, but is damaged, and is delivered as one record.
    pub(super) fn damaged(&self, shard: &ShardId, sequence: &SequenceNumber, damage: AggregateError) {
        self.metrics.damaged_aggregate();
        if let Some(others) = self.damage.next(Instant::now()) {
            tracing::warn!(%shard, %sequence, %damage, others, "damaged aggregate delivered as one record");
        }
    }

    /// Subscriptions to a shard were refused several times in a row.
    pub(super) fn refused(&self, shard: &ShardId, consumer: &str, reason: &str) {
        if let Some(others) = self.contention.next(Instant::now()) {
            let remedy = "check whether another process reads with the same consumerName and another lease table, or use \
                          `mode: shared`";
            tracing::warn!(%shard, consumer, others, reason, remedy, "subscription was refused");
        }
    }

    /// A subscription was replaced because it had no event for so long.
    pub(super) fn silent(&self, shard: &ShardId, silence: Duration) {
        if let Some(others) = self.silence.next(Instant::now()) {
            tracing::warn!(%shard, ?silence, others, "subscription was silent for too long; it is replaced");
        }
    }
}

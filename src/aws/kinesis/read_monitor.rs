//! Counts and logs of what happens while the shards of a stream are read. A thing that keeps happening has one log line a
//! minute, whatever the number of shards.

use crate::aggregation::AggregateError;
use crate::domain::{SequenceNumber, ShardId};
use crate::telemetry::ReadMetrics;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_secs(60);

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

/// Lets one line a minute pass.
#[derive(Debug, Default)]
struct LogLimit(Mutex<(Option<Instant>, u64)>);

impl LogLimit {
    /// For a line that may be written: how many were not, since the last one.
    fn next(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (logged_at, others) = &mut *state;
        if logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            *others += 1;
            return None;
        }
        *logged_at = Some(now);
        Some(std::mem::take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_counts_those_that_were_not_written() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let after = |seconds| limit.next(now + Duration::from_secs(seconds));
        assert_eq!(
            (after(0), after(1), after(59), after(60), after(61), after(120)),
            (Some(0), None, None, Some(2), None, Some(1))
        );
    }
}

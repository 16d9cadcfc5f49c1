//! Logs failed deliveries of one shard: never a line for each record, and at most one a minute for what keeps failing.

use super::super::log_limit::LogLimit;
use super::lanes::Unit;
use crate::domain::{BindingError, RecordPosition, ShardId, TransformError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct FailureLog {
    stored: Limit,
    deliveries: Limit,
    dead_letters: Limit,
    drops: Limit,
    passes: Limit,
}

/// By time and not by the text of the error, which may differ in each answer of the app.
#[derive(Debug, Default)]
struct Limit {
    limit: LogLimit,
    /// Failures since the last line.
    suppressed: u64,
}

impl FailureLog {
    pub(super) fn dead_letter_stored(&mut self, shard: &ShardId, unit: &Unit) {
        let (position, attempts) = (&unit.event.origin.position, unit.history.attempts);
        if let Some(more) = self.stored.due(Instant::now()) {
            tracing::warn!(%shard, %position, attempts, more, "dead letter stored");
        } else {
            tracing::debug!(%shard, %position, attempts, "dead letter stored");
        }
    }

    /// The attempt of `unit` is already that of the next delivery.
    pub(super) fn delivery_failed(&mut self, shard: &ShardId, unit: &Unit, wait: Duration, error: &str) {
        let (position, attempt) = (&unit.event.origin.position, unit.event.attempt.saturating_sub(1));
        if let Some(more) = self.deliveries.due(Instant::now()) {
            tracing::warn!(%shard, %position, attempt, ?wait, error, more, "delivery failed");
        } else {
            tracing::debug!(%shard, %position, attempt, ?wait, error, "delivery failed");
        }
    }

    pub(super) fn dead_letter_failed(&mut self, shard: &ShardId, unit: &Unit, error: &BindingError) {
        let position = &unit.event.origin.position;
        if let Some(more) = self.dead_letters.due(Instant::now()) {
            tracing::warn!(%shard, %position, %error, more, "dead letter not stored");
        } else {
            tracing::debug!(%shard, %position, %error, "dead letter not stored");
        }
    }

    /// As `transformOnError: passthrough` says.
    pub(super) fn passed_through(&mut self, shard: &ShardId, position: &RecordPosition, error: &TransformError) {
        if let Some(more) = self.passes.due(Instant::now()) {
            tracing::warn!(%shard, %position, %error, more, "transform failed; record sent as it is");
        } else {
            tracing::debug!(%shard, %position, %error, "transform failed; record sent as it is");
        }
    }

    /// As `onPoison` or `transformOnError` says.
    pub(super) fn dropped(&mut self, shard: &ShardId, unit: &Unit) {
        let (position, attempts) = (&unit.event.origin.position, unit.history.attempts);
        let error = unit.history.last_failure.as_ref().map_or("", |last| &last.text);
        if let Some(more) = self.drops.due(Instant::now()) {
            tracing::error!(%shard, %position, attempts, error, more, "record dropped");
        } else {
            tracing::debug!(%shard, %position, attempts, error, "record dropped");
        }
    }
}

impl Limit {
    /// The failures since the last line, if a line is due now; counts the failure otherwise.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.limit.is_due(now) {
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_between_two_lines_are_counted() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let due = |second| limit.due(start + Duration::from_secs(second));
        assert_eq!([0, 1, 59, 60, 61].map(due), [Some(0), None, None, Some(2), None]);
    }
}

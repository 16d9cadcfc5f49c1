//! Logs failed deliveries of one shard: never a line for each record, and at most one a minute for what keeps failing.

use super::lanes::Unit;
use crate::domain::{BindingError, RecordPosition, ShardId, TransformError};
use crate::telemetry::LogLimit;
use std::time::Duration;
use tokio::time::Instant;

/// By time and not by the text of the error, which may differ in each answer of the app.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    stored: LogLimit,
    deliveries: LogLimit,
    dead_letters: LogLimit,
    drops: LogLimit,
    passes: LogLimit,
}

impl FailureLog {
    pub(super) fn dead_letter_stored(&self, shard: &ShardId, unit: &Unit) {
        let (position, attempts) = (&unit.event.origin.position, unit.history.attempts);
        if let Some(more) = self.stored.next(Instant::now()) {
            tracing::warn!(%shard, %position, attempts, more, "dead letter stored");
        } else {
            tracing::debug!(%shard, %position, attempts, "dead letter stored");
        }
    }

    /// The attempt of `unit` is already that of the next delivery.
    pub(super) fn delivery_failed(&self, shard: &ShardId, unit: &Unit, wait: Duration, error: &str) {
        let (position, attempt) = (&unit.event.origin.position, unit.event.attempt.saturating_sub(1));
        if let Some(more) = self.deliveries.next(Instant::now()) {
            tracing::warn!(%shard, %position, attempt, ?wait, error, more, "delivery failed");
        } else {
            tracing::debug!(%shard, %position, attempt, ?wait, error, "delivery failed");
        }
    }

    pub(super) fn dead_letter_failed(&self, shard: &ShardId, unit: &Unit, error: &BindingError) {
        let position = &unit.event.origin.position;
        if let Some(more) = self.dead_letters.next(Instant::now()) {
            tracing::warn!(%shard, %position, %error, more, "dead letter not stored");
        } else {
            tracing::debug!(%shard, %position, %error, "dead letter not stored");
        }
    }

    /// As `transformOnError: passthrough` says.
    pub(super) fn passed_through(&self, shard: &ShardId, position: &RecordPosition, error: &TransformError) {
        if let Some(more) = self.passes.next(Instant::now()) {
            tracing::warn!(%shard, %position, %error, more, "transform failed; record sent as it is");
        } else {
            tracing::debug!(%shard, %position, %error, "transform failed; record sent as it is");
        }
    }

    /// As `onPoison` or `transformOnError` says.
    pub(super) fn dropped(&self, shard: &ShardId, unit: &Unit) {
        let (position, attempts) = (&unit.event.origin.position, unit.history.attempts);
        let error = unit.history.last_failure.as_ref().map_or("", |last| &last.text);
        if let Some(more) = self.drops.next(Instant::now()) {
            tracing::error!(%shard, %position, attempts, error, more, "record dropped");
        } else {
            tracing::debug!(%shard, %position, attempts, error, "record dropped");
        }
    }
}

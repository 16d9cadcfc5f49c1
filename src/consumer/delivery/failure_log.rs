//! Logs failed deliveries of one shard: never a line for each record, and at most one a minute for what keeps failing.

use super::lanes::Unit;
use crate::domain::{BindingError, ShardId};
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines with the same reason.
const SAME_REASON: Duration = Duration::from_secs(60);
/// Between two lines.
const ANY_REASON: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct FailureLog {
    last: Option<(Instant, String)>,
    /// Failures since the last line.
    suppressed: u64,
}

impl FailureLog {
    pub(super) fn delivery_failed(&mut self, shard: &ShardId, unit: &Unit, wait: Duration, error: &str) {
        let (position, attempt) = (&unit.event.origin.position, unit.event.attempt);
        let more = self.suppressed;
        if self.is_due(error, Instant::now()) {
            tracing::warn!(%shard, %position, attempt, ?wait, error, more, "delivery failed");
        } else {
            tracing::debug!(%shard, %position, attempt, ?wait, error, "delivery failed");
        }
    }

    pub(super) fn dead_letter_failed(&mut self, shard: &ShardId, unit: &Unit, error: &BindingError) {
        let position = &unit.event.origin.position;
        // The message of the target may quote the record.
        let kind = error.kind();
        let more = self.suppressed;
        if self.is_due(kind.as_str(), Instant::now()) {
            tracing::warn!(%shard, %position, %kind, more, "dead letter could not be stored; its key waits");
        } else {
            tracing::debug!(%shard, %position, %kind, "dead letter could not be stored; its key waits");
        }
    }

    /// Whether a failure is logged; counts it otherwise.
    fn is_due(&mut self, reason: &str, now: Instant) -> bool {
        let is_due = self.last.as_ref().is_none_or(|(at, last)| {
            let pause = if last == reason { SAME_REASON } else { ANY_REASON };
            now.saturating_duration_since(*at) >= pause
        });
        if is_due {
            self.last = Some((now, reason.to_owned()));
            self.suppressed = 0;
        } else {
            self.suppressed += 1;
        }
        is_due
    }
}

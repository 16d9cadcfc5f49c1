//! Limits the lines about calls that keep failing.

use crate::telemetry::LogLimit;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

/// Logs calls that fail, each kind once a minute.
#[derive(Debug, Default)]
pub(super) struct FailedCalls {
    limits: BTreeMap<&'static str, LogLimit>,
}

impl FailedCalls {
    /// `wait`: until the next attempt.
    pub(super) fn failed(&mut self, what: &'static str, error: &(dyn Error + 'static), wait: Duration, now: Instant) {
        if let Some(more) = self.limits.entry(what).or_default().next(now) {
            tracing::warn!(?wait, %error, source = error.source(), more, "{what}");
        } else {
            tracing::debug!(?wait, %error, source = error.source(), "{what}");
        }
    }
}

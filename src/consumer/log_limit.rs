//! Limits the lines about a failure that lasts.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Admits one line a minute. Pure: the time is an argument.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    last: Option<Instant>,
}

impl LogLimit {
    /// Whether a line may be logged now, as a warning; otherwise it is for DEBUG only.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// Logs calls that fail, each kind once a minute.
#[derive(Debug, Default)]
pub(super) struct FailedCalls {
    limits: BTreeMap<&'static str, LogLimit>,
}

impl FailedCalls {
    /// `wait`: until the next attempt.
    pub(super) fn failed(&mut self, what: &'static str, error: &(dyn Error + 'static), wait: Duration, now: Instant) {
        if self.limits.entry(what).or_default().is_due(now) {
            tracing::warn!(?wait, %error, source = error.source(), "{what}");
        } else {
            tracing::debug!(?wait, %error, source = error.source(), "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_logged_once_a_minute() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        let logged: Vec<u64> = (0..150).filter(|second| limit.is_due(start + Duration::from_secs(*second))).collect();
        assert_eq!(logged, [0, 60, 120]);
    }
}

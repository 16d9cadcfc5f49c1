//! Whether and when a record is sent again after a failed attempt. Pure.

use crate::domain::{BindingError, FailureKind};
use crate::resilience::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// How failed attempts are repeated. The deadline of the request bounds all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `maxRetries` of one record; `None` is no limit but the deadline.
    pub max_retries: Option<u32>,
    /// `backoffInitialInterval` (50 ms) and `backoffMaxInterval` (2 s).
    pub backoff: Backoff,
    /// `backoffMaxElapsedTime`: no retry begins later than this after the first attempt.
    pub max_elapsed: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: None, backoff: Backoff::millis(50, 2_000), max_elapsed: None }
    }
}

/// What limits the retries of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryLimits {
    pub(super) policy: RetryPolicy,
    pub(super) deadline: Instant,
    pub(super) fail_if_throttled: bool,
}

/// The delay before the next attempt: full jitter by a `fraction` of 0 to 1, and at least what the service asks for.
/// All records that failed together have the same fraction, so that they are retried in one batch.
pub(super) fn retry_delay(policy: &RetryPolicy, attempts: u32, fraction: f64, error: &BindingError) -> Duration {
    let bound = policy.backoff.bound(attempts.saturating_sub(1));
    bound.mul_f64(fraction).max(Duration::from_millis(1)).max(error.retry_after().unwrap_or_default())
}

/// When a record is sent again; `None` where the failure is final. `attempts` were made so far, the first one at `first`.
pub(super) fn retry_at(
    error: &BindingError,
    (attempts, first): (u32, Instant),
    limits: &RetryLimits,
    delay: Duration,
    now: Instant,
) -> Option<Instant> {
    let is_final = limits.fail_if_throttled && error.kind() == FailureKind::Throttled;
    if is_final || !error.kind().may_retry() {
        return None;
    }
    // The first attempt is not a retry.
    let is_used_up = limits.policy.max_retries.is_some_and(|max| attempts > max);
    let at = now + delay;
    let is_late = limits.policy.max_elapsed.is_some_and(|elapsed| at > first + elapsed);
    (!is_used_up && at < limits.deadline && !is_late).then_some(at)
}

/// Whether the service refused the request because of its content, so that one record of it may be the cause.
pub(super) const fn is_content_refused(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Caller | FailureKind::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failing(kind: FailureKind) -> BindingError {
        BindingError::new(kind, "no")
    }

    fn limits(now: Instant) -> RetryLimits {
        RetryLimits { policy: RetryPolicy::default(), deadline: now + 10 * SECOND, fail_if_throttled: false }
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let now = Instant::now();
        for kind in [FailureKind::Throttled, FailureKind::Transient, FailureKind::TimedOut, FailureKind::Unavailable] {
            let at = retry_at(&failing(kind), (1, now), &limits(now), SECOND, now);
            assert_eq!(at, Some(now + SECOND), "{kind}");
        }
        for kind in [FailureKind::NotFound, FailureKind::Denied, FailureKind::Permanent, FailureKind::Caller] {
            assert_eq!(retry_at(&failing(kind), (1, now), &limits(now), SECOND, now), None, "{kind}");
        }
    }

    #[test]
    fn deadline_count_and_elapsed_time_each_end_the_retries() {
        let now = Instant::now();
        let error = failing(FailureKind::Throttled);
        let open = limits(now);
        assert_eq!(retry_at(&error, (1, now), &open, 10 * SECOND, now), None);
        let twice = RetryLimits { policy: RetryPolicy { max_retries: Some(2), ..open.policy }, ..open };
        assert!(retry_at(&error, (2, now), &twice, SECOND, now).is_some());
        assert_eq!(retry_at(&error, (3, now), &twice, SECOND, now), None);
        let brief = RetryLimits { policy: RetryPolicy { max_elapsed: Some(SECOND), ..open.policy }, ..open };
        assert!(retry_at(&error, (1, now), &brief, SECOND, now).is_some());
        assert_eq!(retry_at(&error, (1, now), &brief, SECOND, now + SECOND), None);
        let impatient = RetryLimits { fail_if_throttled: true, ..open };
        assert_eq!(retry_at(&error, (1, now), &impatient, SECOND, now), None);
    }

    #[test]
    fn the_service_may_ask_for_a_longer_delay() {
        let policy = RetryPolicy::default();
        assert_eq!(retry_delay(&policy, 1, 0.5, &failing(FailureKind::Throttled)), Duration::from_millis(25));
        assert_eq!(retry_delay(&policy, 3, 1.0, &failing(FailureKind::Throttled)), Duration::from_millis(200));
        let asked = failing(FailureKind::Throttled).with_retry_after(3 * SECOND);
        assert_eq!(retry_delay(&policy, 1, 0.5, &asked), 3 * SECOND);
    }
}

//! Whether and when a record is sent again after a failed attempt. Pure.

use crate::domain::{BindingError, FailureKind, Outcome};
use crate::resilience::{Idempotency, RetryPolicy, RetryState};
use std::time::Duration;
use tokio::time::Instant;

/// What limits the retries of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryLimits {
    pub(super) policy: RetryPolicy,
    pub(super) deadline: Instant,
    pub(super) fail_if_throttled: bool,
}

/// When a record is sent again; `None` where the failure is final. So far `attempts` were made, the first one at
/// `first_attempt`.
pub(super) fn retry_at(
    error: &BindingError,
    (attempts, first_attempt): (u32, Instant),
    limits: &RetryLimits,
    delay: Duration,
    now: Instant,
) -> Option<Instant> {
    if limits.fail_if_throttled && error.kind() == FailureKind::Throttled {
        return None;
    }
    // A record may be stored twice where an outcome is unknown: the stream is written at least once.
    let (outcome, idempotency) = (Outcome::NotDone, Idempotency::Idempotent);
    let state = RetryState { attempts, first_attempt, deadline: limits.deadline, outcome, idempotency };
    let at = now + delay;
    limits.policy.may_retry(error, &state, at).then_some(at)
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
}

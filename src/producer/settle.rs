//! What becomes of a record after a failed attempt. Pure.

use super::pending::Trial;
use crate::domain::{BindingError, FailureKind};
use crate::resilience::RetryPolicy;
use std::time::Duration;
use tokio::time::Instant;

/// What to do with a record after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again, not before then.
    Again(Instant),
    /// The failure is its answer.
    GiveUp,
}

/// What binds the repetitions of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) policy: RetryPolicy,
    pub(super) deadline: Instant,
    pub(super) fail_if_throttled: bool,
}

/// The wait before the next attempt: full jitter by a `fraction` of 0 to 1, which all records that failed together
/// share, so that they come back together; not less than what the service asks for.
pub(super) fn wait(policy: &RetryPolicy, attempts: u32, fraction: f64, error: &BindingError) -> Duration {
    let bound = policy.backoff.bound(attempts.saturating_sub(1));
    bound.mul_f64(fraction).max(Duration::from_millis(1)).max(error.retry_after().unwrap_or_default())
}

/// Whether a record is sent again after this failure and that wait.
pub(super) fn judge(error: &BindingError, trial: &Trial, bounds: &Bounds, wait: Duration, now: Instant) -> Verdict {
    let is_first_word = bounds.fail_if_throttled && error.kind() == FailureKind::Throttled;
    if is_first_word || !error.kind().may_retry() {
        return Verdict::GiveUp;
    }
    // The first attempt is no repetition.
    let is_used_up = bounds.policy.max_retries.is_some_and(|most| trial.own_attempts() > most);
    let at = now + wait;
    let last = bounds.policy.max_elapsed.map(|elapsed| trial.first.unwrap_or(now) + elapsed);
    if is_used_up || at >= bounds.deadline || last.is_some_and(|last| at > last) {
        return Verdict::GiveUp;
    }
    Verdict::Again(at)
}

/// Whether the request itself was refused, so that some record in it may be the culprit.
pub(super) const fn is_poisoned(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Caller | FailureKind::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    const SECOND: Duration = Duration::from_secs(1);

    fn trial(attempts: u32, first: Instant) -> Trial {
        Trial { attempts, parted: 0, first: Some(first), outcome: Outcome::NotDone, last: None }
    }

    fn failing(kind: FailureKind) -> BindingError {
        BindingError::new(kind, "no")
    }

    fn bounds(now: Instant) -> Bounds {
        Bounds { policy: RetryPolicy::default(), deadline: now + 10 * SECOND, fail_if_throttled: false }
    }

    #[test]
    fn only_passing_faults_are_tried_again() {
        let now = Instant::now();
        for kind in [FailureKind::Throttled, FailureKind::Transient, FailureKind::TimedOut, FailureKind::Unavailable] {
            let verdict = judge(&failing(kind), &trial(1, now), &bounds(now), SECOND, now);
            assert_eq!(verdict, Verdict::Again(now + SECOND), "{kind}");
        }
        for kind in [FailureKind::NotFound, FailureKind::Denied, FailureKind::Permanent, FailureKind::Caller] {
            assert_eq!(judge(&failing(kind), &trial(1, now), &bounds(now), SECOND, now), Verdict::GiveUp, "{kind}");
        }
    }

    #[test]
    fn deadline_count_and_elapsed_time_each_end_it() {
        let now = Instant::now();
        let error = failing(FailureKind::Throttled);
        let open = bounds(now);
        assert_eq!(judge(&error, &trial(1, now), &open, 10 * SECOND, now), Verdict::GiveUp);
        let twice = Bounds { policy: RetryPolicy { max_retries: Some(2), ..open.policy }, ..open };
        assert!(matches!(judge(&error, &trial(2, now), &twice, SECOND, now), Verdict::Again(_)));
        assert_eq!(judge(&error, &trial(3, now), &twice, SECOND, now), Verdict::GiveUp);
        let brief = Bounds { policy: RetryPolicy { max_elapsed: Some(SECOND), ..open.policy }, ..open };
        assert!(matches!(judge(&error, &trial(1, now), &brief, SECOND, now), Verdict::Again(_)));
        assert_eq!(judge(&error, &trial(1, now), &brief, SECOND, now + SECOND), Verdict::GiveUp);
        let impatient = Bounds { fail_if_throttled: true, ..open };
        assert_eq!(judge(&error, &trial(1, now), &impatient, SECOND, now), Verdict::GiveUp);
    }

    #[test]
    fn the_service_may_ask_for_a_longer_wait() {
        let policy = RetryPolicy::default();
        assert_eq!(wait(&policy, 1, 0.5, &failing(FailureKind::Throttled)), Duration::from_millis(25));
        assert_eq!(wait(&policy, 3, 1.0, &failing(FailureKind::Throttled)), Duration::from_millis(200));
        let asked = failing(FailureKind::Throttled).with_retry_after(3 * SECOND);
        assert_eq!(wait(&policy, 1, 0.5, &asked), 3 * SECOND);
    }
}

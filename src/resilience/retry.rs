//! The retry policy, and the one decision whether a failed request may be sent again.
//!
//! [`RetryPolicy::may_retry`] is pure and decides for every caller: single requests, which [`Retry::run`] repeats, the
//! entries of DynamoDB bulks, and the records of the producer. Exactly one layer retries a given call; the SDK's own
//! retries are off.

use super::Backoff;
use crate::domain::{BindingError, FailureKind, Outcome};
use std::time::Duration;
use tokio::time::Instant;

/// How failed attempts are repeated. The deadline of a request bounds all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `maxRetries`: the first attempt is not counted; `None` means no limit but the deadline.
    pub max_retries: Option<u32>,
    /// `backoffInitialInterval` (50 ms) and `backoffMaxInterval` (2 s).
    pub backoff: Backoff,
    /// `backoffMaxElapsedTime`: no retry begins later than this after the first attempt; `None` means no limit but the
    /// deadline.
    pub max_elapsed: Option<Duration>,
}

/// Whether a request may be sent again although an earlier attempt may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It may: a second effect changes nothing, or the user accepts it.
    Idempotent,
    /// It may not.
    NotIdempotent,
}

/// A request after a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct RetryState {
    /// Attempts made, the failed one included.
    pub attempts: u32,
    /// When the first attempt began.
    pub first_attempt: Instant,
    /// When the request must be answered; no retry moves it.
    pub deadline: Instant,
    /// `Unknown` as soon as one of the attempts may have taken effect.
    pub outcome: Outcome,
    pub idempotency: Idempotency,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: None, backoff: Backoff::millis(50, 2_000), max_elapsed: None }
    }
}

impl RetryPolicy {
    /// Whether the request may be sent again at the moment `at`.
    #[must_use]
    pub fn may_retry(&self, error: &BindingError, state: &RetryState, at: Instant) -> bool {
        let is_harmless = match state.outcome {
            Outcome::NotDone => true,
            Outcome::Unknown => state.idempotency == Idempotency::Idempotent,
        };
        error.may_retry()
            && is_harmless
            && self.max_retries.is_none_or(|max| state.attempts <= max)
            && at < state.deadline
            && self.max_elapsed.is_none_or(|max| at <= state.first_attempt + max)
    }

    /// The wait after so many attempts: full jitter by `fraction` (0 to 1), at least a millisecond, and not less than
    /// the service's `Retry-After`.
    #[must_use]
    pub fn wait(&self, attempts: u32, fraction: f64, error: &BindingError) -> Duration {
        let bound = self.backoff.bound(attempts.saturating_sub(1));
        bound.mul_f64(fraction).max(Duration::from_millis(1)).max(error.retry_after().unwrap_or_default())
    }
}

/// Repeats one request until it succeeds, may not be repeated, or its deadline passes.
#[derive(Debug)]
pub struct Retry {
    policy: RetryPolicy,
    state: RetryState,
    random: fastrand::Rng,
}

/// What to do after a failed attempt.
#[derive(Debug)]
pub enum Decision {
    RetryAfter(Duration),
    GiveUp(BindingError),
}

/// The result of a request that succeeded.
#[derive(Debug)]
pub struct Success<T> {
    pub value: T,
    /// How many attempts it took; at least 1.
    pub attempts: u32,
}

impl Retry {
    /// Starts now and ends at the deadline. The seed drives the jitter.
    #[must_use]
    pub fn new(policy: RetryPolicy, idempotency: Idempotency, deadline: Instant, seed: u64) -> Self {
        let first_attempt = Instant::now();
        let state = RetryState { attempts: 0, first_attempt, deadline, outcome: Outcome::NotDone, idempotency };
        Self { policy, state, random: fastrand::Rng::with_seed(seed) }
    }

    /// Decides after a failed attempt, at the moment `now`.
    ///
    /// Once the effect of one attempt is unknown, the final error is unknown too, whatever the last attempt returned.
    pub fn decide(&mut self, error: BindingError, now: Instant) -> Decision {
        self.state.attempts += 1;
        if error.outcome() == Outcome::Unknown {
            self.state.outcome = Outcome::Unknown;
        }
        let wait = self.policy.wait(self.state.attempts, self.random.f64(), &error);
        if self.policy.may_retry(&error, &self.state, now + wait) {
            Decision::RetryAfter(wait)
        } else {
            Decision::GiveUp(error.with_outcome(self.state.outcome))
        }
    }

    /// Runs `attempt` until it succeeds, may not be repeated, or the deadline passes. An attempt that is aborted at the
    /// deadline has an unknown outcome. After the deadline no attempt begins. Cancel-safe if `attempt` is.
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<T, F>(mut self, mut attempt: impl FnMut() -> F) -> Result<Success<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        if Instant::now() >= self.state.deadline {
            let text = "the time allowed was over before the request could be sent";
            return Err(BindingError::new(FailureKind::TimedOut, text));
        }
        loop {
            let failure = match tokio::time::timeout_at(self.state.deadline, attempt()).await {
                Ok(Ok(value)) => return Ok(Success { value, attempts: self.state.attempts + 1 }),
                Ok(Err(error)) => error,
                Err(_) => deadline_passed(),
            };
            match self.decide(failure, Instant::now()) {
                Decision::RetryAfter(wait) => tokio::time::sleep(wait).await,
                Decision::GiveUp(error) => return Err(error),
            }
        }
    }
}

fn deadline_passed() -> BindingError {
    BindingError::new(FailureKind::TimedOut, "the request was not answered before its deadline")
        .with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(limit: Duration) -> Retry {
        with_policy(RetryPolicy::default(), limit)
    }

    fn with_policy(policy: RetryPolicy, limit: Duration) -> Retry {
        Retry::new(policy, Idempotency::Idempotent, Instant::now() + limit, 1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_idempotent_ends_with_the_first_unknown_outcome() {
        let mut made = 0;
        let retry =
            Retry::new(RetryPolicy::default(), Idempotency::NotIdempotent, Instant::now() + Duration::from_secs(10), 1);
        let result: Result<Success<()>, _> = retry
            .run(|| {
                made += 1;
                let outcome = if made < 3 { Outcome::NotDone } else { Outcome::Unknown };
                async move { Err(failing(FailureKind::Transient).with_outcome(outcome)) }
            })
            .await;
        assert_eq!((result.unwrap_err().outcome(), made), (Outcome::Unknown, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_limited_by_count_and_by_time() {
        let default = RetryPolicy::default();
        for (policy, max) in [
            (RetryPolicy { max_retries: Some(2), ..default }, 3),
            (RetryPolicy { max_retries: Some(0), ..default }, 1),
            (RetryPolicy { max_elapsed: Some(Duration::ZERO), ..default }, 1),
        ] {
            let mut made = 0;
            let result: Result<Success<()>, _> = with_policy(policy, Duration::from_secs(100))
                .run(|| {
                    made += 1;
                    async { Err(failing(FailureKind::Throttled)) }
                })
                .await;
            assert_eq!((result.unwrap_err().kind(), made), (FailureKind::Throttled, max));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_temporary_conflict_is_retried() {
        let mut left = 3;
        let success = within(Duration::from_secs(10)).run(|| {
            left -= 1;
            let conflict = failing(FailureKind::Conflict).temporary();
            let result = if left == 0 { Ok(()) } else { Err(conflict) };
            async move { result }
        });
        assert_eq!(success.await.unwrap().attempts, 3);
    }

    fn failing(kind: FailureKind) -> BindingError {
        BindingError::new(kind, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_retried() {
        let mut left = 3;
        let success = within(Duration::from_secs(10))
            .run(|| {
                left -= 1;
                let result = if left == 0 { Ok(7) } else { Err(failing(FailureKind::Throttled)) };
                async move { result }
            })
            .await
            .unwrap();
        assert_eq!((success.value, success.attempts), (7, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_failure_is_not_retried() {
        let mut made = 0;
        let result: Result<Success<()>, _> = within(Duration::from_secs(10))
            .run(|| {
                made += 1;
                async { Err(failing(FailureKind::Denied)) }
            })
            .await;
        assert_eq!((result.unwrap_err().kind(), made), (FailureKind::Denied, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_aborted_at_the_deadline_is_unknown() {
        let begun = Instant::now();
        let result: Result<Success<()>, _> = within(Duration::from_secs(10)).run(std::future::pending).await;
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_never_sent_is_not_done() {
        let attempt = || async { panic!("the deadline has passed") };
        let result: Result<Success<()>, _> = within(Duration::ZERO).run(attempt).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_stays_unknown_when_a_later_attempt_is_denied() {
        let mut retry = within(Duration::from_secs(10));
        let lost_reply = failing(FailureKind::Transient).with_outcome(Outcome::Unknown);
        assert!(matches!(retry.decide(lost_reply, Instant::now()), Decision::RetryAfter(_)));
        let Decision::GiveUp(error) = retry.decide(failing(FailureKind::Denied), Instant::now()) else {
            panic!("a denied request must not be repeated");
        };
        assert_eq!(error.outcome(), Outcome::Unknown);
    }

    #[test]
    fn deadline_count_and_elapsed_time_each_end_the_retries() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let state = |attempts| RetryState {
            attempts,
            first_attempt: now,
            deadline: now + 10 * second,
            outcome: Outcome::NotDone,
            idempotency: Idempotency::Idempotent,
        };
        let (error, open) = (failing(FailureKind::Throttled), RetryPolicy::default());
        assert!(open.may_retry(&error, &state(1), now + 9 * second));
        assert!(!open.may_retry(&error, &state(1), now + 10 * second));
        let twice = RetryPolicy { max_retries: Some(2), ..open };
        assert!(twice.may_retry(&error, &state(2), now) && !twice.may_retry(&error, &state(3), now));
        let brief = RetryPolicy { max_elapsed: Some(second), ..open };
        assert!(brief.may_retry(&error, &state(1), now + second));
        assert!(!brief.may_retry(&error, &state(1), now + 2 * second));
    }

    #[test]
    fn retry_after_of_the_service_extends_the_wait() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, 0.5, &failing(FailureKind::Throttled)), Duration::from_millis(25));
        assert_eq!(policy.wait(3, 1.0, &failing(FailureKind::Throttled)), Duration::from_millis(200));
        let error = failing(FailureKind::Throttled).with_retry_after(Duration::from_secs(3));
        assert_eq!(policy.wait(1, 0.5, &error), Duration::from_secs(3));
    }
}

//! Tries again while the failure's kind and the deadline allow it. The only layer that retries a call.

use super::{Backoff, Waits};
use crate::domain::{BindingError, FailureKind, Outcome};
use std::time::Duration;
use tokio::time::Instant;

/// One retried call: a backoff and a deadline. The deadline is never extended by a retry.
#[derive(Debug)]
pub struct Retry {
    waits: Waits,
    deadline: Instant,
    made: u32,
    may_have_taken_effect: bool,
}

/// What to do after a failed attempt.
#[derive(Debug)]
pub enum Attempt {
    /// Wait this long, then try again.
    After(Duration),
    /// Give this answer.
    GiveUp(BindingError),
}

/// How a retried call ended well.
#[derive(Debug)]
pub struct Spent<T> {
    /// The result.
    pub value: T,
    /// How many attempts it took; at least 1.
    pub attempts: u32,
}

impl Retry {
    /// Starts now and ends `limit` later. The seed drives the jitter.
    #[must_use]
    pub fn within(limit: Duration, backoff: Backoff, seed: u64) -> Self {
        Self { waits: backoff.waits(seed), deadline: Instant::now() + limit, made: 0, may_have_taken_effect: false }
    }

    /// Pure decision after a failed attempt, at the moment `now`.
    ///
    /// An earlier attempt whose effect is unknown makes the final answer unknown too, whatever the last one said.
    pub fn decide(&mut self, error: BindingError, now: Instant) -> Attempt {
        self.may_have_taken_effect |= error.outcome() == Outcome::Unknown;
        let outcome = if self.may_have_taken_effect { Outcome::Unknown } else { Outcome::NotDone };
        if !error.kind().may_retry() {
            return Attempt::GiveUp(error.with_outcome(outcome));
        }
        let wait = self.waits.next_wait().max(error.retry_after().unwrap_or_default());
        if now + wait >= self.deadline {
            return Attempt::GiveUp(error.with_outcome(outcome));
        }
        Attempt::After(wait)
    }

    /// Runs `attempt` until it succeeds, may not be repeated, or the deadline is reached. Each attempt is cut at the
    /// deadline; a cut attempt counts as unknown. Cancel-safe as far as `attempt` is.
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<T, F>(mut self, mut attempt: impl FnMut() -> F) -> Result<Spent<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        loop {
            self.made += 1;
            let failure = match tokio::time::timeout_at(self.deadline, attempt()).await {
                Ok(Ok(value)) => return Ok(Spent { value, attempts: self.made }),
                Ok(Err(error)) => error,
                Err(_) => deadline_passed(),
            };
            match self.decide(failure, Instant::now()) {
                Attempt::After(wait) => tokio::time::sleep(wait).await,
                Attempt::GiveUp(error) => return Err(error),
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

    const BACKOFF: Backoff = Backoff::millis(50, 2_000);

    fn failing(kind: FailureKind) -> BindingError {
        BindingError::new(kind, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_tried_again() {
        let mut left = 3;
        let spent = Retry::within(Duration::from_secs(10), BACKOFF, 1)
            .run(|| {
                left -= 1;
                let result = if left == 0 { Ok(7) } else { Err(failing(FailureKind::Throttled)) };
                async move { result }
            })
            .await
            .unwrap();
        assert_eq!((spent.value, spent.attempts), (7, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_fault_is_not_tried_again() {
        let mut made = 0;
        let result: Result<Spent<()>, _> = Retry::within(Duration::from_secs(10), BACKOFF, 1)
            .run(|| {
                made += 1;
                async { Err(failing(FailureKind::Denied)) }
            })
            .await;
        assert_eq!((result.unwrap_err().kind(), made), (FailureKind::Denied, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_and_a_cut_attempt_is_unknown() {
        let begun = Instant::now();
        let result: Result<Spent<()>, _> =
            Retry::within(Duration::from_secs(10), BACKOFF, 1).run(std::future::pending).await;
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_stays_unknown_when_a_later_attempt_is_refused() {
        let mut retry = Retry::within(Duration::from_secs(10), BACKOFF, 1);
        let lost_reply = failing(FailureKind::Transient).with_outcome(Outcome::Unknown);
        assert!(matches!(retry.decide(lost_reply, Instant::now()), Attempt::After(_)));
        let Attempt::GiveUp(error) = retry.decide(failing(FailureKind::Denied), Instant::now()) else {
            panic!("a denied request must not be repeated");
        };
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
}

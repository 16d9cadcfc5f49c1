//! Tries again while the failure's kind and the deadline allow it. The only layer that retries a call.

use super::{Backoff, Waits};
use crate::domain::{BindingError, FailureKind, Outcome};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a request may be sent again although an earlier attempt may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// It may: a second effect changes nothing, or is accepted.
    #[default]
    Freely,
    /// It may not: the answer is then that nobody knows.
    UnlessUnknown,
}

/// One retried call: a backoff and a deadline. The deadline is never extended by a retry.
#[derive(Debug)]
pub struct Retry {
    waits: Waits,
    deadline: Instant,
    no_repeat_after: Instant,
    most_repeats: u32,
    repeat: Repeat,
    made: u32,
    repeats: u32,
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
        Self::until(Instant::now() + limit, backoff, seed)
    }

    /// Starts now and ends at the deadline.
    #[must_use]
    pub fn until(deadline: Instant, backoff: Backoff, seed: u64) -> Self {
        Self {
            waits: backoff.waits(seed),
            deadline,
            no_repeat_after: deadline,
            most_repeats: u32::MAX,
            repeat: Repeat::Freely,
            made: 0,
            repeats: 0,
            may_have_taken_effect: false,
        }
    }

    /// Sets whether an unknown outcome ends it.
    #[must_use]
    pub const fn repeating(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Bounds the repetitions; the first attempt is none.
    #[must_use]
    pub const fn at_most(mut self, repeats: u32) -> Self {
        self.most_repeats = repeats;
        self
    }

    /// Lets no repetition begin later than this from now on, should the deadline be later.
    #[must_use]
    pub fn for_no_longer_than(mut self, elapsed: Duration) -> Self {
        self.no_repeat_after = self.deadline.min(Instant::now() + elapsed);
        self
    }

    /// Pure decision after a failed attempt, at the moment `now`.
    ///
    /// An earlier attempt whose effect is unknown makes the final answer unknown too, whatever the last one said.
    pub fn decide(&mut self, error: BindingError, now: Instant) -> Attempt {
        self.may_have_taken_effect |= error.outcome() == Outcome::Unknown;
        let outcome = if self.may_have_taken_effect { Outcome::Unknown } else { Outcome::NotDone };
        let is_unsafe = self.repeat == Repeat::UnlessUnknown && self.may_have_taken_effect;
        if !error.may_retry() || is_unsafe || self.repeats >= self.most_repeats {
            return Attempt::GiveUp(error.with_outcome(outcome));
        }
        let wait = self.waits.next_wait().max(error.retry_after().unwrap_or_default());
        if now + wait >= self.no_repeat_after {
            return Attempt::GiveUp(error.with_outcome(outcome));
        }
        self.repeats += 1;
        Attempt::After(wait)
    }

    /// Runs `attempt` until it succeeds, may not be repeated, or the deadline is reached. Each attempt is cut at the
    /// deadline; a cut attempt counts as unknown. None is begun where the deadline has passed already. Cancel-safe as
    /// far as `attempt` is.
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<T, F>(mut self, mut attempt: impl FnMut() -> F) -> Result<Spent<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        if Instant::now() >= self.deadline {
            let text = "the time allowed was over before the request could be sent";
            return Err(BindingError::new(FailureKind::TimedOut, text));
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_request_that_must_not_be_doubled_ends_with_the_first_unknown_outcome() {
        let mut made = 0;
        let retry = Retry::within(Duration::from_secs(10), BACKOFF, 1).repeating(Repeat::UnlessUnknown);
        let result: Result<Spent<()>, _> = retry
            .run(|| {
                made += 1;
                let outcome = if made < 3 { Outcome::NotDone } else { Outcome::Unknown };
                async move { Err(failing(FailureKind::Transient).with_outcome(outcome)) }
            })
            .await;
        assert_eq!((result.unwrap_err().outcome(), made), (Outcome::Unknown, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn repetitions_are_counted_and_timed() {
        for (retry, most) in [
            (Retry::within(Duration::from_secs(100), BACKOFF, 1).at_most(2), 3),
            (Retry::within(Duration::from_secs(100), BACKOFF, 1).at_most(0), 1),
            (Retry::within(Duration::from_secs(100), BACKOFF, 1).for_no_longer_than(Duration::ZERO), 1),
        ] {
            let mut made = 0;
            let result: Result<Spent<()>, _> = retry
                .run(|| {
                    made += 1;
                    async { Err(failing(FailureKind::Throttled)) }
                })
                .await;
            assert_eq!((result.unwrap_err().kind(), made), (FailureKind::Throttled, most));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_in_the_way_is_waited_for() {
        let mut left = 3;
        let spent = Retry::within(Duration::from_secs(10), BACKOFF, 1).run(|| {
            left -= 1;
            let conflict = failing(FailureKind::Conflict).passing_soon();
            let result = if left == 0 { Ok(()) } else { Err(conflict) };
            async move { result }
        });
        assert_eq!(spent.await.unwrap().attempts, 3);
    }

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
    async fn what_was_never_sent_is_not_done() {
        let attempt = || async { panic!("the deadline has passed") };
        let result: Result<Spent<()>, _> = Retry::within(Duration::ZERO, BACKOFF, 1).run(attempt).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
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

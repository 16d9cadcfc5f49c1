//! The retry policy: how often and after which pauses. Pure.

use super::matching::StatusRanges;
use crate::domain::RedeliveryPolicy;
use std::time::Duration;

/// Shorter pauses would repeat without a pause.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// A call is not repeated if the service requests a longer pause: its caller may wait for so long.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(300);
/// Keeps the arithmetic of pauses within what a clock holds.
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// `retries.<name>`
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `policy` and its pauses.
    pub schedule: Schedule,
    /// `maxRetries`: the first attempt is not counted; `None`, written -1, is no limit.
    pub max_retries: Option<u32>,
    /// `matching.httpStatusCodes`, from 100 to 599. Only the app's answers to events have a status.
    pub http_statuses: StatusRanges,
}

/// The pauses between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// `duration`, default 5 s.
    Constant(Duration),
    Exponential(Exponential),
}

/// The n-th pause is `initial × multiplierⁿ`, at most `max`, plus or minus a random part of `randomization`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// `initialInterval`, default 500 ms.
    pub initial: Duration,
    /// `randomizationFactor`, from 0 to 1; default 0.5.
    pub randomization: f64,
    /// `multiplier`, at least 1; default 1.5.
    pub multiplier: f64,
    /// `maxInterval`, default 60 s.
    pub max: Duration,
    /// `maxElapsedTime`, default 15 min: no retry begins later than this after the first attempt; `None`, written 0, is
    /// no limit.
    pub max_elapsed: Option<Duration>,
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            randomization: 0.5,
            multiplier: 1.5,
            max: Duration::from_secs(60),
            max_elapsed: Some(Duration::from_secs(15 * 60)),
        }
    }
}

impl Schedule {
    /// The pause after `failures` failures before this one. `random` is from 0 to 1.
    #[must_use]
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let wait = match self {
            Self::Constant(wait) => *wait,
            Self::Exponential(exponential) => exponential.wait(failures, random),
        };
        wait.clamp(MIN_WAIT, MAX_WAIT)
    }

    /// The longest pause, without its random part.
    #[must_use]
    pub fn longest(&self) -> Duration {
        match self {
            Self::Constant(wait) => *wait,
            Self::Exponential(exponential) => exponential.max,
        }
        .clamp(MIN_WAIT, MAX_WAIT)
    }

    const fn max_elapsed(&self) -> Option<Duration> {
        match self {
            Self::Constant(_) => None,
            Self::Exponential(exponential) => exponential.max_elapsed,
        }
    }
}

impl Exponential {
    fn wait(&self, failures: u32, random: f64) -> Duration {
        let growth = self.multiplier.powi(i32::try_from(failures).unwrap_or(i32::MAX));
        let interval = (self.initial.as_secs_f64() * growth).min(self.max.as_secs_f64());
        let factor = self.randomization.mul_add(random.mul_add(2.0, -1.0), 1.0);
        let seconds = (interval * factor).clamp(0.0, MAX_WAIT.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

impl Retry {
    /// The pause before the next attempt of a call, or `None` if it is not repeated: `retries` were made, and `elapsed`
    /// has passed since the first attempt. The pause is at least `at_least`, as the service requested, up to 5 minutes.
    #[must_use]
    pub fn next(&self, retries: u32, elapsed: Duration, at_least: Duration, random: f64) -> Option<Duration> {
        if self.max_retries.is_some_and(|max| retries >= max) || at_least > MAX_REQUESTED_WAIT {
            return None;
        }
        let wait = self.schedule.wait(retries, random).max(at_least);
        let is_in_time = self.schedule.max_elapsed().is_none_or(|max| elapsed.saturating_add(wait) <= max);
        is_in_time.then_some(wait)
    }
}

impl RedeliveryPolicy for Retry {
    /// Beyond `maxRetries` the event goes on being delivered after the longest pause: it is never dropped.
    fn wait(&self, failures: u32, random: f64) -> Duration {
        if self.max_retries.is_some_and(|max| failures >= max) {
            self.schedule.longest()
        } else {
            self.schedule.wait(failures, random)
        }
    }

    fn max_attempts(&self) -> Option<u32> {
        self.max_retries.map(|max| max.saturating_add(1))
    }

    fn is_retried(&self, status: u16) -> bool {
        self.http_statuses.contains(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn retry(schedule: Schedule, max_retries: Option<u32>) -> Retry {
        Retry { schedule, max_retries, http_statuses: StatusRanges::default() }
    }

    #[test]
    fn retries_end_with_their_number_or_their_time() {
        let constant = retry(Schedule::Constant(SECOND), Some(2));
        let next = |retries, elapsed| constant.next(retries, elapsed, Duration::ZERO, 0.0);
        assert_eq!((next(0, SECOND), next(1, 1_000 * SECOND), next(2, SECOND)), (Some(SECOND), Some(SECOND), None));
        assert_eq!(retry(Schedule::Constant(SECOND), Some(0)).next(0, SECOND, SECOND, 0.0), None);
        let endless = retry(Schedule::Exponential(Exponential { randomization: 0.0, ..Exponential::default() }), None);
        let next = |retries, elapsed| endless.next(retries, elapsed, Duration::ZERO, 0.7);
        assert_eq!((next(0, SECOND), next(1, SECOND)), (Some(SECOND / 2), Some(SECOND * 3 / 4)));
        assert_eq!((next(60, 840 * SECOND), next(60, 841 * SECOND)), (Some(60 * SECOND), None));
    }

    #[test]
    fn a_pause_that_the_service_requests_is_kept_unless_it_is_very_long() {
        let constant = retry(Schedule::Constant(2 * SECOND), None);
        let next = |at_least| constant.next(0, SECOND, at_least, 0.0);
        assert_eq!((next(SECOND), next(7 * SECOND)), (Some(2 * SECOND), Some(7 * SECOND)));
        assert_eq!((next(300 * SECOND), next(301 * SECOND), next(Duration::MAX)), (Some(300 * SECOND), None, None));
    }

    #[test]
    fn an_event_goes_on_being_delivered_after_the_longest_pause() {
        let exponential = Exponential { randomization: 0.0, max: 3 * SECOND, ..Exponential::default() };
        let policy = retry(Schedule::Exponential(exponential), Some(2));
        let waits: Vec<Duration> = (0..4).map(|failures| RedeliveryPolicy::wait(&policy, failures, 0.5)).collect();
        assert_eq!(waits, [SECOND / 2, SECOND * 3 / 4, 3 * SECOND, 3 * SECOND]);
        assert_eq!(policy.max_attempts(), Some(3));
        assert_eq!(retry(Schedule::Constant(SECOND), None).max_attempts(), None);
    }

    proptest! {
        #[test]
        fn pauses_stay_near_their_interval_and_never_vanish(
            initial in 0_u64..100_000, max in 0_u64..1_000_000, multiplier in 1.0_f64..20.0, randomization in 0.0_f64..=1.0,
            failures: u32, random in 0.0_f64..=1.0,
        ) {
            let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(max));
            let schedule = Schedule::Exponential(Exponential { initial, randomization, multiplier, max, max_elapsed: None });
            let wait = schedule.wait(failures, random);
            prop_assert!(wait >= MIN_WAIT && wait <= (max * 2).max(MIN_WAIT), "{:?}", wait);
            prop_assert!(schedule.longest() >= MIN_WAIT);
        }

        #[test]
        fn pauses_grow_with_the_failures(failures in 0_u32..100, random in 0.0_f64..=1.0) {
            let schedule = Schedule::Exponential(Exponential::default());
            prop_assert!(schedule.wait(failures, random) <= schedule.wait(failures + 1, random));
        }
    }
}

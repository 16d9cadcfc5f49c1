//! When a shard may be subscribed to next. Pure: the caller passes the time. It outlives the sources of the shard, because
//! Kinesis counts from the last subscription, no matter which process made it.

use super::retries::LastingErrors;
use crate::domain::FailureKind;
use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

const THROTTLED: Backoff = Backoff::millis(1_000, 60_000);
/// By how much a wait after a refused subscription may exceed the minimum: 5 to 8 s.
const SPREAD: f64 = 0.6;
/// After so many refusals in a row the caller checks that it still holds the lease.
const REFUSALS_UNTIL_CHECK: u32 = 3;

#[derive(Debug)]
pub(crate) struct SubscriptionPace {
    /// The minimum time between two subscriptions.
    min_interval: Duration,
    not_before: Instant,
    last_success: Option<Instant>,
    /// Subscriptions refused in a row with `ResourceInUseException`.
    refusals: u32,
    throttles: Waits,
    lasting: LastingErrors,
}

impl SubscriptionPace {
    pub(crate) fn new(min_interval: Duration, now: Instant) -> Self {
        Self {
            min_interval,
            not_before: now,
            last_success: None,
            refusals: 0,
            throttles: THROTTLED.waits(fastrand::u64(..)),
            lasting: LastingErrors::default(),
        }
    }

    pub(crate) const fn not_before(&self) -> Instant {
        self.not_before
    }

    pub(crate) fn subscribed(&mut self, now: Instant) {
        self.last_success = Some(now);
        self.not_before = now + self.min_interval;
    }

    /// An event arrived, so the subscription works.
    pub(crate) const fn received(&mut self) {
        self.refusals = 0;
        self.throttles.reset();
        self.lasting.reset();
    }

    /// Another subscription to the shard is open, or Kinesis still counts our last one. Returns whether the caller should
    /// check its lease. `random` is from 0 to 1.
    pub(crate) fn refused(&mut self, now: Instant, random: f64) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.wait(now, self.min_interval.mul_f64(1.0 + SPREAD * random.clamp(0.0, 1.0)));
        self.refusals.is_multiple_of(REFUSALS_UNTIL_CHECK)
    }

    /// Returns whether subscriptions are throttled for long.
    pub(crate) fn throttled(&mut self, now: Instant) -> bool {
        let wait = self.throttles.next_wait();
        self.wait(now, wait);
        self.throttles.taken() > REFUSALS_UNTIL_CHECK
    }

    /// After any other failure. An error that lasts delays the next source of the shard too.
    pub(crate) fn failed(&mut self, kind: FailureKind, retry_in: Option<Duration>, now: Instant) {
        let lasting = self.lasting.next_wait(kind, fastrand::f64());
        self.wait(now, retry_in.into_iter().chain(lasting).max().unwrap_or_default());
    }

    fn wait(&mut self, now: Instant, wait: Duration) {
        let earliest = self.last_success.map_or(now, |success| success + self.min_interval);
        self.not_before = earliest.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> (SubscriptionPace, Instant) {
        let now = Instant::now();
        (SubscriptionPace::new(Duration::from_secs(5), now), now)
    }

    #[test]
    fn five_seconds_pass_between_a_success_and_the_next_attempt() {
        let (mut pace, now) = pace();
        assert_eq!(pace.not_before(), now);
        pace.subscribed(now);
        pace.failed(FailureKind::Transient, Some(Duration::from_millis(200)), now);
        assert_eq!(pace.not_before(), now + Duration::from_secs(5));
    }

    #[test]
    fn a_refused_subscription_is_tried_again_after_five_to_eight_seconds() {
        let (mut pace, now) = pace();
        for (random, expected) in [(0.0, 5), (1.0, 8), (0.0, 5), (1.0, 8)] {
            pace.refused(now, random);
            assert_eq!(pace.not_before() - now, Duration::from_secs(expected));
        }
    }

    #[test]
    fn every_third_refusal_in_a_row_needs_a_look_at_the_lease() {
        let (mut pace, now) = pace();
        let refused = |pace: &mut SubscriptionPace| pace.refused(now, 0.5);
        let checks: Vec<bool> = (0..6).map(|_| refused(&mut pace)).collect();
        assert_eq!(checks, [false, false, true, false, false, true]);
        refused(&mut pace);
        pace.received();
        assert!(!refused(&mut pace) && !refused(&mut pace) && refused(&mut pace));
    }

    #[test]
    fn throttles_are_retried_without_end_with_growing_pauses() {
        let (mut pace, now) = pace();
        let mut wait = || {
            pace.throttled(now);
            pace.not_before() - now
        };
        let first: Duration = (0..4).map(|_| wait()).sum();
        assert!(first <= Duration::from_secs(1 + 2 + 4 + 8));
        let later: Duration = (0..40).map(|_| wait()).sum();
        assert!(later / 40 >= Duration::from_secs(10), "{later:?}");
    }

    #[test]
    fn a_denied_subscription_is_not_tried_again_at_once_by_the_next_source() {
        let (mut pace, now) = pace();
        for _ in 0..9 {
            pace.failed(FailureKind::Denied, None, now);
        }
        assert!(pace.not_before() >= now + Duration::from_secs(30));
    }
}

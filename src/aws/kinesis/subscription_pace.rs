//! When a shard may be subscribed to next. Pure: the caller passes the time. It outlives the sources of the shard, because
//! Kinesis counts from the last subscription, no matter which process made it.

use super::retries::LastingErrors;
use crate::domain::{FailureKind, Outcome};
use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

const THROTTLED: Backoff = Backoff::millis(1_000, 60_000);
/// How often a refused subscription is tried within the minimum interval: each half second. Kinesis allows five calls in a
/// second.
const TRIES_PER_INTERVAL: u32 = 10;
/// By how much a wait after lasting refusals may exceed the minimum interval: 5 to 8 s.
const SPREAD: f64 = 0.6;
/// More throttled subscriptions in a row than these last.
const FEW_THROTTLES: u32 = 3;

#[derive(Debug)]
pub(crate) struct SubscriptionPace {
    /// The minimum time between two subscriptions.
    min_interval: Duration,
    not_before: Instant,
    last_success: Option<Instant>,
    /// When the first of the subscriptions was refused that were refused in a row with `ResourceInUseException`.
    refused_since: Option<Instant>,
    throttles: Waits,
    lasting: LastingErrors,
}

impl SubscriptionPace {
    pub(crate) fn new(min_interval: Duration, now: Instant) -> Self {
        Self {
            min_interval,
            not_before: now,
            last_success: None,
            refused_since: None,
            throttles: THROTTLED.waits(fastrand::u64(..)),
            lasting: LastingErrors::default(),
        }
    }

    pub(crate) const fn not_before(&self) -> Instant {
        self.not_before
    }

    pub(crate) fn subscribed(&mut self, now: Instant) {
        self.refused_since = None;
        self.last_success = Some(now);
        self.not_before = now + self.min_interval;
    }

    /// An event arrived, so the subscription works.
    pub(crate) const fn received(&mut self) {
        self.throttles.reset();
        self.lasting.reset();
    }

    /// Kinesis still counts an earlier subscription to the shard: that of the last owner of the lease, or one of ours whose
    /// response was lost. It does so for the minimum interval, so the next tries follow soon. If it refuses for longer,
    /// another process subscribes too. Returns whether the caller should check its lease then. `random` is from 0 to 1.
    pub(crate) fn refused(&mut self, now: Instant, random: f64) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        let is_lasting = now >= since + self.min_interval;
        let wait = if is_lasting { self.min_interval } else { self.min_interval / TRIES_PER_INTERVAL };
        self.wait(now, wait.mul_f64(1.0 + SPREAD * random.clamp(0.0, 1.0)));
        is_lasting
    }

    /// Returns whether subscriptions are throttled for long.
    pub(crate) fn throttled(&mut self, now: Instant) -> bool {
        let wait = self.throttles.next_wait();
        self.wait(now, wait);
        self.throttles.taken() > FEW_THROTTLES
    }

    /// After any other failure. An error that lasts delays the next source of the shard too.
    pub(crate) fn failed(&mut self, (kind, outcome): (FailureKind, Outcome), retry_in: Option<Duration>, now: Instant) {
        if outcome == Outcome::Unknown {
            // Kinesis may have accepted this subscription, and then refuses the next one because of it.
            self.refused_since = None;
        }
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
        pace.failed((FailureKind::Transient, Outcome::Unknown), Some(Duration::from_millis(200)), now);
        assert_eq!(pace.not_before(), now + Duration::from_secs(5));
    }

    /// When the tries follow that Kinesis refuses until `free` has passed, and which of them ask for a check of the lease.
    fn refusals(random: f64, free: Duration) -> Vec<(u64, bool)> {
        let (mut pace, begun) = pace();
        let (mut now, mut tries) = (begun, Vec::new());
        while now < begun + free {
            let is_lasting = pace.refused(now, random);
            now = pace.not_before();
            tries.push((u64::try_from((now - begun).as_millis()).unwrap(), is_lasting));
        }
        tries
    }

    #[test]
    fn a_shard_that_the_last_owner_subscribed_to_is_subscribed_to_soon_after_five_seconds() {
        for free in [1_u64, 501, 2_500, 4_999] {
            for random in [0.0, 0.5, 1.0] {
                let tries = refusals(random, Duration::from_millis(free));
                let (last, _) = *tries.last().unwrap();
                assert!(last < free + 800 && tries.iter().all(|(_, check)| !check), "{free} {random}: {tries:?}");
            }
        }
    }

    #[test]
    fn refusals_of_more_than_five_seconds_are_tried_again_after_five_to_eight_seconds_with_a_look_at_the_lease() {
        for (random, pause) in [(0.0, 5_000), (1.0, 8_000)] {
            let tries = refusals(random, Duration::from_secs(60));
            let lasting: Vec<u64> = tries.iter().filter(|(_, check)| *check).map(|(at, _)| *at).collect();
            let pauses: Vec<u64> = lasting.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(pauses.len() > 4 && pauses.iter().all(|found| *found == pause), "{tries:?}");
        }
    }

    #[test]
    fn a_subscription_that_was_or_may_have_been_accepted_ends_a_row_of_refusals() {
        let accepted: fn(&mut SubscriptionPace, Instant) = |pace, now| pace.subscribed(now);
        let lost: fn(&mut SubscriptionPace, Instant) =
            |pace, now| pace.failed((FailureKind::TimedOut, Outcome::Unknown), None, now);
        let not_done: fn(&mut SubscriptionPace, Instant) =
            |pace, now| pace.failed((FailureKind::Transient, Outcome::NotDone), None, now);
        for (between, ends) in [(accepted, true), (lost, true), (not_done, false)] {
            let (mut pace, now) = pace();
            pace.refused(now, 0.5);
            between(&mut pace, now + Duration::from_secs(3));
            assert_eq!(pace.refused(now + Duration::from_secs(6), 0.5), !ends);
            assert!(pace.refused(now + Duration::from_secs(11), 0.5));
        }
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
            pace.failed((FailureKind::Denied, Outcome::NotDone), None, now);
        }
        assert!(pace.not_before() >= now + Duration::from_secs(30));
    }
}

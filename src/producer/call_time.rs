//! Estimates how long calls take, so that a record is only accepted if its call can end before its deadline. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// A record is sent later than its slot by the resolution of the timer, and by the linger.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// A smoothed mean and mean deviation, as TCP estimates its round trip (RFC 6298, section 2).
#[derive(Debug)]
pub(super) struct CallTime {
    slack: Duration,
    mean: Duration,
    deviation: Duration,
    is_known: bool,
}

impl CallTime {
    pub(super) fn new(linger: Duration) -> Self {
        let slack = TIMER_SLACK.saturating_add(linger);
        Self { slack, mean: Duration::ZERO, deviation: Duration::ZERO, is_known: false }
    }

    /// Counts a call, however it ended.
    pub(super) fn observe(&mut self, took: Duration) {
        if !self.is_known {
            (self.mean, self.deviation, self.is_known) = (took, took / 2, true);
            return;
        }
        self.deviation = (self.deviation * 3 + self.mean.abs_diff(took)) / 4;
        self.mean = (self.mean * 7 + took) / 8;
    }

    /// A record may be accepted if its token comes before this: nearly every call that begins then ends before the
    /// deadline.
    pub(super) fn accept_by(&self, now: Instant, deadline: Instant) -> Instant {
        before(deadline, self.mean + (self.deviation * 4).max(self.slack), now)
    }

    /// When a call must begin to end before the deadline, if it takes the mean time.
    pub(super) fn begin_by(&self, now: Instant, deadline: Instant) -> Instant {
        before(deadline, self.mean, now)
    }
}

/// The margin is at most half of the remaining time, so that slow calls never exclude all records: only further calls can
/// show that calls are fast again.
fn before(deadline: Instant, margin: Duration, now: Instant) -> Instant {
    deadline - margin.min(deadline.saturating_duration_since(now) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LINGER: Duration = Duration::from_millis(5);

    #[test]
    fn calls_of_equal_length_leave_exactly_that_time_before_the_deadline() {
        let (now, mut calls) = (Instant::now(), CallTime::new(LINGER));
        let deadline = now + SECOND;
        assert_eq!(calls.begin_by(now, deadline), deadline, "nothing is known");
        (0..100).for_each(|_| calls.observe(SECOND / 10));
        assert_eq!(calls.begin_by(now, deadline), deadline - SECOND / 10);
        assert_eq!(calls.accept_by(now, deadline), deadline - SECOND / 10 - TIMER_SLACK - LINGER);
    }

    #[test]
    fn calls_of_different_lengths_leave_time_for_the_long_ones() {
        let (now, mut calls) = (Instant::now(), CallTime::new(LINGER));
        (0..100).for_each(|turn| calls.observe(SECOND / if turn % 4 == 0 { 10 } else { 100 }));
        assert!(calls.accept_by(now, now + SECOND) <= now + SECOND * 9 / 10);
    }

    proptest! {
        #[test]
        fn at_least_half_of_the_time_may_pass_and_no_call_begins_after_the_deadline(
            times in prop::collection::vec(0_u64..100_000, 0..50), left in 0_u64..100_000
        ) {
            let (now, mut calls) = (Instant::now(), CallTime::new(LINGER));
            times.into_iter().for_each(|millis| calls.observe(Duration::from_millis(millis)));
            let left = Duration::from_millis(left);
            let (accept, begin) = (calls.accept_by(now, now + left), calls.begin_by(now, now + left));
            prop_assert!(now + left / 2 <= accept && accept <= begin && begin <= now + left);
        }
    }
}

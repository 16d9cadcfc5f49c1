//! How long calls take, so that no record is promised a place from which no call can end in time. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// A record leaves later than its turn by the coarseness of the timer, and by the wait for company.
const LATENESS: Duration = Duration::from_millis(5);

/// A mean and a mean deviation that follow what is seen, as TCP estimates its round trip (RFC 6298, section 2).
#[derive(Debug)]
pub(super) struct CallTime {
    lateness: Duration,
    mean: Duration,
    deviation: Duration,
    is_known: bool,
}

impl CallTime {
    /// Nothing is known yet. `company` is how long a record may wait for others.
    pub(super) fn unknown(company: Duration) -> Self {
        let lateness = LATENESS.saturating_add(company);
        Self { lateness, mean: Duration::ZERO, deviation: Duration::ZERO, is_known: false }
    }

    /// A call took so long, however it ended.
    pub(super) fn saw(&mut self, took: Duration) {
        if !self.is_known {
            (self.mean, self.deviation, self.is_known) = (took, took / 2, true);
            return;
        }
        self.deviation = (self.deviation * 3 + self.mean.abs_diff(took)) / 4;
        self.mean = (self.mean * 7 + took) / 8;
    }

    /// Until when a record may be told to wait: nearly every call that begins then ends before the deadline.
    pub(super) fn promise_by(&self, now: Instant, deadline: Instant) -> Instant {
        before(deadline, self.mean + (self.deviation * 4).max(self.lateness), now)
    }

    /// When a call must begin to end before the deadline, if it takes as long as calls do.
    pub(super) fn begin_by(&self, now: Instant, deadline: Instant) -> Instant {
        before(deadline, self.mean, now)
    }
}

/// At least half of the time that is left may pass, so that slow calls never shut everybody out: only calls can tell
/// that they are fast again.
fn before(deadline: Instant, spare: Duration, now: Instant) -> Instant {
    deadline - spare.min(deadline.saturating_duration_since(now) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const COMPANY: Duration = Duration::from_millis(5);

    #[test]
    fn calls_that_take_the_same_time_leave_just_that_time() {
        let (now, mut calls) = (Instant::now(), CallTime::unknown(COMPANY));
        let deadline = now + SECOND;
        assert_eq!(calls.begin_by(now, deadline), deadline, "nothing is known");
        (0..100).for_each(|_| calls.saw(SECOND / 10));
        assert_eq!(calls.begin_by(now, deadline), deadline - SECOND / 10);
        assert_eq!(calls.promise_by(now, deadline), deadline - SECOND / 10 - LATENESS - COMPANY);
    }

    #[test]
    fn calls_of_many_lengths_leave_time_for_the_long_ones() {
        let (now, mut calls) = (Instant::now(), CallTime::unknown(COMPANY));
        (0..100).for_each(|turn| calls.saw(SECOND / if turn % 4 == 0 { 10 } else { 100 }));
        assert!(calls.promise_by(now, now + SECOND) <= now + SECOND * 9 / 10);
    }

    proptest! {
        #[test]
        fn nobody_is_shut_out_and_nobody_begins_after_the_deadline(
            times in prop::collection::vec(0_u64..100_000, 0..50), left in 0_u64..100_000
        ) {
            let (now, mut calls) = (Instant::now(), CallTime::unknown(COMPANY));
            times.into_iter().for_each(|millis| calls.saw(Duration::from_millis(millis)));
            let left = Duration::from_millis(left);
            let (promise, begin) = (calls.promise_by(now, now + left), calls.begin_by(now, now + left));
            prop_assert!(now + left / 2 <= promise && promise <= begin && begin <= now + left);
        }
    }
}

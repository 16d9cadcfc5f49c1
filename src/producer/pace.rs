//! The part of a shard's rate that is used, which a throttle cuts and time brings back. Exact: whole numbers only.

use std::time::Duration;
use tokio::time::Instant;

/// A throttle of the same flush counts once.
const ONE_FLUSH: Duration = Duration::from_millis(100);

/// A factor that rises steadily after each cut, from the floor to the whole in 19 s (5 % of the whole a second).
#[derive(Debug)]
pub(super) struct Pace {
    /// In parts of [`Pace::FULL`].
    factor: u64,
    as_of: Instant,
    cut_at: Option<Instant>,
}

impl Pace {
    /// The whole: as many parts as nanoseconds lie in 20 s, so that the factor rises by one part a nanosecond.
    pub(super) const FULL: u64 = 20_000_000_000;
    const FLOOR: u64 = Self::FULL / 20;

    /// The whole rate.
    pub(super) const fn whole(now: Instant) -> Self {
        Self { factor: Self::FULL, as_of: now, cut_at: None }
    }

    /// The part in use at a moment, 0.05 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share for a gauge")]
    pub(super) fn share(&self, at: Instant) -> f64 {
        self.at(at) as f64 / Self::FULL as f64
    }

    /// What flows at a rate of one between two moments: twice the nanoseconds, each counted in parts of the whole.
    /// Twice, because a triangle is half a square.
    pub(super) fn flow(&self, from: Instant, to: Instant) -> u128 {
        let time = to.saturating_duration_since(from).as_nanos();
        let factor = u128::from(self.at(from));
        let rising = time.min(u128::from(Self::FULL) - factor);
        rising * (2 * factor + rising) + (time - rising) * 2 * u128::from(Self::FULL)
    }

    /// How long it takes, from a moment on, until so much has flown; the inverse of [`Pace::flow`], rounded up.
    pub(super) fn time_for(&self, from: Instant, flow: u128) -> Duration {
        let (factor, full) = (u128::from(self.at(from)), u128::from(Self::FULL));
        let rising = full - factor;
        let while_rising = rising * (2 * factor + rising);
        let nanos = if flow >= while_rising {
            rising + (flow - while_rising).div_ceil(2 * full)
        } else {
            // time² + 2 × factor × time = flow
            let square = factor * factor + flow;
            let root = square.isqrt();
            let root = if root * root < square { root + 1 } else { root };
            root - factor
        };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Cuts the rate to 70 %, not below the floor; whether it did, since cuts of one flush count once.
    pub(super) fn cut(&mut self, now: Instant) -> bool {
        if self.cut_at.is_some_and(|last| now < last + ONE_FLUSH) {
            return false;
        }
        self.factor = (self.at(now) / 10 * 7).max(Self::FLOOR);
        (self.as_of, self.cut_at) = (now, Some(now));
        true
    }

    fn at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.as_of).as_nanos();
        self.factor.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)).min(Self::FULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_heals_at_five_percent_a_second_and_never_goes_below_the_floor() {
        let begun = Instant::now();
        let mut pace = Pace::whole(begun);
        assert!(pace.cut(begun));
        assert!(!pace.cut(begun + Duration::from_millis(99)), "the same flush");
        let close = |at: Duration, expected: f64| (pace.share(begun + at) - expected).abs() < 1e-9;
        assert!(close(Duration::ZERO, 0.7) && close(Duration::from_secs(2), 0.8) && close(Duration::from_secs(9), 1.0));
        for step in 1..100 {
            assert!(pace.cut(begun + ONE_FLUSH * step));
        }
        let last = begun + ONE_FLUSH * 99;
        assert!((0.05..0.06).contains(&pace.share(last)), "{}", pace.share(last));
    }

    proptest! {
        #[test]
        fn the_time_for_a_flow_is_the_least_that_brings_it(cuts in 0_u32..20, wait in 0_u64..30_000, flow in 0_u128..1 << 80) {
            let begun = Instant::now();
            let mut pace = Pace::whole(begun);
            for cut in 0..cuts {
                prop_assert!(pace.cut(begun + ONE_FLUSH * cut));
            }
            let from = begun + ONE_FLUSH * cuts + Duration::from_millis(wait);
            let time = pace.time_for(from, flow);
            prop_assert!(pace.flow(from, from + time) >= flow);
            if let Some(less) = time.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(pace.flow(from, from + less) < flow);
            }
        }

        #[test]
        fn flows_add_up(cuts in 0_u32..20, first in 0_u64..40_000_000_000, second in 0_u64..40_000_000_000) {
            let begun = Instant::now();
            let mut pace = Pace::whole(begun);
            for cut in 0..cuts {
                prop_assert!(pace.cut(begun + ONE_FLUSH * cut));
            }
            let from = begun + ONE_FLUSH * cuts;
            let middle = from + Duration::from_nanos(first);
            let end = middle + Duration::from_nanos(second);
            prop_assert_eq!(pace.flow(from, middle) + pace.flow(middle, end), pace.flow(from, end));
        }
    }
}

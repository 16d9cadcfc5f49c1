//! Exponential backoff with jitter from a seed.

use std::time::Duration;

/// Exponential backoff with full jitter: the n-th wait is uniform between 0 and `first × 2ⁿ`, at most `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a backoff needs a first wait above zero and a cap that is not below it")]
pub struct InvalidBackoff;

impl Backoff {
    /// # Errors
    /// When `first` is zero or `cap` is below `first`.
    pub const fn try_new(first: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        if first.is_zero() || cap.as_nanos() < first.as_nanos() {
            return Err(InvalidBackoff);
        }
        Ok(Self { first, cap })
    }

    /// For constants, in milliseconds. Values that are too small are raised to the smallest valid ones.
    #[must_use]
    pub const fn millis(first: u64, cap: u64) -> Self {
        let first = if first == 0 { 1 } else { first };
        let cap = if cap < first { first } else { cap };
        Self { first: Duration::from_millis(first), cap: Duration::from_millis(cap) }
    }

    /// The upper bound of the n-th wait, counted from 0.
    #[must_use]
    pub fn bound(&self, number: u32) -> Duration {
        let factor = 1_u32.checked_shl(number.min(31)).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).map_or(self.cap, |wait| wait.min(self.cap))
    }

    #[must_use]
    pub fn waits(self, seed: u64) -> Waits {
        Waits { policy: self, number: 0, random: fastrand::Rng::with_seed(seed) }
    }
}

/// An endless sequence of waits that can be reset.
#[derive(Debug, Clone)]
pub struct Waits {
    policy: Backoff,
    number: u32,
    random: fastrand::Rng,
}

impl Waits {
    /// The next wait; at least a millisecond, so that no loop runs without pause.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.policy.bound(self.number);
        self.number = self.number.saturating_add(1);
        bound.mul_f64(self.random.f64()).max(Duration::from_millis(1))
    }

    /// As `next_wait`, but at least half of its bound, so that repeated waits really grow.
    pub fn next_growing_wait(&mut self) -> Duration {
        let half = self.policy.bound(self.number) / 2;
        half + self.next_wait() / 2
    }

    /// Starts again with the first wait, after a success.
    pub const fn reset(&mut self) {
        self.number = 0;
    }

    /// How many waits were used since the last reset.
    #[must_use]
    pub const fn taken(&self) -> u32 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_values_are_refused() {
        assert_eq!(Backoff::try_new(Duration::ZERO, Duration::from_secs(1)), Err(InvalidBackoff));
        assert_eq!(Backoff::try_new(Duration::from_secs(2), Duration::from_secs(1)), Err(InvalidBackoff));
    }

    proptest! {
        #[test]
        fn waits_stay_below_their_bound_and_the_cap(seed: u64, first in 1_u64..10_000, more in 0_u64..100_000) {
            let policy = Backoff::millis(first, first + more);
            let mut waits = policy.waits(seed);
            for number in 0..40 {
                let wait = waits.next_wait();
                prop_assert!(wait <= policy.bound(number).max(Duration::from_millis(1)));
                prop_assert!(policy.bound(number) <= Duration::from_millis(first + more));
            }
        }

        #[test]
        fn growing_waits_lie_in_the_upper_half_of_their_bound(seed: u64, first in 2_u64..10_000, more in 0_u64..100_000) {
            let policy = Backoff::millis(first, first + more);
            let mut waits = policy.waits(seed);
            for number in 0..40 {
                let wait = waits.next_growing_wait();
                prop_assert!(policy.bound(number) / 2 <= wait && wait <= policy.bound(number));
            }
        }
    }
}

//! How much repetition a component affords itself, so that a fault of the service is not met with more load.

use std::time::Duration;
use tokio::time::Instant;

/// Repetitions allowed beside a share of first attempts.
const PER_SECOND: f64 = 10.0;
/// Repetitions allowed for each attempt.
const SHARE: f64 = 0.2;

/// A bucket of repetitions: 10 a second, and one for every five attempts, up to a store for bursts.
///
/// It delays instead of refusing: whoever asks learns when the repetition may be made, and gives up only if that is
/// too late. What is asked for and then not made must be given back.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    store: f64,
    left: f64,
    filled: Instant,
}

impl RetryBudget {
    /// A full bucket; `store` repetitions may be made in one burst.
    #[must_use]
    pub fn full(store: u32, now: Instant) -> Self {
        Self { store: f64::from(store), left: f64::from(store), filled: now }
    }

    /// Counts an attempt, which earns a share of a repetition.
    pub fn attempted(&mut self, now: Instant) {
        self.fill(now);
        self.left = (self.left + SHARE).min(self.store);
    }

    /// Takes a repetition and tells how long it must wait at least.
    pub fn take(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.left -= 1.0;
        if self.left >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.left / PER_SECOND) }
    }

    /// Gives back a repetition that is not made.
    pub fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.store);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        self.left = passed.as_secs_f64().mul_add(PER_SECOND, self.left).min(self.store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test(start_paused = true)]
    async fn an_empty_bucket_delays_by_its_rate() {
        let now = Instant::now();
        let mut budget = RetryBudget::full(1, now);
        assert_eq!(budget.take(now), Duration::ZERO);
        assert_eq!(budget.take(now), Duration::from_millis(100));
        assert_eq!(budget.take(now), Duration::from_millis(200));
        budget.give_back();
        assert_eq!(budget.take(now), Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn five_attempts_earn_a_repetition() {
        let now = Instant::now();
        let mut budget = RetryBudget::full(1, now);
        budget.take(now);
        for _ in 0..5 {
            budget.attempted(now);
        }
        assert!(budget.take(now) < Duration::from_millis(1));
    }

    proptest! {
        #[test]
        fn repetitions_stay_below_their_share(steps in prop::collection::vec((0_u64..200, 0_u8..4), 1..300)) {
            let begun = Instant::now();
            let (mut now, mut attempts, mut made) = (begun, 0.0, 0.0);
            let mut budget = RetryBudget::full(5, now);
            for (wait, tried) in steps {
                now += Duration::from_millis(wait);
                for _ in 0..tried {
                    budget.attempted(now);
                    attempts += 1.0;
                }
                if budget.take(now).is_zero() {
                    made += 1.0;
                } else {
                    budget.give_back();
                }
                let most = SHARE * attempts + PER_SECOND * (now - begun).as_secs_f64() + 5.0;
                prop_assert!(made <= most + 1e-6, "{} of {}", made, most);
            }
        }
    }
}

//! Limits the retries of one component, so that a failing service does not get more load.

use std::time::Duration;
use tokio::time::Instant;

/// Retries per second that are always allowed.
const PER_SECOND: f64 = 10.0;
/// Retries allowed for each attempt.
const SHARE: f64 = 0.2;

/// A token bucket of retries: 10 per second and one for every five attempts, up to a capacity for bursts.
///
/// It delays instead of refusing: the caller gets the wait before its retry, and gives up only if that is too long. A
/// token that is not used must be returned with [`RetryBudget::give_back`].
#[derive(Debug, Clone)]
pub struct RetryBudget {
    capacity: f64,
    tokens: f64,
    filled: Instant,
}

impl RetryBudget {
    /// A full bucket; `capacity` retries may be made in one burst.
    #[must_use]
    pub fn full(capacity: u32, now: Instant) -> Self {
        Self { capacity: f64::from(capacity), tokens: f64::from(capacity), filled: now }
    }

    /// Counts an attempt, which adds a part of a token.
    pub fn attempted(&mut self, now: Instant) {
        self.fill(now);
        self.tokens = (self.tokens + SHARE).min(self.capacity);
    }

    /// Takes a token for one retry and returns how long the retry must wait at least.
    pub fn take(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / PER_SECOND) }
    }

    /// Gives back the token of a retry that is not made.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.capacity);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        self.tokens = passed.as_secs_f64().mul_add(PER_SECOND, self.tokens).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test(start_paused = true)]
    async fn an_empty_bucket_delays_at_its_rate() {
        let now = Instant::now();
        let mut budget = RetryBudget::full(1, now);
        assert_eq!(budget.take(now), Duration::ZERO);
        assert_eq!(budget.take(now), Duration::from_millis(100));
        assert_eq!(budget.take(now), Duration::from_millis(200));
        budget.give_back();
        assert_eq!(budget.take(now), Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn five_attempts_allow_one_retry() {
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
        fn retries_stay_below_their_share(steps in prop::collection::vec((0_u64..200, 0_u8..4), 1..300)) {
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
                let max = SHARE * attempts + PER_SECOND * (now - begun).as_secs_f64() + 5.0;
                prop_assert!(made <= max + 1e-6, "{} of {}", made, max);
            }
        }
    }
}

//! How fast records leave, so that those who are turned away can be told when to come back. Pure.

use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_millis(500);

/// Counts what was answered of late.
#[derive(Debug)]
pub(super) struct Throughput {
    since: Instant,
    counted: u64,
    per_second: f64,
}

impl Throughput {
    pub(super) const fn from(now: Instant) -> Self {
        Self { since: now, counted: 0, per_second: 0.0 }
    }

    /// A record was answered.
    pub(super) const fn count(&mut self) {
        self.counted += 1;
    }

    /// The pace in records a second, if a window has just ended. Half of it is that of the windows before.
    pub(super) fn look(&mut self, now: Instant) -> Option<usize> {
        let passed = now.saturating_duration_since(self.since);
        if passed < WINDOW {
            return None;
        }
        let latest = float(self.counted) / passed.as_secs_f64();
        self.per_second = if self.per_second > 0.0 { f64::midpoint(self.per_second, latest) } else { latest };
        (self.since, self.counted) = (now, 0);
        Some(whole(self.per_second))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of half a second are far below 2⁵³")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and small")]
const fn whole(rate: f64) -> usize {
    rate as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pace_follows_what_left_of_late() {
        let begun = Instant::now();
        let mut throughput = Throughput::from(begun);
        (0..500).for_each(|_| throughput.count());
        assert_eq!(throughput.look(begun + WINDOW / 2), None);
        assert_eq!(throughput.look(begun + WINDOW), Some(1_000));
        assert_eq!(throughput.look(begun + 2 * WINDOW), Some(500));
    }
}

//! When a shard may be read again. Pure: the moments come from the caller.

use std::time::Duration;
use tokio::time::Instant;

/// A shard allows five reads a second, shared by all who poll it.
const SHORTEST: Duration = Duration::from_millis(200);
/// Pause after an empty answer; leaves one read a second to others.
const IDLE: Duration = Duration::from_millis(250);
/// A shard gives 2 MiB a second; after a full answer of 10 MiB reads fail for five seconds.
const BYTES_PER_SECOND: f64 = 2_097_152.0;
const LONGEST_PENALTY: Duration = Duration::from_secs(2);

/// Paces the reads of one shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    next_at: Instant,
    penalty: Duration,
}

impl Pace {
    /// The first read may be made now.
    pub(super) const fn new(now: Instant) -> Self {
        Self { next_at: now, penalty: Duration::ZERO }
    }

    /// When the next read may be made.
    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// A read is made now.
    pub(super) fn started(&mut self, now: Instant) {
        self.next_at = now + SHORTEST.max(self.penalty);
    }

    /// The read begun at `started` brought `bytes`; `more` when the shard has more to give.
    pub(super) fn answered(&mut self, started: Instant, bytes: usize, more: bool) {
        self.penalty = self.penalty.mul_f64(0.9);
        if self.penalty < SHORTEST {
            self.penalty = Duration::ZERO;
        }
        let interval = if more { SHORTEST } else { IDLE };
        let spent = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        self.next_at = started + interval.max(spent).max(self.penalty);
    }

    /// The service said that this was too much. `jitter` lies between 0 and 1.
    pub(super) fn throttled(&mut self, now: Instant, jitter: f64) {
        self.penalty = (self.penalty * 2).clamp(2 * SHORTEST, LONGEST_PENALTY);
        self.next_at = now + self.penalty.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    }

    /// Something else went wrong: not before this wait is over.
    pub(super) fn hold(&mut self, now: Instant, wait: Duration) {
        self.next_at = self.next_at.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> (Pace, Instant) {
        let now = Instant::now();
        (Pace::new(now), now)
    }

    fn wait(pace: Pace, since: Instant) -> Duration {
        pace.next_at() - since
    }

    #[test]
    fn never_more_than_five_reads_a_second() {
        let (mut pace, now) = pace();
        assert_eq!(wait(pace, now), Duration::ZERO);
        pace.answered(now, 10, true);
        assert_eq!(wait(pace, now), Duration::from_millis(200));
        pace.answered(now, 0, false);
        assert_eq!(wait(pace, now), Duration::from_millis(250));
    }

    #[test]
    fn a_full_answer_costs_five_seconds() {
        let (mut pace, now) = pace();
        pace.answered(now, 10 * 1024 * 1024, true);
        assert_eq!(wait(pace, now), Duration::from_secs(5));
    }

    #[test]
    fn throttles_double_up_to_two_seconds_and_fade() {
        let (mut pace, now) = pace();
        let waits: Vec<u128> = (0..5)
            .map(|_| {
                pace.throttled(now, 1.0);
                wait(pace, now).as_millis()
            })
            .collect();
        assert_eq!(waits, [400, 800, 1600, 2000, 2000]);
        pace.answered(now, 0, true);
        assert_eq!(wait(pace, now), Duration::from_millis(1800));
        for _ in 0..30 {
            pace.answered(now, 0, true);
        }
        assert_eq!(wait(pace, now), Duration::from_millis(200));
    }
}

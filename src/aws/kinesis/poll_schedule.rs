//! When a shard is polled next. Pure: the caller passes the time.

use std::time::Duration;
use tokio::time::Instant;

/// A shard allows five reads a second, shared by all consumers that poll it.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// After an empty response; leaves one read a second to other consumers.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// A shard delivers 2 MiB a second; after a full response of 10 MiB reads fail for five seconds.
const BYTES_PER_SECOND: f64 = 2_097_152.0;
/// The longest interval after throttles.
const MAX_PENALTY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub(super) struct PollSchedule {
    next_at: Instant,
    penalty: Duration,
}

impl PollSchedule {
    pub(super) const fn new(now: Instant) -> Self {
        Self { next_at: now, penalty: Duration::ZERO }
    }

    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    pub(super) fn read_started(&mut self, now: Instant) {
        self.next_at = now + MIN_INTERVAL.max(self.penalty);
    }

    /// The read that started at `started` returned `bytes`; `more` if the shard has more records.
    pub(super) fn read_completed(&mut self, started: Instant, bytes: usize, more: bool) {
        self.penalty = self.penalty.mul_f64(0.9);
        if self.penalty < MIN_INTERVAL {
            self.penalty = Duration::ZERO;
        }
        let interval = if more { MIN_INTERVAL } else { IDLE_INTERVAL };
        let spent = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        self.next_at = started + interval.max(spent).max(self.penalty);
    }

    /// `jitter` is from 0 to 1.
    pub(super) fn throttled(&mut self, now: Instant, jitter: f64) {
        self.penalty = (self.penalty * 2).clamp(2 * MIN_INTERVAL, MAX_PENALTY);
        self.next_at = now + self.penalty.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    }

    /// Delays the next read at least by this wait.
    pub(super) fn delay(&mut self, now: Instant, wait: Duration) {
        self.next_at = self.next_at.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> (PollSchedule, Instant) {
        let now = Instant::now();
        (PollSchedule::new(now), now)
    }

    fn wait(schedule: PollSchedule, since: Instant) -> Duration {
        schedule.next_at() - since
    }

    #[test]
    fn never_more_than_five_reads_a_second() {
        let (mut schedule, now) = schedule();
        assert_eq!(wait(schedule, now), Duration::ZERO);
        schedule.read_completed(now, 10, true);
        assert_eq!(wait(schedule, now), Duration::from_millis(200));
        schedule.read_completed(now, 0, false);
        assert_eq!(wait(schedule, now), Duration::from_millis(250));
    }

    #[test]
    fn a_full_response_costs_five_seconds() {
        let (mut schedule, now) = schedule();
        schedule.read_completed(now, 10 * 1024 * 1024, true);
        assert_eq!(wait(schedule, now), Duration::from_secs(5));
    }

    #[test]
    fn the_penalty_doubles_up_to_two_seconds_and_fades() {
        let (mut schedule, now) = schedule();
        let waits: Vec<u128> = (0..5)
            .map(|_| {
                schedule.throttled(now, 1.0);
                wait(schedule, now).as_millis()
            })
            .collect();
        assert_eq!(waits, [400, 800, 1600, 2000, 2000]);
        schedule.read_completed(now, 0, true);
        assert_eq!(wait(schedule, now), Duration::from_millis(1800));
        for _ in 0..30 {
            schedule.read_completed(now, 0, true);
        }
        assert_eq!(wait(schedule, now), Duration::from_millis(200));
    }
}

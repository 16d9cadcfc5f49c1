//! When a shard is polled next. Pure: the caller passes the time.
//!
//! Kinesis allows five calls and 2 MiB a second for a shard. Each limit is a token bucket without a burst: a call is due
//! once the calls and bytes before it are paid for. So a response of 10 MiB delays the next call by five seconds, the time
//! in which Kinesis would refuse it.

use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// `pollInterval`, unless the component sets it.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// The allowed values of `pollInterval`. An iterator expires after five minutes.
pub const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(60);

/// A shard allows five calls a second, shared by all consumers that poll it.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// While records flow; leaves one call a second to other consumers.
const FLOW_INTERVAL: Duration = Duration::from_millis(250);
/// How long after the last record the shorter interval lasts.
const FLOW: Duration = Duration::from_secs(5);
/// 2 MiB a second.
const BYTES_PER_SECOND: f64 = 2_097_152.0;
/// The longest interval after throttles.
const MAX_PENALTY: Duration = Duration::from_secs(2);
/// The share of the interval by which polls of an idle shard vary. Shards that were polled together drift apart.
const SPREAD: f64 = 0.1;

/// So many first waits have any length up to the interval, so that the polls of shards that were opened together are spread
/// evenly at once.
const FIRST_WAITS: u8 = 3;

/// What a response says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// More records are waiting.
    Behind,
    /// Records, and none after them.
    Records,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PollSchedule {
    /// `pollInterval`
    interval: Duration,
    next_at: Instant,
    penalty: Duration,
    /// Until when records flow.
    flows_until: Option<Instant>,
    /// How many of the first idle waits are still to come.
    first_waits: u8,
}

impl PollSchedule {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next_at: now, penalty: Duration::ZERO, flows_until: None, first_waits: FIRST_WAITS }
    }

    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Keeps a call that is dropped without a response within the limit.
    pub(super) fn read_started(&mut self, now: Instant) {
        self.next_at = now + MIN_INTERVAL.max(self.penalty);
    }

    /// The call that started at `started` returned `bytes`. `random` is from 0 to 1.
    pub(super) fn read_completed(&mut self, started: Instant, bytes: usize, found: Found, random: f64) {
        self.penalty = self.penalty.mul_f64(0.9);
        if self.penalty < MIN_INTERVAL {
            self.penalty = Duration::ZERO;
        }
        let spent = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let interval = self.interval_after(started, found, random.clamp(0.0, 1.0));
        self.next_at = started + interval.max(spent).max(self.penalty);
    }

    fn interval_after(&mut self, started: Instant, found: Found, random: f64) -> Duration {
        if found != Found::Nothing {
            self.flows_until = Some(started + FLOW);
        }
        if found == Found::Behind {
            return MIN_INTERVAL;
        }
        if self.flows_until.is_some_and(|until| started < until) {
            return FLOW_INTERVAL.min(self.interval);
        }
        let share = if self.first_waits > 0 { 1.0 } else { SPREAD };
        self.first_waits = self.first_waits.saturating_sub(1);
        self.interval.mul_f64(1.0 - share * random).max(MIN_INTERVAL)
    }

    /// `random` is from 0 to 1.
    pub(super) fn throttled(&mut self, now: Instant, random: f64) {
        self.penalty = (self.penalty * 2).clamp(2 * MIN_INTERVAL, MAX_PENALTY);
        self.delay(now, self.penalty.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0)));
    }

    /// Delays the next call at least by this wait.
    pub(super) fn delay(&mut self, now: Instant, wait: Duration) {
        self.next_at = self.next_at.max(now + wait);
    }
}

#[cfg(test)]
#[path = "tests/poll_schedule.rs"]
mod tests;

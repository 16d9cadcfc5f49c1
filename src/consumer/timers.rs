//! Pure timers: each method takes the time as an argument.

use super::mutants::{Mutant, is_broken};
use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

/// When a call may be made again: at a regular interval, or with a backoff after failures. Each kind of call has its own,
/// since a success of one says nothing about another.
#[derive(Debug)]
pub(super) struct BackoffTimer {
    waits: Waits,
    until: Option<Instant>,
}

impl BackoffTimer {
    /// Pauses grow from 200 ms to `max_pause`.
    pub(super) fn new(max_pause: Duration, seed: u64) -> Self {
        let max_millis = u64::try_from(max_pause.as_millis()).unwrap_or(u64::MAX);
        Self { waits: Backoff::millis(200, max_millis).waits(seed), until: None }
    }

    /// When the call may be made again; `None` is at once.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Shortens the pause to end at `moment` at the latest.
    pub(super) fn no_later_than(&mut self, moment: Instant) {
        self.until = self.until.map(|until| until.min(moment));
    }

    /// Extends the pause to end at `moment` at the earliest.
    pub(super) fn not_before(&mut self, moment: Instant) {
        self.until = Some(self.until.map_or(moment, |until| until.max(moment)));
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Begins a pause after a failure, and returns it.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        if is_broken(Mutant::BackoffNeverGrows) {
            self.waits.reset();
        }
        let wait = self.waits.next_wait();
        self.until = Some(now + wait);
        wait
    }

    /// Resets the backoff; the call is not needed again for `wait`.
    pub(super) fn succeeded(&mut self, now: Instant, wait: Duration) {
        self.waits.reset();
        self.until = Some(now + wait);
    }
}

/// The shortest time between scans, at lease durations of 10 s and more.
const MIN_SCAN_PERIOD: Duration = Duration::from_secs(2);
/// How many rows of a large table a worker scans in a second, on average.
const SCANNED_ROWS_PER_SECOND: u32 = 500;

/// The time from one scan of the leases to the next: longer for a large table, since a scan reads all its rows, and a fifth
/// more or less, so that the workers do not all scan at the same time.
pub(super) fn scan_period(rows: usize, lease_duration: Duration, random: &mut fastrand::Rng) -> Duration {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let period = Duration::from_secs(rows.into()) / SCANNED_ROWS_PER_SECOND;
    let shortest = MIN_SCAN_PERIOD.min(lease_duration / 5);
    period.clamp(shortest, lease_duration / 2).mul_f64(0.8 + 0.4 * random.f64())
}

/// When one held lease must be renewed, when progress must be stored, and when the lease must be treated as lost (the
/// fence).
#[derive(Debug)]
pub(super) struct LeaseTimer {
    duration: Duration,
    checkpoint_interval: Duration,
    fence: Instant,
    renew_at: Instant,
    checkpoint_at: Instant,
    retry_at: Option<Instant>,
    waits: Waits,
    random: fastrand::Rng,
}

impl LeaseTimer {
    /// For a lease whose take was sent at `begun`.
    pub(super) fn new(duration: Duration, checkpoint_interval: Duration, begun: Instant, seed: u64) -> Self {
        let max_millis = u64::try_from(duration.as_millis() / 10).unwrap_or(u64::MAX);
        let mut timer = Self {
            duration,
            checkpoint_interval,
            fence: begun,
            renew_at: begun,
            checkpoint_at: begun + checkpoint_interval,
            retry_at: None,
            waits: Backoff::millis(50, max_millis).waits(seed),
            random: fastrand::Rng::with_seed(seed),
        };
        timer.counter_changed(begun);
        timer
    }

    /// A write that was sent at `begun` changed the counter. Other workers saw the change at `begun` or later, and wait for
    /// the whole duration from then on. The fence is a fifth of the duration earlier.
    pub(super) fn counter_changed(&mut self, begun: Instant) {
        self.fence = begun + self.duration - self.duration / 5;
        if is_broken(Mutant::MarginRemoved) {
            self.fence = begun + self.duration;
        }
        if is_broken(Mutant::FenceIgnored) {
            self.fence += self.duration * 10;
        }
        // Up to a tenth earlier, so that the shards of a worker are not all renewed at the same time.
        self.renew_at = begun + (self.duration / 3).mul_f64(1.0 - self.random.f64() / 10.0);
        self.retry_at = None;
        self.waits.reset();
    }

    pub(super) fn checkpointed(&mut self, now: Instant) {
        self.checkpoint_at = now + self.checkpoint_interval;
    }

    /// Begins a pause after a failed write, and returns it.
    pub(super) fn write_failed(&mut self, now: Instant) -> Duration {
        let wait = self.waits.next_wait();
        self.retry_at = Some(now + wait);
        wait
    }

    /// When the pause after a failed write ends, if there is one.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn may_write(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now >= at)
    }

    /// From this moment on nothing may begin, as another worker may take the lease soon.
    pub(super) const fn fence(&self) -> Instant {
        self.fence
    }

    pub(super) fn is_fenced(&self, now: Instant) -> bool {
        now >= self.fence
    }

    /// Whether a write that changes the counter is due: a renewal or a checkpoint.
    pub(super) fn renewal_due(&self, now: Instant) -> bool {
        now >= self.renew_at
    }

    pub(super) fn checkpoint_due(&self, now: Instant) -> bool {
        now >= self.checkpoint_at
    }

    /// When the next write is due.
    pub(super) fn next_write(&self, has_progress: bool) -> Instant {
        let due = if has_progress { self.renew_at.min(self.checkpoint_at) } else { self.renew_at };
        self.retry_at.map_or(due, |at| at.max(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_table_is_scanned_often_and_a_large_one_within_half_a_lease_duration() {
        let mut random = fastrand::Rng::with_seed(1);
        for (rows, seconds, middle) in
            [(1, 10, 2_000), (1_000, 10, 2_000), (2_000, 10, 4_000), (9_999, 10, 5_000), (1, 3, 600)]
        {
            let period = scan_period(rows, Duration::from_secs(seconds), &mut random);
            let middle = Duration::from_millis(middle);
            assert!(period >= middle * 4 / 5 && period <= middle * 6 / 5, "{rows} rows: {period:?}");
        }
    }
}

//! When a held lease must be renewed, may be committed, and ceases to be surely ours.

use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

/// The moments of one held lease. Pure: every method is told what time it is.
#[derive(Debug)]
pub(super) struct LeaseClock {
    duration: Duration,
    commit_interval: Duration,
    /// From here on nothing may begin: others may take the lease soon.
    fence: Instant,
    renew_at: Instant,
    commit_at: Instant,
    /// When a renewal last asked whether somebody wants the lease.
    heard_at: Instant,
    retry_at: Option<Instant>,
    waits: Waits,
    random: fastrand::Rng,
}

impl LeaseClock {
    /// For a lease whose take was sent at `begun`.
    pub(super) fn new(duration: Duration, commit_interval: Duration, begun: Instant, seed: u64) -> Self {
        let cap = u64::try_from(duration.as_millis() / 10).unwrap_or(u64::MAX);
        let mut clock = Self {
            duration,
            commit_interval,
            fence: begun,
            renew_at: begun,
            commit_at: begun + commit_interval,
            heard_at: begun,
            retry_at: None,
            waits: Backoff::millis(50, cap).waits(seed),
            random: fastrand::Rng::with_seed(seed),
        };
        clock.written(begun);
        clock
    }

    /// A write that was sent at `begun` moved the counter. Others saw that at `begun` or later, so they wait longer
    /// than we go on, by a fifth of the duration.
    pub(super) fn written(&mut self, begun: Instant) {
        self.fence = begun + self.duration - self.duration / 5;
        // Up to a tenth sooner, so that the shards of a worker do not renew in step.
        self.renew_at = begun + (self.duration / 3).mul_f64(1.0 - self.random.f64() / 10.0);
        self.retry_at = None;
        self.waits.reset();
    }

    /// A renewal told whether somebody wants the lease.
    pub(super) const fn heard(&mut self, begun: Instant) {
        self.heard_at = begun;
    }

    /// Progress was stored.
    pub(super) fn committed(&mut self, now: Instant) {
        self.commit_at = now + self.commit_interval;
    }

    /// A write failed; the next waits a little.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.waits.next_wait();
        self.retry_at = Some(now + wait);
        wait
    }

    /// Another write may be sent.
    pub(super) fn may_write(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now >= at)
    }

    /// The lease is no longer surely ours.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.fence
    }

    /// The moment from which on nothing may begin.
    pub(super) const fn fence(&self) -> Instant {
        self.fence
    }

    /// A renewal is due, by a checkpoint or by itself.
    pub(super) fn renewal_due(&self, now: Instant) -> bool {
        now >= self.renew_at
    }

    /// A checkpoint does not tell whether somebody wants the lease, so a plain renewal is due now and then.
    pub(super) fn hearing_due(&self, now: Instant) -> bool {
        now >= self.heard_at + self.duration / 2
    }

    /// Progress is to be stored.
    pub(super) fn commit_due(&self, now: Instant) -> bool {
        now >= self.commit_at
    }

    /// The next moment at which a write is due.
    pub(super) fn next_write(&self, has_progress: bool) -> Instant {
        let due = if has_progress { self.renew_at.min(self.commit_at) } else { self.renew_at };
        self.retry_at.map_or(due, |at| at.max(due))
    }
}

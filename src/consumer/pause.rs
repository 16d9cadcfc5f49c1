//! Growing pauses after failures of one kind of call.

use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

/// When a call that failed may be made again. Each kind of call has its own, so that a success of one says nothing about
/// another.
#[derive(Debug)]
pub(super) struct Pause {
    waits: Waits,
    until: Option<Instant>,
}

impl Pause {
    /// Pauses that grow from 200 ms to `cap`.
    pub(super) fn new(cap: Duration, seed: u64) -> Self {
        let cap = u64::try_from(cap.as_millis()).unwrap_or(u64::MAX);
        Self { waits: Backoff::millis(200, cap).waits(seed), until: None }
    }

    /// When the call may be made again; `None`: at once.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Ends the pause at `moment` if it would last longer.
    pub(super) fn no_later_than(&mut self, moment: Instant) {
        self.until = self.until.map(|until| until.min(moment));
    }

    /// Lets the pause last until `moment` at least.
    pub(super) fn not_before(&mut self, moment: Instant) {
        self.until = Some(self.until.map_or(moment, |until| until.max(moment)));
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// The call failed; gives the pause that begins.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.waits.next_wait();
        self.until = Some(now + wait);
        wait
    }

    /// The call worked, and is not needed again for `wait`.
    pub(super) fn worked(&mut self, now: Instant, wait: Duration) {
        self.waits.reset();
        self.until = Some(now + wait);
    }
}

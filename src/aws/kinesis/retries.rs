//! Retries of failed reads of a shard, by polling and by fan-out. Throttles and contention are not counted here: they pass,
//! however long they last.

use crate::domain::FailureKind;
use crate::resilience::{Backoff, Waits};
use std::time::Duration;

/// After more failures in a row than this the caller gets the error.
pub(super) const MAX_FAILURES: u32 = 8;

#[derive(Debug)]
pub(super) struct ReadRetries(Waits);

impl ReadRetries {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self(backoff.waits(fastrand::u64(..)))
    }

    /// How long to wait before the next attempt; `None` if the caller must get the error.
    pub(super) fn next_wait(&mut self, kind: FailureKind) -> Option<Duration> {
        (kind.may_retry() && self.0.taken() < MAX_FAILURES).then(|| self.0.next_wait())
    }

    pub(super) const fn reset(&mut self) {
        self.0.reset();
    }
}

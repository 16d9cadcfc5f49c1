//! Counts a health check, also one whose time is over.

use std::time::Duration;
use tokio::time::Instant;

/// Counts with its answer when it is dropped.
#[derive(Debug)]
pub(super) struct ProbeCount<A: Copy, C: Fn(A, Duration)> {
    pub(super) answer: A,
    count: C,
    begun: Instant,
}

impl<A: Copy, C: Fn(A, Duration)> ProbeCount<A, C> {
    /// `missing` is counted if there is no answer.
    pub(super) fn new(missing: A, count: C) -> Self {
        Self { answer: missing, count, begun: Instant::now() }
    }
}

impl<A: Copy, C: Fn(A, Duration)> Drop for ProbeCount<A, C> {
    fn drop(&mut self) {
        (self.count)(self.answer, self.begun.elapsed());
    }
}

//! The attempts of one request to an output: retried, bounded and counted in one place for all kinds.

use crate::domain::BindingError;
use crate::resilience::{Backoff, Retry, Spent};
use crate::telemetry::OutputMetrics;
use std::time::Duration;

/// How an output tries. The adapters below make single attempts; retries are made here and nowhere else.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Bounds one request, retries included.
    pub(super) limit: Duration,
    /// Waits between attempts.
    pub(super) backoff: Backoff,
    /// Counts retries, those of failed requests too.
    pub(super) metrics: OutputMetrics,
}

impl Attempts {
    /// Tries until it succeeds, may not be repeated, or the time is over.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<Spent<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        let mut made = 0_u64;
        let retry = Retry::within(self.limit, self.backoff, fastrand::u64(..));
        let counted = retry.run(|| {
            made += 1;
            attempt()
        });
        let outcome = counted.await;
        self.metrics.retried(made.saturating_sub(1));
        outcome
    }
}

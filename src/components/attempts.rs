//! The attempts of one request to an output: retried, bounded and counted in one place for all kinds.

use crate::domain::{BindingError, FailureKind, Outcome};
use crate::resilience::{Backoff, Repeat, Retry, Spent};
use crate::telemetry::OutputMetrics;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How an output tries. The adapters below make single attempts; retries are made here and nowhere else.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Waits between attempts.
    pub(super) backoff: Backoff,
    /// `maxRetries`; `None` is no bound but the deadline.
    pub(super) most_retries: Option<u32>,
    /// `backoffMaxElapsedTime`: no repetition begins later than this.
    pub(super) max_elapsed: Option<Duration>,
    /// Counts calls, and retries, those of failed requests too.
    pub(super) metrics: OutputMetrics,
}

/// One call of the service, to be tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The service's name for it, such as `PutItem`.
    pub(super) operation: &'static str,
    /// When the caller must have an answer.
    pub(super) deadline: Instant,
    /// Whether it may be sent again after an unknown outcome.
    pub(super) repeat: Repeat,
}

impl Attempts {
    /// Tries until it succeeds, may not be repeated, or the time is over.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn run<T, F>(&self, call: Call, mut attempt: impl FnMut() -> F) -> Result<Spent<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>> + Send,
    {
        let made = AtomicU64::new(0);
        let counted = || {
            made.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let tried: BoxFuture<'_, _> = Box::pin(attempt());
            async move {
                let result = tried.await;
                let outcome = result.as_ref().map_or_else(|error| error.kind().word(), |_| "ok");
                self.metrics.called(call.operation, outcome, begun.elapsed());
                result
            }
        };
        let outcome = self.retry(call).run(counted).await;
        self.metrics.retried(made.into_inner().saturating_sub(1));
        if outcome.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown) {
            self.metrics.ambiguous();
        }
        outcome
    }

    fn retry(&self, call: Call) -> Retry {
        let retry = Retry::until(call.deadline, self.backoff, fastrand::u64(..)).repeating(call.repeat);
        let retry = self.most_retries.into_iter().fold(retry, Retry::at_most);
        self.max_elapsed.into_iter().fold(retry, Retry::for_no_longer_than)
    }
}

/// When a request must be answered: after its own `timeout` metadata, else after the component's `requestTimeout`, at
/// most after `maxRequestTimeout`.
///
/// # Errors
/// When the text is neither a duration as Go writes it nor a number of seconds.
pub(super) fn time_allowed(
    stated: Option<&str>,
    request_timeout: Duration,
    max_request_timeout: Duration,
) -> Result<Duration, BindingError> {
    let Some(text) = stated else { return Ok(request_timeout.min(max_request_timeout)) };
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = crate::manifest::parse_duration(&if is_bare { format!("{text}s") } else { text.to_owned() });
    match parsed {
        Ok(time) if !time.is_zero() => Ok(time.min(max_request_timeout)),
        Ok(_) | Err(_) => Err(BindingError::new(
            FailureKind::Caller,
            "the request metadata `timeout` must be a duration above zero, such as `500ms` or `2s`, or seconds",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_shorten_its_time_and_never_exceeds_the_bound() {
        let (second, most) = (Duration::from_secs(1), Duration::from_secs(60));
        for (stated, allowed) in
            [(None, 10 * second), (Some("500ms"), second / 2), (Some("3"), 3 * second), (Some("2h"), most)]
        {
            assert_eq!(time_allowed(stated, 10 * second, most).unwrap(), allowed, "{stated:?}");
        }
        for bad in ["soon", "0", "-1s"] {
            assert_eq!(time_allowed(Some(bad), second, most).unwrap_err().kind(), FailureKind::Caller);
        }
    }
}

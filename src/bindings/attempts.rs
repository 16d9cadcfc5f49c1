//! The attempts of one request to an output: retried, bounded and counted in one place for all kinds.

use crate::domain::{BindingError, FailureKind, Outcome};
use crate::resilience::{Backoff, Repeat, Retry, Spent};
use crate::telemetry::{OutputMetrics, RecordState};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicU32, Ordering};
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
    /// How many items it writes; none for a read. Each is counted by how it ended.
    pub(super) writes: usize,
}

impl Call {
    /// The same call, which writes so many items.
    pub(super) const fn writing(mut self, items: usize) -> Self {
        self.writes = items;
        self
    }
}

/// What is counted when a call ends, also by its caller's going away: the future is dropped then, wherever it was.
struct Tally<'a> {
    metrics: &'a OutputMetrics,
    writes: usize,
    made: &'a AtomicU32,
    state: RecordState,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let made = self.made.load(Ordering::Relaxed);
        self.metrics.retried(u64::from(made.saturating_sub(1)));
        let state = if made == 0 { RecordState::Refused } else { self.state };
        (0..self.writes).for_each(|_| self.metrics.ended(state, made));
    }
}

impl Attempts {
    /// Tries until it succeeds, may not be repeated, or the time is over. Counts what became of the items it writes:
    /// dropped while an attempt was under way, they are orphaned, for the service may have carried it out.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn run<T, F>(&self, call: Call, mut attempt: impl FnMut() -> F) -> Result<Spent<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>> + Send,
    {
        let made = AtomicU32::new(0);
        let (metrics, writes) = (&self.metrics, call.writes);
        let mut tally = Tally { metrics, writes, made: &made, state: RecordState::Orphaned };
        let counted = || {
            made.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let tried: BoxFuture<'_, _> = Box::pin(attempt());
            let made = &made;
            async move {
                let result = tried.await;
                if result.as_ref().is_err_and(BindingError::is_unsent) {
                    made.fetch_sub(1, Ordering::Relaxed);
                } else {
                    let outcome = result.as_ref().map_or_else(|error| error.kind().word(), |_| "ok");
                    self.metrics.called(call.operation, outcome, begun.elapsed());
                }
                result
            }
        };
        let outcome = self.retry(call).run(counted).await.map_err(|error| match writes {
            // A read leaves nothing behind, whatever became of it.
            0 => error.with_outcome(Outcome::NotDone),
            _ => error,
        });
        tally.state = if outcome.is_ok() { RecordState::Stored } else { RecordState::Failed };
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
    match crate::manifest::parse_duration_or_seconds(text) {
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
    use crate::telemetry::Metrics;
    use futures_util::FutureExt;

    /// The state of two items after a call that fails so many times, cut off after its first poll if it waits then.
    async fn counted(failures: u32, deadline: Instant, attempt: impl Fn(u32) -> Result<(), BindingError>) -> String {
        let metrics = Metrics::new();
        let backoff = Backoff::millis(10, 10);
        let attempts =
            Attempts { backoff, most_retries: Some(failures), max_elapsed: None, metrics: metrics.output("rows") };
        let call = Call { operation: "PutItem", deadline, repeat: Repeat::Freely, writes: 0 }.writing(2);
        let mut made = 0;
        let running = attempts.run(call, || {
            made += 1;
            let result = attempt(made);
            async move { result }
        });
        if failures == 0 {
            assert!(running.now_or_never().is_some());
        } else {
            assert!(running.now_or_never().is_none());
        }
        metrics.page().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn every_written_item_is_counted_by_how_it_ended() {
        let throttled = |_| Err(BindingError::new(FailureKind::Throttled, "no"));
        let later = Instant::now() + Duration::from_secs(9);
        for (state, tried, page) in [
            ("stored", 2, counted(0, later, |_| Ok(())).await),
            ("failed", 2, counted(0, later, throttled).await),
            ("orphaned", 2, counted(1, later, throttled).await),
            ("refused", 0, counted(0, Instant::now(), throttled).await),
            ("refused", 0, counted(0, later, |_| Err(BindingError::new(FailureKind::Throttled, "no").unsent())).await),
        ] {
            let records = format!(r#"bindd_output_records_total{{component="rows",state="{state}"}} 2"#);
            assert!(page.contains(&records), "{records} is not in\n{page}");
            let attempts = format!(r#"bindd_output_attempts_count{{component="rows"}} {tried}"#);
            assert!(page.contains(&attempts), "{attempts} is not in\n{page}");
            assert_eq!(page.contains("bindd_output_calls_total{"), tried > 0, "{state}: {page}");
        }
    }

    #[tokio::test]
    async fn a_read_leaves_no_doubt() {
        let metrics = Metrics::new();
        let attempts = Attempts {
            backoff: Backoff::millis(10, 10),
            most_retries: Some(0),
            max_elapsed: None,
            metrics: metrics.output("rows"),
        };
        let lost = || async { Err(BindingError::new(FailureKind::TimedOut, "lost").with_outcome(Outcome::Unknown)) };
        let deadline = Instant::now() + Duration::from_secs(9);
        let read = Call { operation: "GetItem", deadline, repeat: Repeat::Freely, writes: 0 };
        let outcome = |result: Result<Spent<()>, BindingError>| result.unwrap_err().outcome();
        assert_eq!(outcome(attempts.run(read, lost).await), Outcome::NotDone);
        assert_eq!(outcome(attempts.run(read.writing(1), lost).await), Outcome::Unknown);
        let ambiguous = r#"bindd_output_ambiguous_total{component="rows"} 1"#;
        assert!(metrics.page().unwrap().contains(ambiguous), "the write alone");
    }

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

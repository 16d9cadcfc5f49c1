//! Timeouts and retries of outputs, the same for all kinds: the fields of a file ([`RetryConfig`]) and the only place
//! that repeats a request to DynamoDB ([`RetryRunner`]). The producer has its own retries of records, with the same
//! policy.

use crate::domain::{BindingError, FailureKind, Outcome};
use crate::manifest::Reader;
use crate::resilience::{Backoff, Idempotency, Retry, RetryPolicy, Success};
use crate::telemetry::{OutputMetrics, RecordState};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// `requestTimeout`: limit of one invocation with all waits and retries. Default 10 s, at most
    /// `maxRequestTimeout`.
    pub request_timeout: Duration,
    /// `maxRequestTimeout`: the largest `timeout` that a request may have. Default 1 min, or `requestTimeout` if that
    /// is longer.
    pub max_request_timeout: Duration,
    /// `attemptTimeout`: limit of one call. Default 5 s.
    pub attempt_timeout: Duration,
    /// `maxRetries` (0 for none, -1, the default, for no limit), `backoffInitialInterval`, `backoffMaxInterval` (2 s, or the
    /// first wait if that is longer) and `backoffMaxElapsedTime` (0, the default, for no limit).
    pub policy: RetryPolicy,
}

impl RetryConfig {
    /// Reads the fields; faults are recorded in the reader. `first_wait` is the kind's default for
    /// `backoffInitialInterval`, at most 2 s.
    pub(super) fn read(reader: &mut Reader<'_>, first_wait: Duration) -> Self {
        let (requested, max) = (time(reader, "requestTimeout"), time(reader, "maxRequestTimeout"));
        if let (Some(requested), Some(max)) = (requested, max)
            && requested > max
        {
            reader
                .notice("requestTimeout", &format!("it is above `maxRequestTimeout`, so the smaller counts, {max:?}"));
        }
        let request_timeout = requested.unwrap_or(DEFAULT_REQUEST_TIMEOUT).min(max.unwrap_or(HOUR));
        let attempt_timeout = time(reader, "attemptTimeout");
        if attempt_timeout.is_some_and(|attempt| attempt > request_timeout) {
            let text = format!("it is above `requestTimeout`, so the smaller counts, {request_timeout:?}");
            reader.notice("attemptTimeout", &text);
        }
        let max_elapsed = reader.duration("backoffMaxElapsedTime", Duration::ZERO..=HOUR);
        Self {
            request_timeout,
            max_request_timeout: max.unwrap_or_else(|| request_timeout.max(DEFAULT_MAX_REQUEST_TIMEOUT)),
            attempt_timeout: attempt_timeout.unwrap_or(DEFAULT_ATTEMPT_TIMEOUT),
            policy: RetryPolicy {
                max_retries: reader.parsed("maxRetries", retries).flatten(),
                backoff: read_backoff(reader, first_wait),
                max_elapsed: max_elapsed.filter(|time| !time.is_zero()),
            },
        }
    }
}

fn time(reader: &mut Reader<'_>, name: &'static str) -> Option<Duration> {
    reader.duration(name, MILLISECOND..=HOUR)
}

fn retries(text: &str) -> Result<Option<u32>, (String, String)> {
    let remedy = || "write how often an attempt may be repeated: 0 for never, -1 for no limit".to_owned();
    match text.trim() {
        "-1" => Ok(None),
        count => count.parse().map(Some).map_err(|_| ("this is not a number of retries".to_owned(), remedy())),
    }
}

/// A large `backoffInitialInterval` raises the default of `backoffMaxInterval`; if both are given and contradict each other,
/// that is a fault.
fn read_backoff(reader: &mut Reader<'_>, first_wait: Duration) -> Backoff {
    let first = time(reader, "backoffInitialInterval").unwrap_or(first_wait);
    let cap = time(reader, "backoffMaxInterval").unwrap_or_else(|| DEFAULT_MAX_WAIT.max(first));
    Backoff::try_new(first, cap).unwrap_or_else(|_| {
        let remedy = "raise it, or lower `backoffInitialInterval`";
        reader.fault("backoffMaxInterval", "it is below `backoffInitialInterval`", remedy);
        Backoff::millis(50, 2_000)
    })
}

/// Repeats calls under one policy and counts them.
#[derive(Debug, Clone)]
pub(super) struct RetryRunner {
    pub(super) policy: RetryPolicy,
    pub(super) metrics: OutputMetrics,
}

/// One call, with what limits its attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Such as `PutItem`.
    pub(super) operation: &'static str,
    pub(super) deadline: Instant,
    pub(super) idempotency: Idempotency,
    /// How many items it writes; 0 for a read. Each is counted by its result.
    pub(super) writes: usize,
}

impl Call {
    pub(super) const fn writing(mut self, items: usize) -> Self {
        self.writes = items;
        self
    }
}

/// Counts on drop, so that a call is counted also when its future is dropped because the caller went away.
struct CountOnDrop<'a> {
    metrics: &'a OutputMetrics,
    writes: usize,
    made: &'a AtomicU32,
    state: RecordState,
}

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        let made = self.made.load(Ordering::Relaxed);
        self.metrics.retried(u64::from(made.saturating_sub(1)));
        let state = if made == 0 { RecordState::Refused } else { self.state };
        (0..self.writes).for_each(|_| self.metrics.ended(state, made));
    }
}

impl RetryRunner {
    /// Runs `attempt` until it succeeds, may not be repeated, or the time is over, and counts the items that it writes. If
    /// the future is dropped during an attempt, they count as orphaned: DynamoDB may have written them.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn run<T, F>(&self, call: Call, mut attempt: impl FnMut() -> F) -> Result<Success<T>, BindingError>
    where
        F: Future<Output = Result<T, BindingError>> + Send,
    {
        let made = AtomicU32::new(0);
        let (metrics, writes) = (&self.metrics, call.writes);
        let mut count = CountOnDrop { metrics, writes, made: &made, state: RecordState::Orphaned };
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
                    let outcome = result.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok");
                    self.metrics.called(call.operation, outcome, begun.elapsed());
                }
                result
            }
        };
        let outcome = Retry::new(self.policy, call.idempotency, call.deadline, fastrand::u64(..))
            .run(counted)
            .await
            .map_err(|error| match writes {
                // A read changes nothing, so its outcome is never unknown.
                0 => error.with_outcome(Outcome::NotDone),
                _ => error,
            });
        count.state = if outcome.is_ok() { RecordState::Stored } else { RecordState::Failed };
        if outcome.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown) {
            self.metrics.ambiguous();
        }
        outcome
    }
}

/// The time that a request has: its own `timeout` metadata, else the component's `requestTimeout`; at most
/// `maxRequestTimeout`.
///
/// # Errors
/// `Caller` when the text is neither a Go duration nor a number of seconds.
pub(super) fn time_allowed(
    requested: Option<&str>,
    request_timeout: Duration,
    max_request_timeout: Duration,
) -> Result<Duration, BindingError> {
    let Some(text) = requested else { return Ok(request_timeout.min(max_request_timeout)) };
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

    fn policy(retries: u32) -> RetryPolicy {
        RetryPolicy { max_retries: Some(retries), backoff: Backoff::millis(10, 10), max_elapsed: None }
    }

    /// The metrics after a call that writes two items. With `failures`, the future is dropped while it waits for its retry.
    async fn page_after(failures: u32, deadline: Instant, attempt: impl Fn(u32) -> Result<(), BindingError>) -> String {
        let metrics = Metrics::new();
        let attempts = RetryRunner { policy: policy(failures), metrics: metrics.output("rows") };
        let call = Call { operation: "PutItem", deadline, idempotency: Idempotency::Idempotent, writes: 0 }.writing(2);
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
    async fn every_written_item_is_counted_by_its_result() {
        let throttled = |_| Err(BindingError::new(FailureKind::Throttled, "no"));
        let later = Instant::now() + Duration::from_secs(9);
        for (state, tried, page) in [
            ("stored", 2, page_after(0, later, |_| Ok(())).await),
            ("failed", 2, page_after(0, later, throttled).await),
            ("orphaned", 2, page_after(1, later, throttled).await),
            ("refused", 0, page_after(0, Instant::now(), throttled).await),
            (
                "refused",
                0,
                page_after(0, later, |_| Err(BindingError::new(FailureKind::Throttled, "no").unsent())).await,
            ),
        ] {
            let records = format!(r#"bindd_output_records_total{{component="rows",state="{state}"}} 2"#);
            assert!(page.contains(&records), "{records} is not in\n{page}");
            let attempts = format!(r#"bindd_output_attempts_count{{component="rows"}} {tried}"#);
            assert!(page.contains(&attempts), "{attempts} is not in\n{page}");
            assert_eq!(page.contains("bindd_output_calls_total{"), tried > 0, "{state}: {page}");
        }
    }

    #[tokio::test]
    async fn the_outcome_of_a_read_is_never_unknown() {
        let metrics = Metrics::new();
        let attempts = RetryRunner { policy: policy(0), metrics: metrics.output("rows") };
        let lost = || async { Err(BindingError::new(FailureKind::TimedOut, "lost").with_outcome(Outcome::Unknown)) };
        let deadline = Instant::now() + Duration::from_secs(9);
        let read = Call { operation: "GetItem", deadline, idempotency: Idempotency::Idempotent, writes: 0 };
        let outcome = |result: Result<Success<()>, BindingError>| result.unwrap_err().outcome();
        assert_eq!(outcome(attempts.run(read, lost).await), Outcome::NotDone);
        assert_eq!(outcome(attempts.run(read.writing(1), lost).await), Outcome::Unknown);
        let ambiguous = r#"bindd_output_ambiguous_total{component="rows"} 1"#;
        assert!(metrics.page().unwrap().contains(ambiguous), "the write alone");
    }

    #[test]
    fn a_request_may_set_its_timeout_up_to_the_maximum() {
        let (second, max) = (Duration::from_secs(1), Duration::from_secs(60));
        for (requested, allowed) in
            [(None, 10 * second), (Some("500ms"), second / 2), (Some("3"), 3 * second), (Some("2h"), max)]
        {
            assert_eq!(time_allowed(requested, 10 * second, max).unwrap(), allowed, "{requested:?}");
        }
        for bad in ["soon", "0", "-1s"] {
            assert_eq!(time_allowed(Some(bad), second, max).unwrap_err().kind(), FailureKind::Caller);
        }
    }

    #[test]
    fn zero_is_no_retry_and_minus_one_no_limit() {
        for (text, max) in [("-1", None), ("0", Some(0)), (" 7 ", Some(7))] {
            assert_eq!(retries(text).unwrap(), max, "{text}");
        }
        for bad in ["-2", "", "often", "1.5"] {
            assert!(retries(bad).unwrap_err().1.contains("-1 for no limit"), "{bad}");
        }
    }
}

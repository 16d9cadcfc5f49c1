//! Runs a bulk: many entries, few calls, a result for each entry.
//!
//! Single calls go through a [`BatchCall`], so that tests can use a scripted service. Everything that goes through here
//! may be repeated without harm: reads, and writes without a condition.

use super::super::super::operation::Access;
use super::schedule::{CallLimits, CallResult, EntryKeys, Schedule};
use crate::domain::{BindingError, FailureKind, Outcome};
use crate::resilience::{Idempotency, RetryPolicy, RetryState};
use crate::telemetry::{OutputMetrics, RecordState};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Sends entries together, in one attempt.
#[async_trait]
pub(super) trait BatchCall<E, R>: Send + Sync {
    /// AWS's name of the call.
    fn operation(&self) -> &'static str;

    /// Decides what a lost reply means: entries of a write may be stored.
    fn access(&self) -> Access;

    /// Sends the entries in one call.
    ///
    /// # Errors
    /// When the call failed as a whole.
    async fn send(&self, entries: &[&E]) -> Result<Reply<R>, BindingError>;
}

/// The reply to one call.
#[derive(Debug)]
pub(super) struct Reply<R> {
    /// For each entry of the call, in its order, the result; `None` where DynamoDB left it unprocessed.
    pub(super) entries: Vec<Option<R>>,
    pub(super) capacity: Option<f64>,
}

/// How a bulk runs.
#[derive(Debug, Clone)]
pub(super) struct BulkOptions {
    pub(super) limits: CallLimits,
    /// When every entry must have its result; never extended.
    pub(super) deadline: Instant,
    pub(super) started: Instant,
    /// Applies to each entry.
    pub(super) retry: RetryPolicy,
    /// For the jitter of waits.
    pub(super) seed: u64,
    pub(super) metrics: OutputMetrics,
}

/// One entry of a bulk.
#[derive(Debug)]
pub(super) struct Entry<E> {
    pub(super) value: E,
    /// In bytes of the request.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) struct BulkOutput<R> {
    /// For each entry, in the order given.
    pub(super) entries: Vec<Result<R, BindingError>>,
    /// The sum of all calls; `None` where DynamoDB reported none.
    pub(super) capacity: Option<f64>,
}

/// Runs a bulk until each entry has a result, at the latest at the deadline. Dropping the future cancels it: entries
/// that were sent may be stored (counted as orphaned), the others are not (counted as refused).
pub(super) async fn run<E, R>(
    call: &dyn BatchCall<E, R>,
    entries: &[Entry<E>],
    keys: &EntryKeys,
    options: &BulkOptions,
) -> BulkOutput<R>
where
    E: Send + Sync,
    R: Send,
{
    let sizes: Vec<usize> = entries.iter().map(|entry| entry.size).collect();
    let mut progress = Progress::new(call.access(), Schedule::new(options.limits, sizes, keys), entries.len(), options);
    let mut in_flight = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        let may_send = now < options.deadline && progress.fatal.is_none();
        while may_send && let Some(batch) = progress.schedule.next_call(now) {
            progress.sending(&batch, batch.iter().map(|entry| entries[*entry].size).sum());
            in_flight.push(send(call, entries, batch, options));
        }
        if in_flight.is_empty() && (!may_send || progress.schedule.is_idle()) {
            return progress.finish();
        }
        let wake = progress.schedule.next_wake().map_or(options.deadline, |wake| wake.min(options.deadline));
        tokio::select! {
            Some((batch, reply)) = in_flight.next() => progress.apply(batch, reply),
            // `next_call` has just queued all entries that were due, so this moment is in the future.
            () = sleep_until(wake), if may_send => {}
        }
    }
}

/// The entries of a call and its reply.
type Sent<R> = (Vec<usize>, Result<Reply<R>, BindingError>);

async fn send<E, R>(
    call: &dyn BatchCall<E, R>,
    entries: &[Entry<E>],
    batch: Vec<usize>,
    options: &BulkOptions,
) -> Sent<R>
where
    E: Send + Sync,
    R: Send,
{
    let begun = Instant::now();
    let values: Vec<&E> = batch.iter().map(|entry| &entries[*entry].value).collect();
    let reply = timeout_at(options.deadline, call.send(&values)).await.unwrap_or_else(|_| {
        let text = format!("{} was not answered before the request's deadline", call.operation());
        Err(BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown))
    });
    let outcome = match &reply {
        Ok(reply) if reply.entries.iter().all(Option::is_some) => "ok",
        Ok(_) => "partial",
        Err(error) => error.kind().as_str(),
    };
    if !reply.as_ref().is_err_and(BindingError::is_unsent) {
        options.metrics.called(call.operation(), outcome, begun.elapsed());
    }
    (batch, reply)
}

/// What is known of each entry, and the schedule.
struct Progress<R> {
    access: Access,
    schedule: Schedule,
    entries: Vec<EntryState<R>>,
    options: BulkOptions,
    random: fastrand::Rng,
    capacity: Option<f64>,
    /// A failure that all remaining entries would get too.
    fatal: Option<BindingError>,
}

struct EntryState<R> {
    attempts: u32,
    may_have_taken_effect: bool,
    last_failure: Option<BindingError>,
    result: Option<Result<R, BindingError>>,
}

impl<R> Progress<R> {
    fn new(access: Access, schedule: Schedule, count: usize, options: &BulkOptions) -> Self {
        let new = || EntryState { attempts: 0, may_have_taken_effect: false, last_failure: None, result: None };
        Self {
            access,
            schedule,
            entries: std::iter::repeat_with(new).take(count).collect(),
            options: options.clone(),
            random: fastrand::Rng::with_seed(options.seed),
            capacity: None,
            fatal: None,
        }
    }

    fn sending(&mut self, batch: &[usize], bytes: usize) {
        self.options.metrics.batched(batch.len(), bytes);
        if batch.iter().any(|entry| self.entries[*entry].attempts > 0) {
            self.options.metrics.retried(1);
        }
        for entry in batch {
            self.entries[*entry].attempts += 1;
        }
    }

    fn apply(&mut self, batch: Vec<usize>, reply: Result<Reply<R>, BindingError>) {
        match reply {
            Ok(reply) => self.replied(batch, reply),
            Err(error) if error.may_retry() => {
                if error.is_unsent() {
                    batch.iter().for_each(|entry| self.entries[*entry].attempts -= 1);
                }
                self.schedule.call_ended(CallResult::Throttled);
                self.retry(batch, &error);
            }
            Err(error) => self.failed(&batch, &error),
        }
    }

    fn replied(&mut self, batch: Vec<usize>, reply: Reply<R>) {
        if let Some(units) = reply.capacity {
            self.capacity = Some(self.capacity.unwrap_or_default() + units);
        }
        // An entry that the reply does not mention counts as unprocessed.
        let results = reply.entries.into_iter().chain(std::iter::repeat_with(|| None));
        let mut unprocessed = Vec::new();
        for (entry, result) in batch.into_iter().zip(results) {
            match result {
                Some(value) => self.complete(entry, Ok(value)),
                None => unprocessed.push(entry),
            }
        }
        let result = if unprocessed.is_empty() { CallResult::Complete } else { CallResult::Throttled };
        self.schedule.call_ended(result);
        self.retry(unprocessed, &left_unprocessed());
    }

    /// Sends entries again after a wait, or completes them with the error if that would be too late.
    fn retry(&mut self, entries: Vec<usize>, error: &BindingError) {
        let Some(made) = entries.iter().map(|entry| self.entries[*entry].attempts).max() else { return };
        let policy = self.options.retry;
        let wake = Instant::now() + policy.wait(made, self.random.f64(), error);
        for entry in &entries {
            self.note(*entry, error);
        }
        let may_retry = |entry: &usize| {
            let state = RetryState {
                attempts: self.entries[*entry].attempts,
                first_attempt: self.options.started,
                deadline: self.options.deadline,
                outcome: Outcome::Unknown,
                idempotency: Idempotency::Idempotent,
            };
            policy.may_retry(error, &state, wake)
        };
        let (again, exhausted): (Vec<usize>, Vec<usize>) = entries.into_iter().partition(may_retry);
        self.schedule.delay(again, wake);
        for entry in exhausted {
            self.complete(entry, Err(error.clone()));
        }
    }

    /// A call failed for good. If one of several entries may be the cause, each is sent in a separate call; otherwise
    /// all of them fail.
    fn failed(&mut self, batch: &[usize], error: &BindingError) {
        self.schedule.call_ended(CallResult::Failed);
        let may_be_one_entry = matches!(error.kind(), FailureKind::Caller | FailureKind::TooLarge);
        if may_be_one_entry && batch.len() > 1 {
            self.schedule.isolate(batch);
            return;
        }
        let is_about_table =
            matches!(error.kind(), FailureKind::NotFound | FailureKind::Denied | FailureKind::Unsupported);
        if is_about_table && !self.entries.iter().any(|entry| matches!(entry.result, Some(Ok(_)))) {
            self.fatal = Some(error.clone().with_outcome(Outcome::NotDone));
        }
        for entry in batch {
            self.note(*entry, error);
            self.complete(*entry, Err(error.clone()));
        }
    }

    fn note(&mut self, entry: usize, error: &BindingError) {
        let entry = &mut self.entries[entry];
        entry.may_have_taken_effect |= error.outcome() == Outcome::Unknown && self.access == Access::Write;
        entry.last_failure = Some(error.clone());
    }

    fn complete(&mut self, entry: usize, result: Result<R, BindingError>) {
        let state = &mut self.entries[entry];
        let is_done = result.is_ok();
        let outcome = if state.may_have_taken_effect { Outcome::Unknown } else { Outcome::NotDone };
        state.result = Some(result.map_err(|error| error.with_outcome(outcome)));
        let attempts = state.attempts;
        self.schedule.complete(entry);
        if self.access == Access::Write {
            self.count(is_done, attempts, outcome);
        }
    }

    fn count(&self, is_done: bool, attempts: u32, outcome: Outcome) {
        let state = match (is_done, attempts) {
            (true, _) => RecordState::Stored,
            (false, 0) => RecordState::Refused,
            (false, _) => RecordState::Failed,
        };
        self.options.metrics.ended(state, attempts);
        if !is_done && outcome == Outcome::Unknown {
            self.options.metrics.ambiguous();
        }
    }

    /// Completes what has no result yet.
    fn finish(mut self) -> BulkOutput<R> {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if entry.result.is_none() {
                let error = entry.last_failure.clone().or_else(|| self.fatal.clone()).unwrap_or_else(not_sent);
                self.complete(index, Err(error));
            }
        }
        let entries = std::mem::take(&mut self.entries);
        let entries = entries.into_iter().map(|entry| entry.result.unwrap_or_else(|| Err(not_sent()))).collect();
        BulkOutput { entries, capacity: self.capacity }
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.access != Access::Write {
            return;
        }
        for entry in self.entries.iter().filter(|entry| entry.result.is_none()) {
            let state = if entry.attempts > 0 { RecordState::Orphaned } else { RecordState::Refused };
            self.options.metrics.ended(state, entry.attempts);
        }
    }
}

fn left_unprocessed() -> BindingError {
    let text = "DynamoDB left the item unprocessed until no more attempts were allowed, which means that the capacity of the \
                table or of a partition is used up: raise it, send less at once, or give more time";
    BindingError::new(FailureKind::Throttled, text).with_reason("THROTTLED")
}

fn not_sent() -> BindingError {
    let text = "the item was not sent before the request's deadline: send less at once, or give more time";
    BindingError::new(FailureKind::TimedOut, text).with_reason("DEADLINE")
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;

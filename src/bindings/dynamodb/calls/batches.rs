//! Carries out a bulk: many entries, few calls, an answer for each entry.
//!
//! The calls go through a [`BatchPort`], so that this engine can be tried against a scripted service. Everything that
//! goes through here may be repeated without harm: reads, and writes without a condition.

use super::batch_schedule::{CallLimits, Keys, Passage, Schedule};
use crate::domain::{BindingError, FailureKind, Outcome};
use crate::resilience::Backoff;
use crate::telemetry::{OutputMetrics, RecordState};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Sends entries together. One attempt.
#[async_trait]
pub(super) trait BatchPort<E, R>: Debug + Send + Sync {
    /// AWS's name of the call.
    fn operation(&self) -> &'static str;

    /// What the call does to the table.
    fn effect(&self) -> Effect;

    /// Sends the entries in one call.
    ///
    /// # Errors
    /// When the call failed as a whole.
    async fn call(&self, entries: &[&E]) -> Result<Reply<R>, BindingError>;
}

/// What a call does to the table, and so what a lost reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: a lost reply leaves no doubt.
    Reads,
    /// Entries may be stored although the reply was lost.
    Writes,
}

/// The reply to one call.
#[derive(Debug)]
pub(super) struct Reply<R> {
    /// For each entry of the call, in its order, the result; `None` where the service left it unprocessed.
    pub(super) entries: Vec<Option<R>>,
    /// Capacity units used, where the service told them.
    pub(super) capacity: Option<f64>,
}

/// How a bulk is carried out.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bounds of calls.
    pub(super) limits: CallLimits,
    /// When every entry must have its answer; never extended.
    pub(super) deadline: Instant,
    /// No repetition begins later; at most the deadline.
    pub(super) no_repeat_after: Instant,
    /// Repetitions of one entry; `None` is no bound but the time.
    pub(super) most_retries: Option<u32>,
    /// Waits before a repetition.
    pub(super) backoff: Backoff,
    /// Drives jitter.
    pub(super) seed: u64,
    /// Counts.
    pub(super) metrics: OutputMetrics,
}

/// One entry of a bulk.
#[derive(Debug)]
pub(super) struct Entry<E> {
    /// What is sent.
    pub(super) value: E,
    /// Its size on the wire, in bytes.
    pub(super) size: usize,
}

/// What became of a bulk.
#[derive(Debug)]
pub(super) struct Carried<R> {
    /// For each entry, in the order given.
    pub(super) entries: Vec<Result<R, BindingError>>,
    /// Sum of the capacity units told; `None` where none were.
    pub(super) capacity: Option<f64>,
}

/// Carries out a bulk. Returns at the deadline at the latest. Dropping the future ends it: what was sent may be stored
/// (counted as orphaned), what was not is not (counted as refused).
pub(super) async fn carry<E, R>(
    port: &dyn BatchPort<E, R>,
    entries: &[Entry<E>],
    keys: &Keys,
    pace: &Pace,
) -> Carried<R>
where
    E: Debug + Send + Sync,
    R: Debug + Send,
{
    let sizes: Vec<usize> = entries.iter().map(|entry| entry.size).collect();
    let mut progress = Progress::new(port.effect(), Schedule::new(pace.limits, sizes, keys), entries.len(), pace);
    let mut open = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        let goes_on = now < pace.deadline && progress.halt.is_none();
        while goes_on && let Some(call) = progress.schedule.take(now) {
            progress.sends(&call, call.iter().map(|entry| entries[*entry].size).sum());
            open.push(send(port, entries, call, pace));
        }
        if open.is_empty() && (!goes_on || progress.schedule.is_idle()) {
            return progress.finish();
        }
        let wake = progress.schedule.next_wake().map_or(pace.deadline, |wake| wake.min(pace.deadline));
        tokio::select! {
            Some((call, reply)) = open.next() => progress.apply(call, reply),
            // Taking has just woken whatever was due, so this moment is never one that has passed.
            () = sleep_until(wake), if goes_on => {}
        }
    }
}

type Outgoing<R> = (Vec<usize>, Result<Reply<R>, BindingError>);

async fn send<E, R>(port: &dyn BatchPort<E, R>, all: &[Entry<E>], call: Vec<usize>, pace: &Pace) -> Outgoing<R>
where
    E: Debug + Send + Sync,
    R: Debug + Send,
{
    let begun = Instant::now();
    let values: Vec<&E> = call.iter().map(|entry| &all[*entry].value).collect();
    let reply = timeout_at(pace.deadline, port.call(&values)).await.unwrap_or_else(|_| {
        let text = format!("{} was not answered before the request's deadline", port.operation());
        Err(BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown))
    });
    let word = match &reply {
        Ok(reply) if reply.entries.iter().all(Option::is_some) => "ok",
        Ok(_) => "partial",
        Err(error) => error.kind().word(),
    };
    if !reply.as_ref().is_err_and(BindingError::is_unsent) {
        pace.metrics.called(port.operation(), word, begun.elapsed());
    }
    (call, reply)
}

/// What is known of each entry, and the plan.
#[derive(Debug)]
struct Progress<R> {
    effect: Effect,
    schedule: Schedule,
    tracks: Vec<Track<R>>,
    pace: Pace,
    random: fastrand::Rng,
    capacity: Option<f64>,
    /// A failure that every other entry would meet as well.
    halt: Option<BindingError>,
}

#[derive(Debug)]
struct Track<R> {
    attempts: u32,
    may_have_taken_effect: bool,
    failure: Option<BindingError>,
    answer: Option<Result<R, BindingError>>,
}

impl<R> Progress<R> {
    fn new(effect: Effect, schedule: Schedule, count: usize, pace: &Pace) -> Self {
        let fresh = || Track { attempts: 0, may_have_taken_effect: false, failure: None, answer: None };
        Self {
            effect,
            schedule,
            tracks: std::iter::repeat_with(fresh).take(count).collect(),
            pace: pace.clone(),
            random: fastrand::Rng::with_seed(pace.seed),
            capacity: None,
            halt: None,
        }
    }

    fn sends(&mut self, call: &[usize], bytes: usize) {
        self.pace.metrics.batched(call.len(), bytes);
        if call.iter().any(|entry| self.tracks[*entry].attempts > 0) {
            self.pace.metrics.retried(1);
        }
        for entry in call {
            self.tracks[*entry].attempts += 1;
        }
    }

    /// Takes the reply to a call in.
    fn apply(&mut self, call: Vec<usize>, reply: Result<Reply<R>, BindingError>) {
        match reply {
            Ok(reply) => self.answered(call, reply),
            Err(error) if error.kind().may_retry() => {
                if error.is_unsent() {
                    call.iter().for_each(|entry| self.tracks[*entry].attempts -= 1);
                }
                self.schedule.returned(Passage::Throttled);
                self.again(call, &error);
            }
            Err(error) => self.refused(&call, &error),
        }
    }

    fn answered(&mut self, call: Vec<usize>, reply: Reply<R>) {
        if let Some(units) = reply.capacity {
            self.capacity = Some(self.capacity.unwrap_or_default() + units);
        }
        // An entry that the port says nothing about counts as left.
        let results = reply.entries.into_iter().chain(std::iter::repeat_with(|| None));
        let mut left = Vec::new();
        for (entry, result) in call.into_iter().zip(results) {
            match result {
                Some(value) => self.settle(entry, Ok(value)),
                None => left.push(entry),
            }
        }
        self.schedule.returned(if left.is_empty() { Passage::Whole } else { Passage::Throttled });
        self.again(left, &unprocessed());
    }

    /// Entries whose failure may pass go again after a wait, or are answered now if that would be too late.
    fn again(&mut self, entries: Vec<usize>, error: &BindingError) {
        let Some(made) = entries.iter().map(|entry| self.tracks[*entry].attempts).max() else { return };
        let bound = self.pace.backoff.bound(made.saturating_sub(1));
        let wait = bound.mul_f64(self.random.f64()).max(Duration::from_millis(1));
        let wake = Instant::now() + wait.max(error.retry_after().unwrap_or_default());
        for entry in &entries {
            self.note(*entry, error);
        }
        let is_in_time = wake < self.pace.no_repeat_after;
        let may_go = |entry: &usize| self.pace.most_retries.is_none_or(|most| self.tracks[*entry].attempts <= most);
        let (again, over): (Vec<usize>, Vec<usize>) =
            entries.into_iter().partition(|entry| is_in_time && may_go(entry));
        self.schedule.rest(again, wake);
        for entry in over {
            self.settle(entry, Err(error.clone()));
        }
    }

    /// A call was refused. If one entry may be the culprit, each goes alone; otherwise all of them fail.
    fn refused(&mut self, call: &[usize], error: &BindingError) {
        self.schedule.returned(Passage::Refused);
        let may_be_one_of_many = matches!(error.kind(), FailureKind::Caller | FailureKind::TooLarge);
        if may_be_one_of_many && call.len() > 1 {
            self.schedule.single_out(call);
            return;
        }
        let is_everybodys =
            matches!(error.kind(), FailureKind::NotFound | FailureKind::Denied | FailureKind::Unsupported);
        if is_everybodys && !self.tracks.iter().any(|track| matches!(track.answer, Some(Ok(_)))) {
            self.halt = Some(error.clone().with_outcome(Outcome::NotDone));
        }
        for entry in call {
            self.note(*entry, error);
            self.settle(*entry, Err(error.clone()));
        }
    }

    fn note(&mut self, entry: usize, error: &BindingError) {
        let track = &mut self.tracks[entry];
        track.may_have_taken_effect |= error.outcome() == Outcome::Unknown && self.effect == Effect::Writes;
        track.failure = Some(error.clone());
    }

    fn settle(&mut self, entry: usize, result: Result<R, BindingError>) {
        let track = &mut self.tracks[entry];
        let is_done = result.is_ok();
        let outcome = if track.may_have_taken_effect { Outcome::Unknown } else { Outcome::NotDone };
        track.answer = Some(result.map_err(|error| error.with_outcome(outcome)));
        let attempts = track.attempts;
        self.schedule.settle(entry);
        if self.effect == Effect::Writes {
            self.count(is_done, attempts, outcome);
        }
    }

    fn count(&self, is_done: bool, attempts: u32, outcome: Outcome) {
        let state = match (is_done, attempts) {
            (true, _) => RecordState::Stored,
            (false, 0) => RecordState::Refused,
            (false, _) => RecordState::Failed,
        };
        self.pace.metrics.ended(state, attempts);
        if !is_done && outcome == Outcome::Unknown {
            self.pace.metrics.ambiguous();
        }
    }

    /// Answers what has no answer yet.
    fn finish(mut self) -> Carried<R> {
        for entry in 0..self.tracks.len() {
            let track = &self.tracks[entry];
            if track.answer.is_none() {
                let error = track.failure.clone().or_else(|| self.halt.clone()).unwrap_or_else(not_sent);
                self.settle(entry, Err(error));
            }
        }
        let tracks = std::mem::take(&mut self.tracks);
        let entries = tracks.into_iter().map(|track| track.answer.unwrap_or_else(|| Err(not_sent()))).collect();
        Carried { entries, capacity: self.capacity }
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.effect != Effect::Writes {
            return;
        }
        for track in self.tracks.iter().filter(|track| track.answer.is_none()) {
            let state = if track.attempts > 0 { RecordState::Orphaned } else { RecordState::Refused };
            self.pace.metrics.ended(state, track.attempts);
        }
    }
}

fn unprocessed() -> BindingError {
    let text = "DynamoDB left the item unprocessed until no more attempts were allowed, which means that the capacity of the \
                table or of a partition is used up: raise it, send less at once, or give more time";
    BindingError::new(FailureKind::Throttled, text).with_reason("THROTTLED")
}

fn not_sent() -> BindingError {
    let text = "the item was not sent before the request's deadline: send less at once, or give more time";
    BindingError::new(FailureKind::TimedOut, text).with_reason("DEADLINE")
}

#[cfg(test)]
#[path = "tests/batches.rs"]
mod tests;

//! Runs the input bindings: one owner task starts, stops and replaces them, and restarts those that fail.

use super::input_requests::{Change, DrainOutcome, InputsHandle, Reply, Request};
use super::input_task::{self, FORCED_STOP_LIMIT, Input, InputEnd, TaskStops};
use crate::domain::{Binding, DrainLimits, Stop, cause_line};
use crate::resilience::{Backoff, Waits};
use crate::tasks::{Ended, Supervisor, TaskFailure};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument;

/// Pauses between the restarts of an input.
const RESTART_BACKOFF: Backoff = Backoff::millis(500, 30_000);
/// The backoff is reset for an input that ran this long before it failed.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The owner of all inputs. [`Inputs::run`] runs them; an [`InputsHandle`] changes them meanwhile.
#[derive(Debug)]
pub struct Inputs {
    entries: HashMap<String, Entry>,
    tasks: Supervisor<InputEnd>,
    requests: mpsc::Receiver<Request>,
    /// Of the last request.
    number: u64,
    reading: watch::Receiver<bool>,
    limits: DrainLimits,
    stop: Stop,
    outcome: DrainOutcome,
}

/// What becomes of an input when its task has ended.
#[derive(Debug)]
enum Plan {
    Keep,
    Remove,
    /// By this input, which was requested by the request of this number.
    Replace(Input, u64),
}

#[derive(Debug)]
struct Entry {
    input: Input,
    is_subscribed: Arc<AtomicBool>,
    /// The app does not accept its events. It is asked again once inputs are read again.
    is_refused: bool,
    waits: Waits,
    started_at: Instant,
    /// Why it failed last, unless it ran for long since then.
    last_error: Option<String>,
    /// The stop of its task, while there is one.
    task: Option<Stop>,
    plan: Plan,
    /// Number of the request that made it. It begins only after those that had to leave before.
    since: u64,
    /// Number of the first request to remove or replace it.
    leaving: Option<u64>,
    /// Callers that wait until the plan is carried out.
    replies: Vec<Reply>,
}

impl Inputs {
    /// The inputs that exist at the start. All are read while `reading` is true; when it becomes false, all are drained and
    /// stay listed. One that is replaced or removed has the longer of `limits`, and then some seconds to release its leases.
    #[must_use]
    pub fn new(inputs: Vec<Input>, reading: watch::Receiver<bool>, limits: DrainLimits) -> (Self, InputsHandle) {
        let (handle, requests) = InputsHandle::new();
        let entries =
            inputs.into_iter().map(|input| (input.binding.name().to_string(), Entry::new(input, 0))).collect();
        let owner = Self {
            entries,
            tasks: Supervisor::new(),
            requests,
            number: 0,
            reading,
            limits,
            stop: Stop::new(),
            outcome: DrainOutcome::Clean,
        };
        (owner, handle)
    }

    /// Runs the inputs until `stop`, each in its own task. An input that fails, returns early or panics is restarted with
    /// growing pauses, and the others continue. Returns when all tasks are joined. A forced stop aborts what is left after
    /// two seconds and logs its names.
    ///
    /// Not cancel-safe: dropping the future aborts the inputs and leaves their leases to expire.
    pub async fn run(mut self, stop: Stop) -> DrainOutcome {
        self.stop = stop.clone();
        self.reconcile_all();
        let (mut has_callers, mut is_switched) = (true, true);
        while !(stop.is_finishing() && self.tasks.is_empty()) {
            tokio::select! {
                () = stop.forced() => break,
                () = stop.finishing(), if self.tasks.is_empty() => {}
                Some(ended) = self.tasks.next() => self.ended(ended),
                request = self.requests.recv(), if has_callers => match request {
                    Some(request) => self.requested(request),
                    None => has_callers = false,
                },
                changed = self.reading.changed(), if is_switched => match changed {
                    Ok(()) => self.switched(),
                    Err(_) => is_switched = false,
                },
            }
        }
        self.join_forced().await;
        self.outcome
    }

    /// The inputs release their leases without a drain, so that others read the shards at once.
    async fn join_forced(&mut self) {
        let deadline = Instant::now() + FORCED_STOP_LIMIT;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.next()).await {
            self.ended(ended);
        }
        for name in self.tasks.abort_and_join().await {
            tracing::error!(component = %name, "input aborted by forced stop");
            self.outcome = DrainOutcome::Aborted;
        }
    }

    fn requested(&mut self, request: Request) {
        let Request { change, accepted, drained } = request;
        self.number += 1;
        let (name, plan) = match change {
            Change::Start(input) => (input.binding.name().to_string(), Plan::Replace(input, self.number)),
            Change::Stop(name) => (name.to_string(), Plan::Remove),
        };
        match (self.entries.get_mut(&name), plan) {
            (Some(entry), plan) => {
                entry.plan = plan;
                entry.leaving.get_or_insert(self.number);
                entry.replies.push(drained);
            }
            (None, Plan::Replace(input, number)) => {
                self.entries.insert(name.clone(), Entry::new(input, number));
                answer(vec![drained], DrainOutcome::Clean);
            }
            (None, Plan::Remove | Plan::Keep) => answer(vec![drained], DrainOutcome::Clean),
        }
        let leaving = self.entries.get(&name).filter(|entry| entry.leaving.is_some());
        let leaving = leaving.map(|entry| Arc::clone(&entry.input.binding));
        self.reconcile(&name, DrainOutcome::Clean);
        // What it reserved is free for those that begin after it has ended.
        if let Some(binding) = leaving {
            release(&*binding);
        }
        // A caller that has gone needs no answer.
        accepted.send(()).ok();
    }

    fn switched(&mut self) {
        if *self.reading.borrow_and_update() {
            tracing::info!("inputs are read");
            for entry in self.entries.values_mut() {
                entry.is_refused = false;
                entry.is_subscribed = Arc::default();
            }
        } else {
            tracing::info!("inputs are being stopped until the app is healthy");
        }
        self.reconcile_all();
    }

    fn reconcile_all(&mut self) {
        let names: Vec<String> = self.entries.keys().cloned().collect();
        for name in names {
            self.reconcile(&name, DrainOutcome::Clean);
        }
    }

    /// Brings one input into the state in which it should be, and those that wait for it. `outcome` is how its last task
    /// ended.
    fn reconcile(&mut self, name: &str, outcome: DrainOutcome) {
        if self.reconcile_one(name, outcome) {
            let waiting: Vec<String> =
                self.entries.iter().filter(|(_, entry)| entry.task.is_none()).map(|(name, _)| name.clone()).collect();
            for name in waiting {
                // It has left already, or is not leaving.
                self.reconcile_one(&name, DrainOutcome::Clean);
            }
        }
    }

    /// The first request to leave that is not carried out for another input.
    fn first_leaving_beside(&self, name: &str) -> Option<u64> {
        self.entries.iter().filter(|(other, _)| *other != name).filter_map(|(_, entry)| entry.leaving).min()
    }

    /// Returns whether an input has left.
    fn reconcile_one(&mut self, name: &str, outcome: DrainOutcome) -> bool {
        let is_reading = *self.reading.borrow() && !self.stop.is_finishing();
        let first_leaving = self.first_leaving_beside(name);
        let Some(entry) = self.entries.get_mut(name) else { return false };
        if let Some(task) = &entry.task {
            match (&entry.plan, is_reading) {
                // Also one that is being replaced, as another sidecar may have a healthy app.
                (_, false) => task.finish(),
                (Plan::Remove | Plan::Replace(..), true) => task.retire(),
                (Plan::Keep, true) => {}
            }
            return false;
        }
        let has_left = match std::mem::replace(&mut entry.plan, Plan::Keep) {
            Plan::Keep => false,
            Plan::Remove => {
                release(&*entry.input.binding);
                let replies = std::mem::take(&mut entry.replies);
                self.entries.remove(name);
                answer(replies, outcome);
                return true;
            }
            Plan::Replace(input, number) => {
                release(&*entry.input.binding);
                let old = std::mem::replace(entry, Entry::new(input, number));
                answer(old.replies, outcome);
                true
            }
        };
        let must_wait = first_leaving.is_some_and(|leaving| leaving < entry.since);
        if is_reading && !entry.is_refused && !must_wait {
            entry.start(&mut self.tasks, Duration::ZERO, TaskStops::new(&self.stop, self.limits));
        }
        has_left
    }

    /// Restarts the input if it failed.
    fn ended(&mut self, ended: Ended<InputEnd>) {
        let Ended { name, result } = ended;
        let Some(entry) = self.entries.get_mut(&name) else { return };
        let was_stopped = entry.task.take().is_none_or(|stop| stop.is_finishing());
        let outcome = match result {
            Ok(InputEnd::Stopped) => {
                tracing::info!(component = %name, "input stopped");
                DrainOutcome::Clean
            }
            Ok(InputEnd::NotSubscribed) => {
                tracing::debug!(component = %name, "input was not started");
                entry.is_refused = true;
                DrainOutcome::Clean
            }
            result => {
                let error = failure_text(result);
                if !was_stopped {
                    let wait = entry.failed(&name, error);
                    return entry.start(&mut self.tasks, wait, TaskStops::new(&self.stop, self.limits));
                }
                tracing::warn!(component = %name, %error, "input failed while it was stopped");
                DrainOutcome::Aborted
            }
        };
        if outcome == DrainOutcome::Aborted && self.stop.is_finishing() {
            self.outcome = DrainOutcome::Aborted;
        }
        self.reconcile(&name, outcome);
    }
}

fn failure_text(result: Result<InputEnd, TaskFailure>) -> String {
    match result {
        Ok(InputEnd::Failed(error)) => cause_line(&error),
        Ok(InputEnd::Overran) => "it ignored the forced stop, and was aborted".to_owned(),
        Ok(InputEnd::Returned | InputEnd::Stopped | InputEnd::NotSubscribed) => {
            "it returned without a stop request".to_owned()
        }
        Err(failure) => failure.to_string(),
    }
}

fn answer(replies: Vec<Reply>, outcome: DrainOutcome) {
    for reply in replies {
        // A caller that has gone needs no answer.
        reply.send(outcome).ok();
    }
}

/// May be called more than once.
fn release(binding: &dyn Binding) {
    if let Some(input) = binding.input() {
        input.release();
    }
}

impl Entry {
    fn new(input: Input, since: u64) -> Self {
        Self {
            input,
            is_subscribed: Arc::default(),
            is_refused: false,
            waits: RESTART_BACKOFF.waits(fastrand::u64(..)),
            started_at: Instant::now(),
            last_error: None,
            task: None,
            plan: Plan::Keep,
            since,
            leaving: None,
            replies: Vec::new(),
        }
    }

    /// Logs a failure, and returns the pause before the restart.
    fn failed(&mut self, name: &str, error: String) -> Duration {
        let wait = self.next_wait();
        // An error that stays, such as a missing stream, is one line and not one for each restart.
        if self.last_error.as_ref() == Some(&error) {
            tracing::debug!(component = %name, %error, restart_in = ?wait, "input failed again");
        } else {
            tracing::error!(component = %name, %error, restart_in = ?wait, "input failed");
            self.last_error = Some(error);
        }
        wait
    }

    fn next_wait(&mut self) -> Duration {
        if self.started_at.elapsed() >= STABLE_AFTER {
            self.waits.reset();
            self.last_error = None;
        }
        self.waits.next_growing_wait()
    }

    fn start(&mut self, tasks: &mut Supervisor<InputEnd>, wait: Duration, stops: TaskStops) {
        self.started_at = Instant::now() + wait;
        self.task = Some(stops.own.clone());
        let name = self.input.binding.name().to_string();
        let span = tracing::info_span!("input", component = name);
        let reading = input_task::run(self.input.clone(), Arc::clone(&self.is_subscribed), wait, stops);
        tasks.spawn(name, reading.instrument(span));
    }
}

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod tests;

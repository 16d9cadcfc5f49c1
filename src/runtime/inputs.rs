//! Runs the input bindings: one owner task starts, stops and replaces them, and restarts those that fail.

use super::input_task::{self, FORCED_STOP_LIMIT, Input, InputEnd, TaskStops};
use crate::domain::{ComponentName, DrainLimits, Stop, cause_line};
use crate::resilience::{Backoff, Waits};
use crate::tasks::{Ended, Supervisor, TaskFailure};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Instrument;

/// Pauses between the restarts of an input.
const RESTART_BACKOFF: Backoff = Backoff::millis(500, 30_000);
/// The backoff is reset for an input that ran this long before it failed.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Requests that wait for the owner; a caller beyond this number waits too.
const MAX_REQUESTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOutcome {
    /// All records in flight were finished, progress was stored and the leases were released.
    Clean,
    /// Something was aborted. Its records will be redelivered.
    Aborted,
}

/// The owner of all inputs. [`Inputs::run`] runs them; an [`InputsHandle`] changes them meanwhile.
#[derive(Debug)]
pub struct Inputs {
    entries: HashMap<String, Entry>,
    tasks: Supervisor<InputEnd>,
    requests: mpsc::Receiver<Request>,
    reading: watch::Receiver<bool>,
    limits: DrainLimits,
    stop: Stop,
    outcome: DrainOutcome,
}

/// Adds, replaces and removes inputs while they run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InputsHandle {
    requests: mpsc::Sender<Request>,
}

type Reply = oneshot::Sender<DrainOutcome>;

#[derive(Debug)]
enum Request {
    Start(Input, Reply),
    Stop(ComponentName, Reply),
}

/// What becomes of an input when its task has ended.
#[derive(Debug)]
enum Plan {
    Keep,
    Remove,
    Replace(Input),
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
    /// Callers that wait until the plan is carried out.
    replies: Vec<Reply>,
}

impl InputsHandle {
    /// Adds an input, which begins as soon as inputs are read. If there is one of the same name, that is stopped and
    /// drained first; the call returns after that, with the outcome. `None` if all inputs have been stopped for good.
    pub async fn start(&self, input: Input) -> Option<DrainOutcome> {
        self.request(|reply| Request::Start(input, reply)).await
    }

    /// Removes an input after it was drained: deliveries in flight are finished, progress is stored, leases are released.
    /// After its drain limit it is forced. `Clean` if there is no such input, `None` if all inputs have been stopped for
    /// good.
    pub async fn stop(&self, name: &ComponentName) -> Option<DrainOutcome> {
        self.request(|reply| Request::Stop(name.clone(), reply)).await
    }

    async fn request(&self, request: impl FnOnce(Reply) -> Request) -> Option<DrainOutcome> {
        let (reply, outcome) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        outcome.await.ok()
    }
}

impl Inputs {
    /// The inputs that exist at the start. All are read while `reading` is true; when it becomes false, all are drained and
    /// stay listed. One that is replaced or removed has the longer of `limits`, and then some seconds to release its leases.
    #[must_use]
    pub fn new(inputs: Vec<Input>, reading: watch::Receiver<bool>, limits: DrainLimits) -> (Self, InputsHandle) {
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        let entries = inputs.into_iter().map(|input| (input.binding.name().to_string(), Entry::new(input))).collect();
        let owner = Self {
            entries,
            tasks: Supervisor::new(),
            requests,
            reading,
            limits,
            stop: Stop::new(),
            outcome: DrainOutcome::Clean,
        };
        (owner, InputsHandle { requests: sender })
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
        let (name, plan, reply) = match request {
            Request::Start(input, reply) => (input.binding.name().to_string(), Plan::Replace(input), reply),
            Request::Stop(name, reply) => (name.to_string(), Plan::Remove, reply),
        };
        match (self.entries.get_mut(&name), plan) {
            (Some(entry), plan) => {
                entry.plan = plan;
                entry.replies.push(reply);
            }
            (None, Plan::Replace(input)) => {
                self.entries.insert(name.clone(), Entry::new(input));
                answer(vec![reply], DrainOutcome::Clean);
            }
            (None, Plan::Remove | Plan::Keep) => answer(vec![reply], DrainOutcome::Clean),
        }
        self.reconcile(&name, DrainOutcome::Clean);
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

    /// Brings one input into the state in which it should be. `outcome` is how its last task ended.
    fn reconcile(&mut self, name: &str, outcome: DrainOutcome) {
        let is_reading = *self.reading.borrow() && !self.stop.is_finishing();
        let Some(entry) = self.entries.get_mut(name) else { return };
        if let Some(task) = &entry.task {
            match (&entry.plan, is_reading) {
                // Also one that is being replaced, as another sidecar may have a healthy app.
                (_, false) => task.finish(),
                (Plan::Remove | Plan::Replace(_), true) => task.retire(),
                (Plan::Keep, true) => {}
            }
            return;
        }
        match std::mem::replace(&mut entry.plan, Plan::Keep) {
            Plan::Keep => {}
            Plan::Remove => {
                entry.release();
                let replies = std::mem::take(&mut entry.replies);
                self.entries.remove(name);
                return answer(replies, outcome);
            }
            Plan::Replace(input) => {
                entry.release();
                let old = std::mem::replace(entry, Entry::new(input));
                answer(old.replies, outcome);
            }
        }
        if is_reading && !entry.is_refused {
            entry.start(&mut self.tasks, Duration::ZERO, TaskStops::new(&self.stop, self.limits));
        }
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

impl Entry {
    fn new(input: Input) -> Self {
        Self {
            input,
            is_subscribed: Arc::default(),
            is_refused: false,
            waits: RESTART_BACKOFF.waits(fastrand::u64(..)),
            started_at: Instant::now(),
            last_error: None,
            task: None,
            plan: Plan::Keep,
            replies: Vec::new(),
        }
    }

    fn release(&self) {
        if let Some(input) = self.input.binding.input() {
            input.release();
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

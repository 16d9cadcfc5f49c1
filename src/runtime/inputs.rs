//! Runs the input bindings, and restarts those that fail.

use crate::domain::{Binding, BindingError, ComponentName, EventHandler, Stop, cause_line};
use crate::resilience::{Backoff, Waits};
use crate::tasks::{Ended, Supervisor};
use async_trait::async_trait;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// Pauses between the restarts of an input.
const RESTART_BACKOFF: Backoff = Backoff::millis(500, 30_000);
/// The backoff is reset for an input that ran this long before it failed.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How long the inputs may take to release what they hold after a forced stop.
const FORCED_STOP_LIMIT: Duration = Duration::from_secs(2);

/// Asks the app whether it accepts the events of an input.
#[async_trait]
pub trait SubscriptionCheck: Debug + Send + Sync {
    /// Whether the input is to be read. Retries until the app has answered. Must be cancel-safe, as a stop drops it.
    async fn is_subscribed(&self, name: &ComponentName) -> bool;
}

/// An input binding to run.
#[derive(Debug, Clone)]
pub struct Input {
    /// A component without an input side is not run.
    pub binding: Arc<dyn Binding>,
    /// Receives the events.
    pub handler: Arc<dyn EventHandler>,
    /// Called before the first read, and not again after a restart.
    pub subscription: Arc<dyn SubscriptionCheck>,
}

/// How the task of an input ended.
#[derive(Debug)]
enum InputEnd {
    NotSubscribed,
    Stopped,
    /// The binding returned without a stop request.
    Returned,
    Failed(BindingError),
}

#[derive(Debug)]
struct RunningInput {
    input: Input,
    is_subscribed: Arc<AtomicBool>,
    waits: Waits,
    started_at: Instant,
    /// Why it failed last, unless it ran for long since then.
    last_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOutcome {
    /// All records in flight were finished, progress was stored and the leases were released.
    Clean,
    /// Something was aborted. Its records will be redelivered.
    Aborted,
}

/// Runs the inputs until `stop`, each in its own task. An input that fails, returns early or panics is restarted with
/// growing pauses, and the others continue. Returns when all tasks are joined. A forced stop aborts what is left after two
/// seconds and logs its names.
///
/// Not cancel-safe: dropping the future aborts the inputs and leaves their leases to expire.
pub async fn run(inputs: Vec<Input>, stop: Stop) -> DrainOutcome {
    let mut tasks = Supervisor::new();
    let mut running = HashMap::new();
    for input in inputs {
        let name = input.binding.name().to_string();
        let mut input = RunningInput::new(input);
        input.start(&mut tasks, Duration::ZERO, &stop);
        running.insert(name, input);
    }
    let mut outcome = DrainOutcome::Clean;
    loop {
        tokio::select! {
            ended = tasks.next() => {
                let Some(ended) = ended else { return outcome };
                if input_ended(ended, &mut running, &mut tasks, &stop) == DrainOutcome::Aborted {
                    outcome = DrainOutcome::Aborted;
                }
            }
            () = stop.forced() => break,
        }
    }
    // The inputs release their leases without a drain, so that others read the shards at once.
    let released = tokio::time::timeout(FORCED_STOP_LIMIT, async {
        while let Some(ended) = tasks.next().await {
            if input_ended(ended, &mut running, &mut tasks, &stop) == DrainOutcome::Aborted {
                outcome = DrainOutcome::Aborted;
            }
        }
    });
    if released.await.is_ok() {
        return outcome;
    }
    for name in tasks.abort_and_join().await {
        tracing::error!(component = %name, "input aborted by forced stop");
        outcome = DrainOutcome::Aborted;
    }
    outcome
}

/// Restarts the input, unless it ended because of a stop or because the app does not accept its events.
fn input_ended(
    ended: Ended<InputEnd>,
    running: &mut HashMap<String, RunningInput>,
    tasks: &mut Supervisor<InputEnd>,
    stop: &Stop,
) -> DrainOutcome {
    let name = ended.name;
    let error = match ended.result {
        Ok(InputEnd::Stopped) => {
            tracing::info!(component = %name, "input stopped");
            return DrainOutcome::Clean;
        }
        Ok(InputEnd::NotSubscribed) => {
            tracing::debug!(component = %name, "input was not started");
            return DrainOutcome::Clean;
        }
        Ok(InputEnd::Returned) => "it returned without a stop request".to_owned(),
        Ok(InputEnd::Failed(error)) => cause_line(&error),
        Err(failure) => failure.to_string(),
    };
    let Some(input) = running.get_mut(&name) else { return DrainOutcome::Clean };
    if stop.is_finishing() {
        tracing::warn!(component = %name, %error, "input failed during shutdown");
        return DrainOutcome::Aborted;
    }
    let wait = input.next_wait();
    // An error that stays, such as a missing stream, is one line and not one for each restart.
    if input.last_error.as_ref() == Some(&error) {
        tracing::debug!(component = %name, %error, restart_in = ?wait, "input failed again");
    } else {
        tracing::error!(component = %name, %error, restart_in = ?wait, "input failed");
        input.last_error = Some(error);
    }
    input.start(tasks, wait, stop);
    DrainOutcome::Clean
}

impl RunningInput {
    fn new(input: Input) -> Self {
        let waits = RESTART_BACKOFF.waits(fastrand::u64(..));
        Self { input, is_subscribed: Arc::default(), waits, started_at: Instant::now(), last_error: None }
    }

    fn next_wait(&mut self) -> Duration {
        if self.started_at.elapsed() >= STABLE_AFTER {
            self.waits.reset();
            self.last_error = None;
        }
        self.waits.next_growing_wait()
    }

    fn start(&mut self, tasks: &mut Supervisor<InputEnd>, wait: Duration, stop: &Stop) {
        self.started_at = Instant::now() + wait;
        let (input, is_subscribed, stop) = (self.input.clone(), Arc::clone(&self.is_subscribed), stop.child());
        let name = self.input.binding.name().to_string();
        let span = tracing::info_span!("input", component = name);
        tasks.spawn(name, async move { run_one(input, &is_subscribed, wait, stop).await }.instrument(span));
    }
}

async fn run_one(input: Input, is_subscribed: &AtomicBool, wait: Duration, stop: Stop) -> InputEnd {
    // Biased: nothing new begins after a stop request.
    tokio::select! {
        biased;
        () = stop.finishing() => return InputEnd::Stopped,
        () = tokio::time::sleep(wait) => {}
    }
    let Some(binding) = input.binding.input() else { return InputEnd::NotSubscribed };
    if !is_subscribed.load(Ordering::Relaxed) {
        let subscribed = tokio::select! {
            biased;
            () = stop.finishing() => return InputEnd::Stopped,
            subscribed = input.subscription.is_subscribed(input.binding.name()) => subscribed,
        };
        if !subscribed {
            return InputEnd::NotSubscribed;
        }
        is_subscribed.store(true, Ordering::Relaxed);
    }
    tracing::info!("input started");
    match binding.read(Arc::clone(&input.handler), stop.clone()).await {
        Err(error) => InputEnd::Failed(error),
        Ok(()) if stop.is_finishing() => InputEnd::Stopped,
        Ok(()) => InputEnd::Returned,
    }
}

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod tests;

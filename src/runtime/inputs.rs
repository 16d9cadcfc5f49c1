//! Runs the input bindings and starts again those that fail.

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

/// Waits between restarts of one input.
const RESTARTS: Backoff = Backoff::millis(500, 30_000);
/// An input that ran this long before it failed is restarted as if it had never failed.
const STEADY: Duration = Duration::from_secs(60);

/// Whether the app wants the events of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Read and deliver.
    Read,
    /// The app does not want them; the input stays unread.
    NotWanted,
}

/// Decides when, and whether, an input may begin: waits for the app and asks it.
#[async_trait]
pub trait InputGate: Debug + Send + Sync {
    /// Answers once the app has answered; tries again by itself for as long as it takes. Must be cancel-safe: a stop
    /// drops it.
    async fn admitted(&self, name: &ComponentName) -> Admission;
}

/// An input binding with where its events go and who lets it begin.
#[derive(Debug, Clone)]
pub struct InputSlot {
    /// The component; one without an input side is told in the log and left alone.
    pub binding: Arc<dyn Binding>,
    /// Takes the events.
    pub handler: Arc<dyn EventHandler>,
    /// Asked once before the first read; not asked again when a failed input is restarted.
    pub gate: Arc<dyn InputGate>,
}

/// How one attempt to read ended.
#[derive(Debug)]
enum End {
    NotWanted,
    Stopped,
    Returned,
    Failed(BindingError),
}

#[derive(Debug)]
struct Attended {
    slot: InputSlot,
    admitted: Arc<AtomicBool>,
    waits: Waits,
    begun: Instant,
}

/// How the inputs came to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Every record in hand was finished, progress stored, leases released.
    Clean,
    /// Something was cut; its records come again.
    Cut,
}

impl Settled {
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Clean, Self::Clean) => Self::Clean,
            (Self::Cut, _) | (_, Self::Cut) => Self::Cut,
        }
    }
}

/// Runs every input until `stop`. Each is its own task; one that fails, returns early or panics is started again with
/// growing waits and does not disturb the others. Returns when all are joined. A forced stop aborts what is left and
/// names it in the log.
///
/// Not cancel-safe: dropping the future aborts the inputs, and their leases expire by themselves.
pub async fn run(inputs: Vec<InputSlot>, stop: Stop) -> Settled {
    let mut tasks = Supervisor::new();
    let mut attended = HashMap::new();
    for slot in inputs {
        let name = slot.binding.name().to_string();
        let mut input = Attended::new(slot);
        input.start(&mut tasks, Duration::ZERO, &stop);
        attended.insert(name, input);
    }
    let mut settled = Settled::Clean;
    loop {
        tokio::select! {
            ended = tasks.next() => match ended {
                Some(ended) => settled = settled.and(settle(ended, &mut attended, &mut tasks, &stop)),
                None => return settled,
            },
            () = stop.forced() => break,
        }
    }
    for name in tasks.abort_and_join().await {
        tracing::error!(component = %name, "input was cut off at the deadline");
        settled = Settled::Cut;
    }
    settled
}

/// Logs how an input ended and starts it again unless that was its wish or ours.
fn settle(
    ended: Ended<End>,
    attended: &mut HashMap<String, Attended>,
    tasks: &mut Supervisor<End>,
    stop: &Stop,
) -> Settled {
    let name = ended.name;
    let why = match ended.result {
        Ok(End::Stopped) => {
            tracing::info!(component = %name, "input stopped");
            return Settled::Clean;
        }
        Ok(End::NotWanted) => {
            tracing::debug!(component = %name, "input ended unread");
            return Settled::Clean;
        }
        Ok(End::Returned) => "it returned without having been asked to".to_owned(),
        Ok(End::Failed(error)) => cause_line(&error),
        Err(failure) => failure.to_string(),
    };
    let Some(input) = attended.get_mut(&name) else { return Settled::Clean };
    if stop.is_asked() {
        tracing::warn!(component = %name, error = %why, "input failed while stopping");
        return Settled::Cut;
    }
    let wait = input.next_wait();
    tracing::error!(component = %name, error = %why, restart_in = ?wait, "input failed");
    input.start(tasks, wait, stop);
    Settled::Clean
}

impl Attended {
    fn new(slot: InputSlot) -> Self {
        let admitted = Arc::new(AtomicBool::new(false));
        Self { slot, admitted, waits: RESTARTS.waits(fastrand::u64(..)), begun: Instant::now() }
    }

    fn next_wait(&mut self) -> Duration {
        if self.begun.elapsed() >= STEADY {
            self.waits.reset();
        }
        self.waits.next_growing_wait()
    }

    fn start(&mut self, tasks: &mut Supervisor<End>, wait: Duration, stop: &Stop) {
        self.begun = Instant::now() + wait;
        let (slot, admitted, stop) = (self.slot.clone(), Arc::clone(&self.admitted), stop.child());
        let name = self.slot.binding.name().to_string();
        let span = tracing::info_span!("input", component = name);
        tasks.spawn(name, async move { attend(slot, &admitted, wait, stop).await }.instrument(span));
    }
}

async fn attend(slot: InputSlot, admitted: &AtomicBool, wait: Duration, stop: Stop) -> End {
    // Biased: once a stop is asked, nothing new begins.
    tokio::select! {
        biased;
        () = stop.asked() => return End::Stopped,
        () = tokio::time::sleep(wait) => {}
    }
    let Some(input) = slot.binding.input() else { return End::NotWanted };
    if !admitted.load(Ordering::Relaxed) {
        let admission = tokio::select! {
            biased;
            () = stop.asked() => return End::Stopped,
            admission = slot.gate.admitted(slot.binding.name()) => admission,
        };
        match admission {
            Admission::NotWanted => return End::NotWanted,
            Admission::Read => admitted.store(true, Ordering::Relaxed),
        }
    }
    tracing::info!("input started");
    match input.read(Arc::clone(&slot.handler), stop.clone()).await {
        Err(error) => End::Failed(error),
        Ok(()) if stop.is_asked() => End::Stopped,
        Ok(()) => End::Returned,
    }
}

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod tests;

//! The task that reads one input.

use crate::domain::{Binding, BindingError, ComponentName, DrainLimits, EventHandler, Stop};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long an input may take to release what it holds after a forced stop.
pub(super) const FORCED_STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long an input may take, beyond its drain limit, to store its progress and to release its leases.
const RELEASE_MARGIN: Duration = Duration::from_secs(5);

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
pub(super) enum InputEnd {
    NotSubscribed,
    Stopped,
    /// It ignored the forced stop that followed its drain limit.
    Overran,
    /// The binding returned without a stop request.
    Returned,
    Failed(BindingError),
}

/// Stops of one task, and their limits.
#[derive(Debug, Clone)]
pub(super) struct TaskStops {
    /// Of this task.
    pub(super) own: Stop,
    /// Of all inputs; it has its own time limit.
    pub(super) all: Stop,
    pub(super) limits: DrainLimits,
}

impl TaskStops {
    pub(super) fn new(all: &Stop, limits: DrainLimits) -> Self {
        Self { own: all.child(), all: all.clone(), limits }
    }

    /// Resolves when the input was stopped alone, did not end within its drain limit, and ignored the forced stop that
    /// follows.
    async fn overrun(&self) {
        let DrainLimits { urgent, retire } = self.limits;
        let with_margin = |limit: Duration| limit.saturating_add(RELEASE_MARGIN);
        self.own.overdue(DrainLimits { urgent: with_margin(urgent), retire: with_margin(retire) }).await;
        if self.all.is_finishing() {
            return std::future::pending().await;
        }
        tracing::warn!(limits = ?self.limits, "input was not drained within its limit; it is forced to stop");
        self.own.now();
        tokio::time::sleep(FORCED_STOP_LIMIT).await;
    }
}

/// Reads one input after `wait`, until a stop.
pub(super) async fn run(input: Input, is_subscribed: Arc<AtomicBool>, wait: Duration, stops: TaskStops) -> InputEnd {
    let stop = &stops.own;
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
    let read = tokio::select! {
        biased;
        read = binding.read(Arc::clone(&input.handler), stop.clone()) => read,
        () = stops.overrun() => return InputEnd::Overran,
    };
    match read {
        Err(error) => InputEnd::Failed(error),
        Ok(()) if stop.is_finishing() => InputEnd::Stopped,
        Ok(()) => InputEnd::Returned,
    }
}

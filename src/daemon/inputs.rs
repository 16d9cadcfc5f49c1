//! Starts the inputs once the app is up, and asks the app which of them it accepts.

use crate::app::{Answer, AppChannel, Route};
use crate::domain::{Binding, ComponentName, InputBinding, Stop};
use crate::runtime::{DrainOutcome, Input, Inputs, ReadinessGuard, SubscriptionCheck};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// A connected input, and what its file states about it.
#[derive(Debug)]
pub(super) struct InputSpec {
    pub(super) binding: Arc<dyn Binding>,
    pub(super) route: Option<String>,
    pub(super) needs_probe: bool,
    pub(super) metrics: InputMetrics,
}

/// Connects inputs with the app.
#[derive(Debug, Clone)]
pub(super) struct AppInputs {
    /// `None` without an app port: no input is read.
    pub(super) app: Option<AppChannel>,
    /// Ends the questions to the app.
    pub(super) stop: Stop,
}

/// Asks the app by an OPTIONS request, unless the file states a direction.
#[derive(Debug)]
struct OptionsProbe {
    app: AppChannel,
    route: Route,
    needs_probe: bool,
    stop: Stop,
}

#[async_trait]
impl SubscriptionCheck for OptionsProbe {
    async fn is_subscribed(&self, name: &ComponentName) -> bool {
        if !self.needs_probe {
            return true;
        }
        match self.app.until_answered(&self.route, &self.stop).await {
            Some(Answer::Accepted) => true,
            Some(Answer::Rejected { status, reason }) => {
                tracing::warn!(
                    component = %name, status, path = %self.route, %reason,
                    "input was not started because the app rejected its probe; to read it without a probe, set `direction: input`"
                );
                false
            }
            None => false,
        }
    }
}

impl AppInputs {
    /// The input as it is run; `None` without an app.
    pub(super) fn input(&self, spec: InputSpec) -> Option<Input> {
        let InputSpec { binding, route, needs_probe, metrics } = spec;
        let Some(app) = &self.app else {
            tracing::warn!(
                component = %binding.name(), "input was not started because no app port is set; set --app-port"
            );
            return None;
        };
        let route = Route::new(route.as_deref(), binding.name());
        let format = binding.input().map(InputBinding::event_format).unwrap_or_default();
        let handler = app.handler_for(route.clone(), format, metrics);
        let probe = OptionsProbe { app: app.clone(), route, needs_probe, stop: self.stop.clone() };
        Some(Input { binding, handler, subscription: Arc::new(probe) })
    }
}

/// Runs the inputs until a stop is requested. They are read once the app is up, as `reading` then says.
pub(super) async fn run(
    app: Option<AppChannel>,
    inputs: Inputs,
    reading: watch::Sender<bool>,
    ready: ReadinessGuard,
    stop: Stop,
) -> DrainOutcome {
    let Some(app) = app else {
        drop(ready);
        return inputs.run(stop).await;
    };
    let until_up = async {
        if app.wait_until_up(&stop).await {
            reading.send_replace(true);
        }
        drop(ready);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = inputs.run(stop.clone()) => outcome,
        () = until_up => DrainOutcome::Clean,
        never = app.reap_idle() => match never {},
    };
    app.close_idle();
    outcome
}

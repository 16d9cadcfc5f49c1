//! Starts the inputs once the app is up, and asks the app which of them it accepts.

use crate::app::{Answer, AppChannel, Route, counted};
use crate::domain::{Binding, ComponentName, InputBinding, Stop};
use crate::runtime::{self, DrainOutcome, Input, ReadinessGuard, SubscriptionCheck};
use crate::telemetry::{InputBindingMetrics, InputMetrics};
use async_trait::async_trait;
use std::sync::Arc;

/// A connected input, and what its file states about it.
#[derive(Debug)]
pub(super) struct InputSpec {
    pub(super) binding: Arc<dyn Binding>,
    pub(super) route: Option<String>,
    pub(super) needs_probe: bool,
    pub(super) metrics: InputMetrics,
    pub(super) events: InputBindingMetrics,
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

/// Waits for the app, then reads all inputs until a stop is requested.
pub(super) async fn run(
    app: Option<AppChannel>,
    inputs: Vec<InputSpec>,
    ready: ReadinessGuard,
    stop: Stop,
) -> DrainOutcome {
    let Some(app) = app else {
        if !inputs.is_empty() {
            tracing::warn!("inputs were not started because no app port is set; set --app-port");
        }
        drop(ready);
        stop.finishing().await;
        return DrainOutcome::Clean;
    };
    if !app.wait_until_up(&stop).await {
        return DrainOutcome::Clean;
    }
    drop(ready);
    let inputs = inputs.into_iter().map(|spec| input(&app, spec, &stop)).collect();
    let reading = async {
        let outcome = runtime::run_inputs(inputs, stop.clone()).await;
        // Inputs without a subscription end early. The daemon must not take that for a failure.
        stop.finishing().await;
        outcome
    };
    let outcome = tokio::select! {
        outcome = reading => outcome,
        never = app.reap_idle() => match never {},
    };
    app.close_idle();
    outcome
}

fn input(app: &AppChannel, spec: InputSpec, stop: &Stop) -> Input {
    let InputSpec { binding, route, needs_probe, metrics, events } = spec;
    let route = Route::new(route.as_deref(), binding.name());
    let format = binding.input().map(InputBinding::event_format).unwrap_or_default();
    let handler = counted(app.handler_for(route.clone(), format, metrics), events);
    let probe = OptionsProbe { app: app.clone(), route, needs_probe, stop: stop.clone() };
    Input { binding, handler, subscription: Arc::new(probe) }
}

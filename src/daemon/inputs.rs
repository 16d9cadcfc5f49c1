//! Starts the inputs once the app is up, and asks the app which of them it accepts.

use super::app::{App, Channel};
use super::reading::read_while_healthy;
use crate::app::{Answer, AppChannel, GrpcChannel, Route, Subscribed};
use crate::domain::{Binding, BodyFormat, ComponentName, InputBinding, Outputs, Stop};
use crate::runtime::{DrainOutcome, Input, Readiness, ReadinessGuard, SubscriptionCheck};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A connected input, and what its file states about it.
#[derive(Debug)]
pub(super) struct InputSpec {
    pub(super) binding: Arc<dyn Binding>,
    pub(super) route: Option<String>,
    pub(super) needs_probe: bool,
    pub(super) metrics: InputMetrics,
}

/// Asks the app by an OPTIONS request, unless the file states a direction.
#[derive(Debug)]
struct OptionsProbe {
    app: AppChannel,
    route: Route,
    needs_probe: bool,
    stop: Stop,
    /// Dropped after the first response, or failure to get one.
    guard: Mutex<Option<ReadinessGuard>>,
}

impl OptionsProbe {
    fn release(&self) {
        drop(self.guard.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[async_trait]
impl SubscriptionCheck for OptionsProbe {
    async fn is_subscribed(&self, name: &ComponentName) -> bool {
        if !self.needs_probe {
            return true;
        }
        match self.app.until_answered(&self.route, &self.stop, || self.release()).await {
            Some(Answer::Accepted) => true,
            Some(Answer::Rejected { status, reason }) => {
                tracing::warn!(
                    component = %name, status, path = %self.route, %reason,
                    "app has not subscribed to binding {name}. To read it without a probe, set `direction: input`"
                );
                false
            }
            None => false,
        }
    }
}

/// Asks the app by `ListInputBindings`, unless the file states a direction.
#[derive(Debug)]
struct ListProbe {
    app: GrpcChannel,
    needs_probe: bool,
    stop: Stop,
    /// Dropped after the first response, or failure to get one.
    guard: Mutex<Option<ReadinessGuard>>,
}

#[async_trait]
impl SubscriptionCheck for ListProbe {
    async fn is_subscribed(&self, name: &ComponentName) -> bool {
        if !self.needs_probe {
            return true;
        }
        let release = || drop(self.guard.lock().unwrap_or_else(PoisonError::into_inner).take());
        match self.app.is_subscribed(name, &self.stop, release).await {
            Some(Subscribed::Yes) => true,
            Some(Subscribed::No(reason)) => {
                tracing::warn!(
                    component = %name, reason,
                    "app has not subscribed to binding {name}. To read it without asking, set `direction: input`"
                );
                false
            }
            None => false,
        }
    }
}

/// Connects the inputs with the app. Without an app there are none. Unless health checks decide when they are read, the
/// process is ready once the app was asked for each of them, as in daprd; an app that did not answer is asked again later.
/// Responses to events over gRPC may call `outputs`.
pub(super) fn prepare(
    app: Option<&App>,
    specs: Vec<InputSpec>,
    outputs: &Arc<dyn Outputs>,
    ready: &Readiness,
    stop: &Stop,
) -> Vec<Input> {
    let Some(app) = app else {
        if !specs.is_empty() {
            tracing::warn!("App channel is not initialized. Did you configure an app-port?");
        }
        return Vec::new();
    };
    let guard = |spec: &InputSpec| {
        let is_awaited = spec.needs_probe && !app.has_checks();
        is_awaited.then(|| ready.guard(format!("probe of {}", spec.binding.name())))
    };
    let connect = |spec: InputSpec| match &app.channel {
        Channel::Http(channel) => http_input(channel, guard(&spec), spec, stop),
        Channel::Grpc(channel) => grpc_input(channel, guard(&spec), spec, outputs, stop),
    };
    specs.into_iter().map(connect).collect()
}

/// Reads the inputs while the app is healthy, until a stop is requested.
pub(super) async fn run(inputs: Vec<Input>, is_healthy: watch::Receiver<bool>, stop: Stop) -> DrainOutcome {
    if inputs.is_empty() {
        stop.finishing().await;
        return DrainOutcome::Clean;
    }
    read_while_healthy(inputs, is_healthy, stop).await
}

fn grpc_input(
    app: &GrpcChannel,
    guard: Option<ReadinessGuard>,
    spec: InputSpec,
    outputs: &Arc<dyn Outputs>,
    stop: &Stop,
) -> Input {
    let InputSpec { binding, needs_probe, metrics, .. } = spec;
    let format = binding.input().map(InputBinding::event_format).unwrap_or_default();
    if format.body != BodyFormat::Raw {
        tracing::warn!(
            component = %binding.name(),
            "the app is called over gRPC, where `bodyFormat` has no effect: each record is one call; leave it out"
        );
    }
    let handler = app.handler_for(&format, Arc::clone(outputs), metrics);
    let probe = ListProbe { app: app.clone(), needs_probe, stop: stop.clone(), guard: Mutex::new(guard) };
    Input { binding, handler, subscription: Arc::new(probe) }
}

fn http_input(app: &AppChannel, guard: Option<ReadinessGuard>, spec: InputSpec, stop: &Stop) -> Input {
    let InputSpec { binding, route, needs_probe, metrics } = spec;
    let route = Route::new(route.as_deref(), binding.name());
    let format = binding.input().map(InputBinding::event_format).unwrap_or_default();
    let handler = app.handler_for(route.clone(), format, metrics);
    let (app, stop, guard) = (app.clone(), stop.clone(), Mutex::new(guard));
    let probe = OptionsProbe { app, route, needs_probe, stop, guard };
    Input { binding, handler, subscription: Arc::new(probe) }
}

//! Starts the inputs once the app is up, and asks the app which of them it accepts.

use super::app::Channel;
use crate::app::{Answer, AppChannel, GrpcChannel, Route, Subscribed, counted};
use crate::bindings::SharedLimits;
use crate::domain::{Binding, BodyFormat, ComponentName, InputBinding, Outputs, Stop};
use crate::policies::Policies;
use crate::runtime::{Input, ReadinessGuard, SubscriptionCheck};
use crate::telemetry::{InputBindingMetrics, InputMetrics};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};

/// A connected input, and what its file states about it.
#[derive(Debug)]
pub(super) struct InputSpec {
    pub(super) binding: Arc<dyn Binding>,
    pub(super) route: Option<String>,
    pub(super) needs_probe: bool,
    pub(super) metrics: InputMetrics,
    pub(super) events: InputBindingMetrics,
}

/// Connects inputs with the app.
#[derive(Debug, Clone)]
pub(super) struct AppInputs {
    /// `None` without an app port: no input is read.
    pub(super) channel: Option<Channel>,
    /// What responses to events over gRPC may call.
    pub(super) outputs: Arc<dyn Outputs>,
    /// They wrap the deliveries.
    pub(super) policies: Arc<Policies>,
    pub(super) limits: SharedLimits,
    /// Ends the questions to the app, and the retries of messages.
    pub(super) stop: Stop,
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

impl AppInputs {
    /// The input as it is run; `None` without an app. `guard` is dropped once the app was asked whether it accepts the input,
    /// also if it did not answer; it is asked again then.
    pub(super) fn input(&self, spec: InputSpec, guard: Option<ReadinessGuard>) -> Option<Input> {
        let (name, events, metrics) = (spec.binding.name().clone(), spec.events.clone(), spec.metrics.clone());
        let Input { binding, handler, subscription } = match &self.channel {
            Some(Channel::Http(channel)) => http_input(channel, guard, spec, &self.stop),
            Some(Channel::Grpc(channel)) => grpc_input(channel, guard, spec, &self.outputs, &self.stop),
            None => {
                tracing::warn!(component = %name, "App channel is not initialized. Did you configure an app-port?");
                return None;
            }
        };
        let in_turn = self.limits.in_turn(handler, metrics);
        let handler = counted(self.policies.handler(name, in_turn, self.stop.clone()), events);
        Some(Input { binding, handler, subscription })
    }
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
    let InputSpec { binding, route, needs_probe, metrics, .. } = spec;
    let route = Route::new(route.as_deref(), binding.name());
    let format = binding.input().map(InputBinding::event_format).unwrap_or_default();
    let handler = app.handler_for(route.clone(), format, metrics);
    let (app, stop, guard) = (app.clone(), stop.clone(), Mutex::new(guard));
    let probe = OptionsProbe { app, route, needs_probe, stop, guard };
    Input { binding, handler, subscription: Arc::new(probe) }
}

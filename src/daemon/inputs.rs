//! Which inputs are read, and what must be true before: an app port, the app up, the app's yes.

use crate::app::{Answer, AppChannel, Route};
use crate::bindings::Checked;
use crate::domain::{Binding, ComponentName, Stop};
use crate::runtime::{self, Admission, InputGate, InputSlot, ReadinessGuard, Settled};
use async_trait::async_trait;
use std::sync::Arc;

/// An input as its file describes it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: ComponentName,
    pub(super) route: Option<String>,
    pub(super) needs_probe: bool,
}

impl Wanted {
    /// The inputs among the components.
    pub(super) fn of(checked: &Checked) -> Option<Self> {
        let direction = checked.direction();
        direction.has_input().then(|| Self {
            name: checked.name.clone(),
            route: checked.route().map(str::to_owned),
            needs_probe: direction.needs_probe(),
        })
    }
}

/// Asks the app by OPTIONS where the file does not state a direction.
#[derive(Debug)]
struct Gate {
    app: AppChannel,
    route: Route,
    needs_probe: bool,
    stop: Stop,
}

#[async_trait]
impl InputGate for Gate {
    async fn admitted(&self, name: &ComponentName) -> Admission {
        if !self.needs_probe {
            return Admission::Read;
        }
        match self.app.until_answered(&self.route, &self.stop).await {
            Some(Answer::Wanted) => Admission::Read,
            Some(Answer::NotWanted { status, reason }) => {
                tracing::warn!(
                    component = %name, status, path = %self.route, %reason,
                    "input is not read since the app does not take it; set `direction: input` to read without asking"
                );
                Admission::NotWanted
            }
            None => Admission::NotWanted,
        }
    }
}

/// Waits for the app, then reads all inputs until told to stop.
pub(super) async fn run(
    app: Option<AppChannel>,
    inputs: Vec<(Wanted, Arc<dyn Binding>)>,
    ready: ReadinessGuard,
    stop: Stop,
) -> Settled {
    let Some(app) = app else {
        if !inputs.is_empty() {
            tracing::warn!("inputs are not read because there is no app port: give one by --app-port");
        }
        drop(ready);
        stop.asked().await;
        return Settled::Clean;
    };
    if !app.wait_until_up(&stop).await {
        return Settled::Clean;
    }
    drop(ready);
    let slots = inputs.into_iter().map(|(wanted, binding)| slot(&app, &wanted, binding, &stop)).collect();
    let reading = async {
        let settled = runtime::run_inputs(slots, stop.clone()).await;
        stop.asked().await;
        settled
    };
    let settled = tokio::select! {
        settled = reading => settled,
        never = app.reap_idle() => match never {},
    };
    app.close_idle();
    settled
}

fn slot(app: &AppChannel, wanted: &Wanted, binding: Arc<dyn Binding>, stop: &Stop) -> InputSlot {
    let route = Route::new(wanted.route.as_deref(), &wanted.name);
    let handler = app.handler_for(route.clone());
    let gate = Gate { app: app.clone(), route, needs_probe: wanted.needs_probe, stop: stop.clone() };
    InputSlot { binding, handler, gate: Arc::new(gate) }
}

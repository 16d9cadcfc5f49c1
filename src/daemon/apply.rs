//! Removes, replaces and adds components while requests are served and inputs are read.

use super::connect::{Connected, connect_one};
use super::inputs::{AppInputs, InputSpec};
use super::reload_plan::{Plan, RunningFile, RunningFiles};
use crate::bindings::pluggable::Plugs;
use crate::bindings::{Checked, Context};
use crate::domain::{BindingError, ComponentName, FailureKind};
use crate::runtime::{DrainOutcome, Draining, Host, InputsHandle, Retired};
use crate::tasks::Supervisor;
use crate::telemetry::UsedSeries;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// How long calls may go on with a component that was replaced or removed.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Prepares components that a reload has changed or added before they are connected, as `bindd dev` does at its start.
#[async_trait]
pub trait Prepare: Debug + Send + Sync {
    /// Changes a component as [`Prepare::prepare`] does, but creates nothing that it needs: for a test.
    fn redirect(&self, component: &mut Checked);

    /// # Errors
    /// With the reason, as one line, why the components cannot be connected.
    async fn prepare(&self, components: &mut [Checked]) -> Result<(), String>;
}

/// What runs, and how it is changed.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) running: RunningFiles,
    pub(super) failures: HashMap<ComponentName, Failure>,
    /// Why the document of a file does not run in place of the component, which runs on unchanged: as at the last comparison.
    pub(super) faults: BTreeMap<ComponentName, String>,
    parts: Parts,
    /// Each with the name of its component.
    leaving: Supervisor<()>,
}

/// What a change needs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) context: Context,
    pub(super) host: Arc<Host>,
    pub(super) inputs: InputsHandle,
    pub(super) app: AppInputs,
    pub(super) prepare: Option<Arc<dyn Prepare>>,
}

/// A component that could not be connected. The next comparison tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) file: RunningFile,
    pub(super) error: String,
}

/// A component that is connected and not in its place yet, or is disabled.
#[derive(Debug)]
pub(super) struct Ready {
    name: ComponentName,
    file: RunningFile,
    log_name: String,
    /// `None` for one that is disabled.
    connected: Option<Connected>,
}

/// A component that took its place, and what left it.
#[derive(Debug)]
struct Placed {
    name: ComponentName,
    file: RunningFile,
    retired: Option<Retired>,
    draining: Draining,
}

/// Why a component could not be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotConnected {
    pub(super) error: String,
    pub(super) timed_out: bool,
}

impl From<BindingError> for NotConnected {
    fn from(error: BindingError) -> Self {
        Self { error: error.to_string(), timed_out: error.kind() == FailureKind::TimedOut }
    }
}

impl Changes {
    /// With the components that ran or failed at the start.
    pub(super) fn new(parts: Parts, running: RunningFiles, failures: HashMap<ComponentName, Failure>) -> Self {
        Self { running, parts, failures, faults: BTreeMap::new(), leaving: Supervisor::new() }
    }

    /// The pluggable components that run.
    pub(super) fn plugs(&self) -> Plugs {
        self.running.values().filter_map(|file| file.plug.clone()).collect()
    }

    /// Carries out a plan. Components of one step are connected concurrently; one that cannot be connected holds up no
    /// other, and no drain of an old one is waited for.
    pub(super) async fn apply(&mut self, plan: Plan) {
        let Plan { removed, changed, added, faults, concerns_all, .. } = plan;
        self.faults = faults;
        let is_tried = |name: &ComponentName| changed.iter().chain(&added).any(|checked| checked.name == *name);
        let failures = std::mem::take(&mut self.failures).into_iter();
        let (known, ended): (HashMap<_, _>, HashMap<_, _>) =
            failures.partition(|(name, _)| concerns_all || is_tried(name));
        self.failures = known;
        // One that is not tried again was corrected or removed.
        ended.keys().for_each(|name| self.forget_unused(name));
        for name in removed {
            self.remove(&name).await;
        }
        for step in [changed, added] {
            let placing = step.into_iter().map(async |checked| {
                let (name, log_name, file) = (checked.name.clone(), checked.log_name(), RunningFile::new(&checked));
                let placed = match self.parts.ready(checked).await {
                    Ok(ready) => Ok(self.parts.place(ready).await),
                    Err(NotConnected { error, .. }) => Err(Failure { file, error }),
                };
                (name, log_name, placed)
            });
            for (name, log_name, placed) in join_all(placing).await {
                match placed {
                    Ok(placed) => self.placed(placed),
                    Err(failure) => self.failed(name, &log_name, failure),
                }
            }
        }
    }

    /// A component as it is to be connected.
    pub(super) async fn prepared(&self, checked: Checked) -> Result<Checked, NotConnected> {
        self.parts.prepared(checked).await
    }

    /// A component as it would be connected. Nothing is created for it.
    pub(super) fn redirected(&self, mut checked: Checked) -> Checked {
        if let Some(prepare) = &self.parts.prepare {
            prepare.redirect(&mut checked);
        }
        checked
    }

    /// Connects a prepared component, which changes nothing yet.
    pub(super) async fn connected(&self, checked: Checked) -> Result<Ready, NotConnected> {
        self.parts.connected(checked).await
    }

    /// Closes a component that is not needed after all.
    pub(super) async fn discard(&self, ready: Ready) {
        let Ready { name, connected, .. } = ready;
        if let Some(Connected { component, .. }) = connected {
            component.binding.close().await;
        }
        self.forget_unused(&name);
    }

    /// Removes the series of a component that never ran, as those of any number of names would add up.
    pub(super) fn forget_unused(&self, name: &ComponentName) {
        let is_known = self.running.contains_key(name) || self.failures.contains_key(name);
        if !is_known && !self.leaving.contains(name.as_str()) {
            self.parts.context.metrics.forget(name.as_str());
        }
    }

    /// Lets a component take its place.
    pub(super) async fn put_in_place(&mut self, ready: Ready) {
        let placed = self.parts.place(ready).await;
        self.placed(placed);
    }

    fn placed(&mut self, placed: Placed) {
        let Placed { name, file, retired, draining } = placed;
        self.failures.remove(&name);
        self.faults.remove(&name);
        self.running.insert(name.clone(), file);
        self.let_leave(name, retired, draining);
    }

    pub(super) async fn remove(&mut self, name: &ComponentName) {
        let retired = self.parts.host.remove(name);
        let draining = self.parts.inputs.stop(name).await;
        tracing::info!(component = %name, "Component deleted: {name}");
        self.running.remove(name);
        self.failures.remove(name);
        self.faults.remove(name);
        self.let_leave(name.clone(), retired, draining);
    }

    fn failed(&mut self, name: ComponentName, log_name: &str, failure: Failure) {
        if self.failures.get(&name) == Some(&failure) {
            tracing::debug!(component = %name, "component could still not be connected");
            return;
        }
        let state = if self.running.contains_key(&name) { "the old one runs on" } else { "it does not run" };
        tracing::error!(component = %name, state, "Failed to init component {log_name}: {}", failure.error);
        self.failures.insert(name, failure);
    }

    /// Drains the old input, and then closes the old component after its last call, in a task. Not before: a component may
    /// need its connection to acknowledge what is in flight.
    fn let_leave(&mut self, name: ComponentName, retired: Option<Retired>, draining: Draining) {
        self.leaving.spawn(name.to_string(), async move {
            log_drain(&name, draining.outcome().await);
            if let Some(retired) = retired {
                retired.close(CLOSE_LIMIT).await;
            }
        });
    }

    /// Joins the tasks that drain and close replaced and removed components. Never resolves. Cancel-safe.
    pub(super) async fn join_leaving(&mut self) -> Infallible {
        while let Some(ended) = self.leaving.next().await {
            if let Err(error) = ended.result {
                tracing::error!(component = ended.name, %error, "replaced component could not be closed");
            }
            if !self.leaving.contains(&ended.name) {
                self.forget_ended(&ended.name);
            }
        }
        std::future::pending().await
    }

    /// Removes series after the end of a component that was removed, replaced or disabled. One that took its place goes on
    /// with those that it has too, so its counters do not begin again.
    fn forget_ended(&self, name: &str) {
        let metrics = &self.parts.context.metrics;
        if self.running.keys().all(|running| running.as_str() != name) {
            return metrics.forget(name);
        }
        let used = match self.parts.host.component(name) {
            Some(component) => {
                let uses_aws = component.binding.credentials().is_some();
                let output = component.output().is_some() && uses_aws;
                UsedSeries { input: component.has_input(), output, credentials: uses_aws }
            }
            // It may be enabled again, but until then no credentials are loaded.
            None => UsedSeries { input: true, output: true, credentials: false },
        };
        metrics.retain(name, used);
    }

    /// Stops waiting for what is not closed yet; the host closes it with all others.
    pub(super) async fn stop(mut self) {
        self.leaving.abort_and_join().await;
    }
}

impl Parts {
    async fn ready(&self, checked: Checked) -> Result<Ready, NotConnected> {
        self.connected(self.prepared(checked).await?).await
    }

    async fn prepared(&self, mut checked: Checked) -> Result<Checked, NotConnected> {
        if let Some(prepare) = self.prepare.as_ref().filter(|_| !checked.disabled) {
            let prepared = prepare.prepare(std::slice::from_mut(&mut checked)).await;
            prepared.map_err(|error| NotConnected { error, timed_out: false })?;
        }
        Ok(checked)
    }

    async fn connected(&self, checked: Checked) -> Result<Ready, NotConnected> {
        let (name, log_name, file) = (checked.name.clone(), checked.log_name(), RunningFile::new(&checked));
        let connected = if checked.disabled { None } else { Some(connect_one(checked, &self.context).await?) };
        Ok(Ready { name, file, log_name, connected })
    }

    /// Requests find the new one at once, and end on the old one if they have begun.
    async fn place(&self, ready: Ready) -> Placed {
        let Ready { name, file, log_name, connected } = ready;
        let old = self.host.component(name.as_str()).map(|old| old.log_name());
        if let Some(old) = &old {
            tracing::info!(component = %name, "Closing existing Component to reload: {old}");
        }
        let (retired, draining) = match connected {
            Some(Connected { component, input }) => {
                let retired = self.host.replace(component);
                let draining = self.switch_input(&name, input).await;
                let done = if old.is_some() { "updated" } else { "loaded" };
                tracing::info!(component = %name, "Component {done}: {log_name}");
                (retired, draining)
            }
            None => {
                let retired = self.host.disable(&name);
                let draining = self.inputs.stop(&name).await;
                tracing::info!(component = %name, "Component disabled: {log_name}");
                (retired, draining)
            }
        };
        Placed { name, file, retired, draining }
    }

    /// The old input is drained and releases its leases before the new one begins.
    async fn switch_input(&self, name: &ComponentName, spec: Option<InputSpec>) -> Draining {
        match spec.and_then(|spec| self.app.input(spec, None)) {
            Some(input) => self.inputs.start(input).await,
            None => self.inputs.stop(name).await,
        }
    }
}

/// When all inputs have been stopped, as in the block phase of a shutdown, their own lines say how.
fn log_drain(name: &ComponentName, outcome: Option<DrainOutcome>) {
    if outcome == Some(DrainOutcome::Aborted) {
        tracing::warn!(component = %name, "old input was aborted; its records in flight will be redelivered");
    }
}

//! Removes, replaces and adds components while requests are served and inputs are read.

use super::connect::{Connected, connect_one};
use super::inputs::{AppInputs, InputSpec};
use super::reload_plan::{Plan, RunningFile, RunningFiles};
use crate::bindings::{Checked, Context};
use crate::domain::ComponentName;
use crate::manifest::Content;
use crate::runtime::{DrainOutcome, Host, InputsHandle, Retired};
use crate::tasks::Supervisor;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// How long calls may go on with a component that was replaced or removed.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Prepares components that a reload has changed or added before they are connected, as `bindd dev` does at its start.
#[async_trait]
pub trait Prepare: Debug + Send + Sync {
    /// # Errors
    /// With the reason, as one line, why the components cannot be connected.
    async fn prepare(&self, components: &mut [Checked]) -> Result<(), String>;
}

/// What runs, and how it is changed.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) running: RunningFiles,
    parts: Parts,
    failures: HashMap<ComponentName, Failure>,
    closing: Supervisor<()>,
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
    pub(super) content: Content,
    pub(super) error: String,
}

/// The result of connecting one component and letting it take its place.
struct Placed {
    name: ComponentName,
    result: Result<(RunningFile, Option<Retired>), Failure>,
    log_name: String,
}

impl Changes {
    /// With the components that ran or failed at the start.
    pub(super) fn new(parts: Parts, running: RunningFiles, failures: HashMap<ComponentName, Failure>) -> Self {
        Self { running, parts, failures, closing: Supervisor::new() }
    }

    /// Carries out a plan. Components of one step change concurrently; one that cannot be connected holds up no other.
    pub(super) async fn apply(&mut self, plan: Plan) {
        let Plan { removed, changed, added, .. } = plan;
        // One that is not tried again was corrected or removed.
        self.failures.retain(|name, _| changed.iter().chain(&added).any(|checked| checked.name == *name));
        let retired = join_all(removed.iter().map(|name| self.parts.remove(name))).await;
        for (name, retired) in removed.into_iter().zip(retired) {
            self.running.remove(&name);
            self.close(retired);
        }
        for step in [changed, added] {
            let placed = join_all(step.into_iter().map(|checked| self.parts.place(checked))).await;
            placed.into_iter().for_each(|placed| self.placed(placed));
        }
    }

    fn placed(&mut self, placed: Placed) {
        let Placed { name, result, log_name } = placed;
        match result {
            Ok((file, retired)) => {
                self.failures.remove(&name);
                self.running.insert(name, file);
                self.close(retired);
            }
            Err(failure) if self.failures.get(&name) == Some(&failure) => {
                tracing::debug!(component = %name, "component could still not be connected");
            }
            Err(failure) => {
                let state = if self.running.contains_key(&name) { "the old one runs on" } else { "it does not run" };
                tracing::error!(component = %name, state, "Failed to init component {log_name}: {}", failure.error);
                self.failures.insert(name, failure);
            }
        }
    }

    fn close(&mut self, retired: Option<Retired>) {
        if let Some(retired) = retired {
            let name = retired.name().to_string();
            self.closing.spawn(name, async move {
                retired.close(CLOSE_LIMIT).await;
            });
        }
    }

    /// Joins the tasks that close replaced and removed components. Never resolves. Cancel-safe.
    pub(super) async fn close_retired(&mut self) -> Infallible {
        while let Some(ended) = self.closing.next().await {
            if let Err(error) = ended.result {
                tracing::error!(component = ended.name, %error, "replaced component could not be closed");
            }
        }
        std::future::pending().await
    }

    /// Stops waiting for what is not closed yet; the host closes it with all others.
    pub(super) async fn stop(mut self) {
        self.closing.abort_and_join().await;
    }
}

impl Parts {
    async fn remove(&self, name: &ComponentName) -> Option<Retired> {
        let retired = self.host.remove(name);
        self.stop_input(name).await;
        // Not for a component that is replaced: the new one goes on with the series.
        self.context.metrics.forget(name.as_str());
        tracing::info!(component = %name, "Component deleted: {name}");
        retired
    }

    async fn place(&self, checked: Checked) -> Placed {
        let (name, log_name) = (checked.name.clone(), checked.log_name());
        let (file, content) = (RunningFile::new(&checked), checked.content.clone());
        let result = match self.connect(checked).await {
            Ok(Connected { component, input }) => {
                let old = self.host.component(name.as_str()).map(|old| old.log_name());
                if let Some(old) = &old {
                    tracing::info!(component = %name, "Closing existing Component to reload: {old}");
                }
                // Outputs first: requests find the new component at once, and end on the old one if they have begun.
                let retired = self.host.replace(component);
                self.switch_input(&name, input).await;
                let done = if old.is_some() { "updated" } else { "loaded" };
                tracing::info!(component = %name, "Component {done}: {log_name}");
                Ok((file, retired))
            }
            Err(error) => Err(Failure { content, error }),
        };
        Placed { name, result, log_name }
    }

    async fn connect(&self, mut checked: Checked) -> Result<Connected, String> {
        if let Some(prepare) = &self.prepare {
            prepare.prepare(std::slice::from_mut(&mut checked)).await?;
        }
        connect_one(checked, &self.context).await.map_err(|error| error.to_string())
    }

    /// The old input is drained and releases its leases before the new one begins.
    async fn switch_input(&self, name: &ComponentName, spec: Option<InputSpec>) {
        match spec.and_then(|spec| self.app.input(spec, None)) {
            Some(input) => {
                let outcome = self.inputs.start(input).await;
                log_drain(name, outcome);
            }
            None => self.stop_input(name).await,
        }
    }

    async fn stop_input(&self, name: &ComponentName) {
        let outcome = self.inputs.stop(name).await;
        log_drain(name, outcome);
    }
}

/// When all inputs have been stopped, as in the block phase of a shutdown, their own lines say how.
fn log_drain(name: &ComponentName, outcome: Option<DrainOutcome>) {
    if outcome == Some(DrainOutcome::Aborted) {
        tracing::warn!(component = %name, "old input was aborted; its records in flight will be redelivered");
    }
}

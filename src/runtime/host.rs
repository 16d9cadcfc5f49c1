//! The running components, by name. They can be replaced while requests are served.

use super::component::{Component, ComponentHandle, Description, InputState};
use crate::domain::{
    Binding, BindingError, ComponentName, FailureKind, InvokeRequest, InvokeResponse, OperationName, Outcome, Outputs,
};
use crate::policies::Policies;
use crate::tasks::Supervisor;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a component that was replaced may take to close once its close was aborted.
const ABORTED_CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// All components. A change makes a new map, so a look-up takes no lock and allocates nothing.
#[derive(Debug, Default)]
pub struct Host {
    components: ArcSwap<Components>,
    /// Components that were replaced or removed and are not closed yet. The lock also serialises changes.
    retired: Arc<Mutex<Vec<Arc<dyn Binding>>>>,
    policies: Arc<Policies>,
}

#[derive(Debug, Clone, Default)]
struct Components {
    in_order: Vec<ComponentHandle>,
    index_by_name: HashMap<String, usize>,
    /// Names of components that are known and do not run.
    disabled: HashSet<ComponentName>,
}

impl Components {
    fn new(in_order: Vec<ComponentHandle>, disabled: HashSet<ComponentName>) -> Self {
        let entry = |(index, component): (usize, &ComponentHandle)| (component.binding.name().to_string(), index);
        let index_by_name = in_order.iter().enumerate().map(entry).collect();
        Self { in_order, index_by_name, disabled }
    }

    fn get(&self, name: &str) -> Option<&ComponentHandle> {
        self.in_order.get(*self.index_by_name.get(name)?)
    }
}

/// A component that was replaced or removed. Calls that began before may still use it. If it is dropped without
/// [`Retired::close`], the component is closed when the host closes all.
#[derive(Debug)]
#[must_use = "close it, so that it frees its connections and its memory"]
pub struct Retired {
    binding: Arc<dyn Binding>,
    unused: CancellationToken,
    retired: Arc<Mutex<Vec<Arc<dyn Binding>>>>,
}

impl Retired {
    #[must_use]
    pub fn name(&self) -> &ComponentName {
        self.binding.name()
    }

    /// Closes the component after its last call has ended, or after `limit`; the calls that are left then get what the
    /// component knows of them. Closing has the same limit again, and is then aborted. Returns whether nothing was aborted.
    pub async fn close(self, limit: Duration) -> bool {
        let name = self.binding.name();
        let is_unused = tokio::time::timeout(limit, self.unused.cancelled()).await.is_ok();
        if !is_unused {
            tracing::warn!(component = %name, ?limit, "replaced component was closed while calls still used it");
        }
        let is_closed = tokio::time::timeout(limit, self.binding.close()).await.is_ok();
        if !is_closed {
            tracing::error!(component = %name, ?limit, "close of a replaced component was aborted");
            // A `close` that is dropped aborts what it waits for. The second call waits until that has ended.
            if tokio::time::timeout(ABORTED_CLOSE_LIMIT, self.binding.close()).await.is_err() {
                tracing::error!(component = %name, "replaced component did not end after its abort");
            }
        }
        lock(&self.retired).retain(|other| !Arc::ptr_eq(other, &self.binding));
        is_unused && is_closed
    }
}

/// A call of an output binding that failed. The texts of the first three are exactly those of daprd.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    #[error("operation field is missing from request")]
    OperationMissing,
    /// No component of this name has an output side.
    #[error("couldn't find output binding {name}")]
    UnknownBinding { name: String },
    /// A component of this name is known and does not run.
    #[error("binding {name} is disabled; enable its component, or leave `disabled` out of its document")]
    Disabled { name: String },
    #[error("binding {name} does not support operation {operation}. supported operations:{}", supported.join(" "))]
    UnsupportedOperation { name: String, operation: String, supported: Vec<OperationName> },
    #[error(transparent)]
    Binding(#[from] BindingError),
}

impl InvokeError {
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } => FailureKind::Caller,
            Self::UnknownBinding { .. } => FailureKind::NotFound,
            Self::Disabled { .. } => FailureKind::Conflict,
            Self::Binding(error) => error.kind(),
        }
    }

    /// Whether the operation took effect, as far as that is known.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self.binding_error() {
            Some(error) => error.outcome(),
            None => Outcome::NotDone,
        }
    }

    #[must_use]
    pub const fn binding_error(&self) -> Option<&BindingError> {
        match self {
            Self::OperationMissing
            | Self::UnsupportedOperation { .. }
            | Self::UnknownBinding { .. }
            | Self::Disabled { .. } => None,
            Self::Binding(error) => Some(error),
        }
    }

    /// The earliest time for a retry, if it is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.binding_error() {
            Some(error) => error.retry_after(),
            None => None,
        }
    }
}

impl Host {
    /// Names are unique, as the loader checks. If two were the same, the later component would be invoked, as in daprd.
    #[must_use]
    pub fn new(components: Vec<Component>) -> Self {
        let in_order = components.into_iter().map(ComponentHandle::new).collect();
        let components = Components::new(in_order, HashSet::new());
        Self { components: ArcSwap::from_pointee(components), retired: Arc::default(), policies: Arc::default() }
    }

    /// Knows these components as disabled.
    #[must_use]
    pub fn with_disabled(self, names: impl IntoIterator<Item = ComponentName>) -> Self {
        let in_order = self.components.load().in_order.clone();
        self.components.store(Arc::new(Components::new(in_order, names.into_iter().collect())));
        self
    }

    /// Wraps the calls of outputs by these policies.
    #[must_use]
    pub fn with_policies(self, policies: Arc<Policies>) -> Self {
        Self { policies, ..self }
    }

    /// The policies of `Resiliency` documents.
    #[must_use]
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// Adds a component, in place of the one of its name if there is one. Calls that begin from now on use the new one;
    /// those that began before end on the old one, which is returned to be closed.
    pub fn replace(&self, component: Component) -> Option<Retired> {
        let mut retired = lock(&self.retired);
        let Components { mut in_order, mut disabled, .. } = self.components.load().as_ref().clone();
        disabled.remove(component.binding.name());
        let component = ComponentHandle::new(component);
        let place = in_order.iter_mut().find(|known| known.binding.name() == component.binding.name());
        let old = match place {
            Some(place) => Some(std::mem::replace(place, component)),
            None => {
                in_order.push(component);
                None
            }
        };
        self.components.store(Arc::new(Components::new(in_order, disabled)));
        old.map(|old| self.retire(&mut retired, &old))
    }

    /// Removes a component: calls that begin from now on do not find it. It is returned to be closed.
    pub fn remove(&self, name: &ComponentName) -> Option<Retired> {
        self.take_out(name, |disabled| {
            disabled.remove(name);
        })
    }

    /// As [`Host::remove`], but calls that begin from now on fail, as the component is disabled.
    pub fn disable(&self, name: &ComponentName) -> Option<Retired> {
        self.take_out(name, |disabled| {
            disabled.insert(name.clone());
        })
    }

    fn take_out(&self, name: &ComponentName, change: impl FnOnce(&mut HashSet<ComponentName>)) -> Option<Retired> {
        let mut retired = lock(&self.retired);
        let Components { mut in_order, mut disabled, .. } = self.components.load().as_ref().clone();
        change(&mut disabled);
        let index = in_order.iter().position(|known| known.binding.name() == name);
        let old = index.map(|index| in_order.remove(index));
        self.components.store(Arc::new(Components::new(in_order, disabled)));
        old.map(|old| self.retire(&mut retired, &old))
    }

    fn retire(&self, retired: &mut Vec<Arc<dyn Binding>>, old: &ComponentHandle) -> Retired {
        retired.push(Arc::clone(&old.binding));
        Retired { binding: Arc::clone(&old.binding), unused: old.unused(), retired: Arc::clone(&self.retired) }
    }

    /// Performs an operation of an output binding. An empty operation is an error before the name is looked up, as in daprd.
    /// Cancel-safe if the component is.
    pub async fn invoke(&self, name: &str, request: InvokeRequest) -> Result<InvokeResponse, InvokeError> {
        if request.operation.is_empty() {
            return Err(InvokeError::OperationMissing);
        }
        let component = self.find(name)?;
        let Some(output) = component.output() else {
            return Err(InvokeError::UnknownBinding { name: name.to_owned() });
        };
        let supported = output.operations();
        if !supported.iter().any(|known| *known == request.operation) {
            let (name, operation, supported) = (name.to_owned(), request.operation, supported.to_vec());
            return Err(InvokeError::UnsupportedOperation { name, operation, supported });
        }
        let Some(policy) = self.policies.outbound(name) else { return Ok(output.invoke(request).await?) };
        // Found again for each attempt, since a component that was replaced must not be kept by the pauses.
        let repeats = policy.retries();
        drop(component);
        let attempt = || self.attempt(name, request.clone(), repeats);
        Ok(policy.run(attempt).await?)
    }

    /// The component of this name, or why it does not run: both of one moment, as it may be enabled or disabled meanwhile.
    fn find(&self, name: &str) -> Result<ComponentHandle, InvokeError> {
        let components = self.components.load();
        if let Some(component) = components.get(name) {
            return Ok(component.clone());
        }
        let name = name.to_owned();
        let is_disabled = components.disabled.iter().any(|known| known.as_str() == name);
        Err(if is_disabled { InvokeError::Disabled { name } } else { InvokeError::UnknownBinding { name } })
    }

    /// One attempt of a policy. One layer retries: if the policy repeats the request, the component does not.
    async fn attempt(&self, name: &str, request: InvokeRequest, repeats: bool) -> Result<InvokeResponse, BindingError> {
        let as_binding_error = |error: InvokeError| BindingError::new(error.kind(), error.to_string());
        let component = self.find(name).map_err(as_binding_error)?;
        let Some(output) = component.output() else {
            return Err(as_binding_error(InvokeError::UnknownBinding { name: name.to_owned() }));
        };
        if repeats { output.attempt(request).await } else { output.invoke(request).await }
    }

    /// The component that has this name now.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<ComponentHandle> {
        self.components.load().get(name).cloned()
    }

    /// The component of this name, if it has an output side which its file does not exclude.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<ComponentHandle> {
        self.component(name).filter(|component| component.output().is_some())
    }

    /// All components, in loading order.
    #[must_use]
    pub fn components(&self) -> Vec<ComponentHandle> {
        self.components.load().in_order.clone()
    }

    /// In loading order.
    pub fn describe(&self) -> impl Iterator<Item = Description> {
        self.components().into_iter().map(|component| component.describe())
    }

    /// Inputs that do not read until an operator acts, each with the reason.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.components.load().in_order.iter().filter_map(|component| component.refusal()).collect()
    }

    /// Each input by its name, in loading order.
    #[must_use]
    pub fn input_reports(&self) -> Vec<(String, InputState)> {
        self.components.load().in_order.iter().filter_map(|component| component.input_report()).collect()
    }

    /// Closes all components concurrently, also those that were replaced and are not closed yet, and returns the names of
    /// those that panicked. Call it after the inputs are drained and the requests are answered. It has no time limit;
    /// dropping the future aborts what is left.
    pub async fn close_all(&self) -> Vec<ComponentName> {
        join_closing(&mut self.start_closing()).await
    }

    /// Closes all components within `limit`, and returns whether all were closed without a panic. A component that is not
    /// closed by then is aborted. It has then answered its pending requests with what it knows of them.
    pub async fn close_all_within(&self, limit: Duration) -> bool {
        let mut closing = self.start_closing();
        if let Ok(panicked) = tokio::time::timeout(limit, join_closing(&mut closing)).await {
            return panicked.is_empty();
        }
        // A `close` that is dropped aborts what it waits for. The second call waits until that has ended.
        closing.abort_and_join().await;
        join_closing(&mut self.start_closing()).await;
        false
    }

    fn start_closing(&self) -> Supervisor<()> {
        let mut closing = Supervisor::new();
        let running = self.components().into_iter().map(|component| Arc::clone(&component.binding));
        let retired: Vec<_> = lock(&self.retired).clone();
        for binding in running.chain(retired) {
            closing.spawn(binding.name().to_string(), async move { binding.close().await });
        }
        closing
    }
}

/// As for components that use others: without policies, as such a component has its own retries.
#[async_trait]
impl Outputs for Host {
    async fn call(&self, name: &ComponentName, request: InvokeRequest) -> Option<Result<InvokeResponse, BindingError>> {
        let component = self.output(name.as_str())?;
        Some(component.output()?.invoke(request).await)
    }
}

/// Calls outputs as a client of the APIs does, under their policies: for responses of the app that name outputs.
#[derive(Debug)]
pub struct OutputsUnderPolicies(pub Arc<Host>);

#[async_trait]
impl Outputs for OutputsUnderPolicies {
    async fn call(&self, name: &ComponentName, request: InvokeRequest) -> Option<Result<InvokeResponse, BindingError>> {
        match self.0.invoke(name.as_str(), request).await {
            Ok(response) => Some(Ok(response)),
            Err(InvokeError::Binding(error)) => Some(Err(error)),
            Err(InvokeError::UnknownBinding { .. }) => None,
            Err(
                error @ (InvokeError::OperationMissing
                | InvokeError::UnsupportedOperation { .. }
                | InvokeError::Disabled { .. }),
            ) => Some(Err(BindingError::new(error.kind(), error.to_string()))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins the tasks that close components, and returns the names of those that panicked.
async fn join_closing(closing: &mut Supervisor<()>) -> Vec<ComponentName> {
    let mut panicked = Vec::new();
    while let Some(ended) = closing.next().await {
        if let Err(error) = ended.result {
            tracing::error!(component = %ended.name, %error, "component could not be closed");
            panicked.extend(ended.name.parse().ok());
        }
    }
    panicked
}

#[cfg(test)]
#[path = "tests/host.rs"]
mod tests;

//! The loaded components, by name.

use crate::domain::{
    Binding, BindingError, ComponentName, Direction, FailureKind, InputReport, InvokeRequest, InvokeResponse, Outcome,
    OutputBinding,
};
use crate::policies::Policies;
use crate::tasks::Supervisor;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A connected component and what its file states about it.
#[derive(Debug, Clone)]
pub struct Component {
    pub binding: Arc<dyn Binding>,
    /// `spec.type`, such as `bindings.aws.kinesis`.
    pub type_name: String,
    /// `spec.version`, such as `v1`; empty when the file has none.
    pub version: String,
    /// The sides that the file requests.
    pub direction: Direction,
}

/// What `GET /v1.0/metadata` returns about a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `spec.type`.
    pub type_name: &'a str,
    /// `spec.version`; may be empty.
    pub version: &'a str,
    /// Dapr's names of the sides that exist: `INPUT_BINDING`, `OUTPUT_BINDING`.
    pub capabilities: &'static [&'static str],
}

/// An input at one moment.
#[derive(Debug, Clone)]
pub struct InputState {
    /// See [`InputBinding::refusal`](crate::domain::InputBinding::refusal).
    pub refusal: Option<String>,
    /// Why it reads in another way than its file asks for.
    pub fallback: Option<String>,
    pub report: Option<InputReport>,
}

/// All components. It does not change after it was created, so it is shared without a lock.
#[derive(Debug, Default)]
pub struct Host {
    components: Vec<Component>,
    index_by_name: HashMap<String, usize>,
    policies: Arc<Policies>,
}

/// A call of an output binding that failed. The texts of the first three are exactly those of daprd.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    #[error("operation field is missing from request")]
    OperationMissing,
    /// No component of this name has an output side.
    #[error("couldn't find output binding {name}")]
    UnknownBinding { name: String },
    #[error("binding {name} does not support operation {operation}. supported operations:{}", supported.join(" "))]
    UnsupportedOperation { name: String, operation: String, supported: Vec<&'static str> },
    #[error(transparent)]
    Binding(#[from] BindingError),
}

impl InvokeError {
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } => FailureKind::Caller,
            Self::UnknownBinding { .. } => FailureKind::NotFound,
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
            Self::OperationMissing | Self::UnsupportedOperation { .. } | Self::UnknownBinding { .. } => None,
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

impl Component {
    /// `input NAME: why`, if the input does not read until an operator acts.
    fn refusal(&self) -> Option<String> {
        let input = self.binding.input().filter(|_| self.direction.has_input())?;
        input.refusal().map(|why| format!("input {}: {why}", self.binding.name()))
    }

    fn input_report(&self) -> Option<(&str, InputState)> {
        let input = self.binding.input().filter(|_| self.direction.has_input())?;
        let state = InputState { refusal: input.refusal(), fallback: input.fallback(), report: input.report() };
        Some((self.binding.name().as_str(), state))
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        if self.direction.has_output() { self.binding.output() } else { None }
    }

    fn has_input(&self) -> bool {
        self.direction.has_input() && self.binding.input().is_some()
    }

    fn describe(&self) -> Description<'_> {
        let capabilities: &'static [&'static str] = match (self.has_input(), self.output().is_some()) {
            (true, true) => &["INPUT_BINDING", "OUTPUT_BINDING"],
            (true, false) => &["INPUT_BINDING"],
            (false, true) => &["OUTPUT_BINDING"],
            (false, false) => &[],
        };
        let name = self.binding.name().as_str();
        Description { name, type_name: &self.type_name, version: &self.version, capabilities }
    }
}

impl Host {
    /// Names are unique, as the loader checks. If two were the same, the later component would be invoked, as in daprd.
    #[must_use]
    pub fn new(components: Vec<Component>) -> Self {
        let entry = |(index, component): (usize, &Component)| (component.binding.name().as_str().to_owned(), index);
        let index_by_name = components.iter().enumerate().map(entry).collect();
        Self { components, index_by_name, policies: Arc::default() }
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

    /// Performs an operation of an output binding. An empty operation is an error before the name is looked up, as in daprd.
    /// Cancel-safe if the component is.
    pub async fn invoke(&self, name: &str, request: InvokeRequest) -> Result<InvokeResponse, InvokeError> {
        if request.operation.is_empty() {
            return Err(InvokeError::OperationMissing);
        }
        let Some(output) = self.output(name) else {
            return Err(InvokeError::UnknownBinding { name: name.to_owned() });
        };
        let supported = output.operations();
        if !supported.contains(&request.operation.as_str()) {
            let (name, operation, supported) = (name.to_owned(), request.operation, supported.to_vec());
            return Err(InvokeError::UnsupportedOperation { name, operation, supported });
        }
        let Some(policy) = self.policies.outbound(name) else { return Ok(output.invoke(request).await?) };
        // One layer retries: either the policy or the component.
        let attempt =
            || if policy.retries() { output.attempt(request.clone()) } else { output.invoke(request.clone()) };
        Ok(policy.run(attempt).await?)
    }

    /// The output side of a component, if it has one and its file does not exclude it.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&dyn OutputBinding> {
        self.components.get(*self.index_by_name.get(name)?)?.output()
    }

    /// The components that have an input side which their file does not exclude, in loading order.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Component> {
        self.components.iter().filter(|component| component.has_input()).collect()
    }

    /// In loading order.
    pub fn describe(&self) -> impl Iterator<Item = Description<'_>> {
        self.components.iter().map(Component::describe)
    }

    /// Inputs that do not read until an operator acts, each with the reason.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.components.iter().filter_map(Component::refusal).collect()
    }

    /// Each input by its name, in loading order.
    pub fn input_reports(&self) -> impl Iterator<Item = (&str, InputState)> {
        self.components.iter().filter_map(Component::input_report)
    }

    /// Closes all components concurrently, and returns the names of those that panicked. Call it after the inputs are
    /// drained and the requests are answered. It has no time limit; dropping the future aborts what is left.
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
        for component in &self.components {
            let binding = Arc::clone(&component.binding);
            closing.spawn(binding.name().to_string(), async move { binding.close().await });
        }
        closing
    }
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

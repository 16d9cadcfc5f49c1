//! The loaded components, by name.

use crate::domain::{
    Binding, BindingError, ComponentName, Direction, FailureKind, InvokeRequest, InvokeResponse, Outcome, OutputBinding,
};
use crate::tasks::Supervisor;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A connected component and what its file said about it.
#[derive(Debug, Clone)]
pub struct Component {
    /// The connected component.
    pub binding: Arc<dyn Binding>,
    /// `spec.type`, such as `bindings.aws.kinesis`.
    pub type_name: String,
    /// `spec.version`, such as `v1`; empty when the file has none.
    pub version: String,
    /// Which sides the file asks for.
    pub direction: Direction,
}

/// What the metadata page tells about a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `spec.type`.
    pub type_name: &'a str,
    /// `spec.version`; may be empty.
    pub version: &'a str,
    /// Dapr's words for the sides that exist: `INPUT_BINDING`, `OUTPUT_BINDING`.
    pub capabilities: &'static [&'static str],
}

/// All components; built once, then only read, so it is shared without a lock.
#[derive(Debug, Default)]
pub struct Host {
    loaded: Vec<Component>,
    places: HashMap<String, usize>,
}

/// A call of an output binding that failed. The texts of the first three are Dapr's, word for word.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The request names no operation.
    #[error("operation field is missing from request")]
    OperationMissing,
    /// No component of this name has an output side.
    #[error("couldn't find output binding {name}")]
    UnknownBinding {
        /// The name that was asked for.
        name: String,
    },
    /// The component does not offer this operation.
    #[error("binding {name} does not support operation {operation}. supported operations:{}", supported.join(" "))]
    UnsupportedOperation {
        /// The component.
        name: String,
        /// What was asked of it.
        operation: String,
        /// What it offers, in its own order.
        supported: Vec<&'static str>,
    },
    /// The component tried and could not.
    #[error(transparent)]
    Binding(#[from] BindingError),
}

impl InvokeError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } => FailureKind::Caller,
            Self::UnknownBinding { .. } => FailureKind::NotFound,
            Self::Binding(error) => error.kind(),
        }
    }

    /// What is known about the effect of the request.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } | Self::UnknownBinding { .. } => {
                Outcome::NotDone
            }
            Self::Binding(error) => error.outcome(),
        }
    }

    /// The component's own failure, where it was one.
    #[must_use]
    pub const fn of_binding(&self) -> Option<&BindingError> {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } | Self::UnknownBinding { .. } => None,
            Self::Binding(error) => Some(error),
        }
    }

    /// When to try again, if somebody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OperationMissing | Self::UnsupportedOperation { .. } | Self::UnknownBinding { .. } => None,
            Self::Binding(error) => error.retry_after(),
        }
    }
}

impl Component {
    /// `input NAME: why`, if its input waits for an operator.
    fn refusal(&self) -> Option<String> {
        let input = self.binding.input().filter(|_| self.direction.has_input())?;
        input.refusal().map(|why| format!("input {}: {why}", self.binding.name()))
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
    /// A host of these components. Names are unique by the time a component is connected; should two be alike, the
    /// later one answers, as in Dapr.
    #[must_use]
    pub fn new(loaded: Vec<Component>) -> Self {
        let place = |(index, component): (usize, &Component)| (component.binding.name().as_str().to_owned(), index);
        let places = loaded.iter().enumerate().map(place).collect();
        Self { loaded, places }
    }

    /// Performs one operation of an output binding. The operation is checked before the name is looked up, as in
    /// Dapr. Cancel-safe as far as the component is.
    ///
    /// # Errors
    /// With Dapr's text when the request cannot be served, else with the component's own failure.
    pub async fn invoke(&self, name: &str, request: InvokeRequest) -> Result<InvokeResponse, InvokeError> {
        if request.operation.is_empty() {
            return Err(InvokeError::OperationMissing);
        }
        let Some(output) = self.output(name) else {
            return Err(InvokeError::UnknownBinding { name: name.to_owned() });
        };
        let supported = output.operations();
        if !supported.contains(&request.operation.as_str()) {
            let operation = request.operation;
            return Err(InvokeError::UnsupportedOperation {
                name: name.to_owned(),
                operation,
                supported: supported.to_vec(),
            });
        }
        Ok(output.invoke(request).await?)
    }

    /// The output side of a component, if it has one and its file wants it.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&dyn OutputBinding> {
        self.loaded.get(*self.places.get(name)?)?.output()
    }

    /// The components whose input side exists and is wanted, in loading order.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Component> {
        self.loaded.iter().filter(|component| component.has_input()).collect()
    }

    /// All components, in loading order.
    pub fn describe(&self) -> impl Iterator<Item = Description<'_>> {
        self.loaded.iter().map(Component::describe)
    }

    /// Inputs that do not read until an operator changes something, each with the reason.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.loaded.iter().filter_map(Component::refusal).collect()
    }

    /// How many components are loaded.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.loaded.len()
    }

    /// Whether nothing is loaded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.loaded.is_empty()
    }

    /// Closes every component, all at the same time, and returns the names of those that panicked while closing.
    /// To be called once, after the inputs are drained and the callers answered. Has no limit of its own: the caller
    /// cuts it by dropping the future, which aborts what is left.
    pub async fn close_all(&self) -> Vec<ComponentName> {
        closed(&mut self.closing()).await
    }

    /// The same within `limit`. A component that is not closed by then is aborted: once this returns, it has answered its
    /// callers with what it knows. Returns whether all were closed in time and well.
    pub async fn close_all_within(&self, limit: Duration) -> bool {
        let mut closing = self.closing();
        if let Ok(broken) = tokio::time::timeout(limit, closed(&mut closing)).await {
            return broken.is_empty();
        }
        // Dropped midway, `close` aborts what it waits for. The second call waits until that has ended.
        closing.abort_and_join().await;
        closed(&mut self.closing()).await;
        false
    }

    fn closing(&self) -> Supervisor<()> {
        let mut closing = Supervisor::new();
        for component in &self.loaded {
            let binding = Arc::clone(&component.binding);
            closing.spawn(binding.name().to_string(), async move { binding.close().await });
        }
        closing
    }
}

/// Joins the tasks that close components, and returns the names of those that panicked.
async fn closed(closing: &mut Supervisor<()>) -> Vec<ComponentName> {
    let mut broken = Vec::new();
    while let Some(ended) = closing.next().await {
        if let Err(error) = ended.result {
            tracing::error!(component = %ended.name, %error, "component did not close");
            broken.extend(ended.name.parse().ok());
        }
    }
    broken
}

#[cfg(test)]
#[path = "tests/host.rs"]
mod tests;

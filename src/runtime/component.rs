//! A connected component, and the handle that keeps it open while it is in use.

use crate::domain::{Binding, Direction, InputReport, OutputBinding};
use std::ops::Deref;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `metadata.name`.
    pub name: String,
    /// `spec.type`.
    pub type_name: String,
    /// `spec.version`; may be empty.
    pub version: String,
    /// Dapr's names of the sides that exist: `INPUT_BINDING`, `OUTPUT_BINDING`.
    pub capabilities: &'static [&'static str],
}

impl Description {
    /// As daprd names it in its log: `name (type/version)`.
    #[must_use]
    pub fn log_name(&self) -> String {
        format!("{} ({}/{})", self.name, self.type_name, self.version)
    }
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

/// Keeps a component open. One that was replaced or removed is closed after its last handle was dropped, so a call holds
/// a handle until it has its answer.
#[derive(Debug, Clone)]
pub struct ComponentHandle(Arc<Hosted>);

#[derive(Debug)]
struct Hosted {
    component: Component,
    unused: CancellationToken,
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(output) = self.component.binding.output() {
            output.finish();
        }
        self.unused.cancel();
    }
}

impl ComponentHandle {
    pub(super) fn new(component: Component) -> Self {
        Self(Arc::new(Hosted { component, unused: CancellationToken::new() }))
    }

    /// A token that is cancelled when the last handle of the component is dropped.
    pub(super) fn unused(&self) -> CancellationToken {
        self.0.unused.clone()
    }
}

impl Deref for ComponentHandle {
    type Target = Component;

    fn deref(&self) -> &Component {
        &self.0.component
    }
}

impl Component {
    /// Dapr's name of the component in logs: `name (type/version)`.
    #[must_use]
    pub fn log_name(&self) -> String {
        format!("{} ({}/{})", self.binding.name(), self.type_name, self.version)
    }

    /// `input NAME: why`, if the input does not read until an operator acts.
    pub(super) fn refusal(&self) -> Option<String> {
        let input = self.binding.input().filter(|_| self.direction.has_input())?;
        input.refusal().map(|why| format!("input {}: {why}", self.binding.name()))
    }

    /// The state of its input with the name of the component; `None` without an input.
    #[must_use]
    pub fn input_report(&self) -> Option<(String, InputState)> {
        let input = self.binding.input().filter(|_| self.direction.has_input())?;
        let state = InputState { refusal: input.refusal(), fallback: input.fallback(), report: input.report() };
        Some((self.binding.name().to_string(), state))
    }

    /// The output side, if there is one and the file does not exclude it.
    #[must_use]
    pub fn output(&self) -> Option<&dyn OutputBinding> {
        if self.direction.has_output() { self.binding.output() } else { None }
    }

    /// Whether there is an input side which the file does not exclude.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.direction.has_input() && self.binding.input().is_some()
    }

    pub(super) fn describe(&self) -> Description {
        let capabilities: &'static [&'static str] = match (self.has_input(), self.output().is_some()) {
            (true, true) => &["INPUT_BINDING", "OUTPUT_BINDING"],
            (true, false) => &["INPUT_BINDING"],
            (false, true) => &["OUTPUT_BINDING"],
            (false, false) => &[],
        };
        Description {
            name: self.binding.name().to_string(),
            type_name: self.type_name.clone(),
            version: self.version.clone(),
            capabilities,
        }
    }
}

//! Connects components.

use super::inputs::InputSpec;
use crate::bindings::{Checked, Context, connect};
use crate::domain::BindingError;
use crate::runtime::Component;
use crate::telemetry::InitFailure;
use std::sync::Arc;

/// A connected component.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) component: Component,
    /// How its input side is read, if it has one and its file does not exclude it.
    pub(super) input: Option<InputSpec>,
}

/// Connects one component under its `initTimeout`. The log lines begin as those of daprd. The caller logs a failure, which
/// is counted here.
///
/// # Errors
/// When the component cannot be connected, or not in time.
pub(super) async fn connect_one(checked: Checked, context: &Context) -> Result<Connected, BindingError> {
    let (name, type_name) = (checked.name.clone(), checked.type_name.clone());
    let connected = connect_checked(checked, context).await;
    if connected.is_err() {
        context.metrics.dapr().component_failed(&type_name, name.as_str(), InitFailure::Init);
    }
    connected
}

async fn connect_checked(checked: Checked, context: &Context) -> Result<Connected, BindingError> {
    let (type_name, version, direction) = (checked.type_name.to_string(), checked.version.clone(), checked.direction());
    let (route, log_name) = (checked.route().map(str::to_owned), checked.log_name());
    let binding = connect(checked, context).await?;
    let component = Component { binding: Arc::clone(&binding), type_name, version, direction };
    // A file without a direction does not say whether its kind has an input side; the binding knows.
    let input = component.has_input().then(|| InputSpec {
        route,
        needs_probe: direction.needs_probe(),
        metrics: context.metrics.input(binding.name().as_str()),
        events: context.metrics.dapr().input_binding(binding.name().as_str()),
        binding,
    });
    let name = component.binding.name();
    let metrics = context.metrics.dapr();
    metrics.component_loaded();
    // Counted as by daprd, which connects each side of a component on its own.
    if component.has_input() {
        metrics.component_initialized(&component.type_name);
        tracing::info!(component = %name, "successful init for input binding ({log_name})");
    }
    if component.output().is_some() {
        metrics.component_initialized(&component.type_name);
        tracing::info!(component = %name, "successful init for output binding ({log_name})");
    }
    Ok(Connected { component, input })
}

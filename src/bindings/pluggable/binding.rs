//! A pluggable component, with the sides that it has and its file enables.

use super::super::Context;
use super::super::sides::Sides;
use super::input::Input;
use super::output::{Output, operations};
use super::session::{Link, Side, Target};
use super::spec::Spec;
use crate::domain::{Binding, BindingError, ComponentName, FailureKind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};

/// Connects the sides and initializes the component for each. `limit` is that of a later initialization, after the
/// component has ended a connection.
///
/// # Errors
/// When the component cannot be reached or refuses its fields.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    limit: Duration,
    context: &Context,
) -> Result<Arc<dyn Binding>, BindingError> {
    let instance: MetadataValue<Ascii> = name.as_str().parse().map_err(|error| {
        BindingError::new(FailureKind::Caller, "the name cannot be sent to a pluggable component").with_source(error)
    })?;
    let Spec { plug, properties, direction, .. } = spec;
    let (has_input, has_output) = (plug.has_input && direction.has_input(), plug.has_output && direction.has_output());
    let max_message_size = context.max_message_size;
    let target = Arc::new(Target { plug, instance, properties, max_message_size, limit });
    let mut sides = Sides { name: name.clone(), connection: None, input: None, output: None };
    if has_input {
        let link = Link::new(Arc::clone(&target), Side::Input);
        link.session().await?;
        sides.input = Some(Box::new(Input {
            metrics: context.metrics.input(name.as_str()),
            component: name,
            link,
            limits: context.limits.clone(),
            drain_limits: context.drain_limits,
            failing: Mutex::default(),
            refused: Mutex::default(),
        }));
    }
    if has_output {
        let link = Link::new(target, Side::Output);
        let listed = link.session().await?.operations;
        let operations = operations(&listed).map_err(|problem| {
            BindingError::new(FailureKind::Permanent, format!("the pluggable component cannot be used: {problem}"))
        })?;
        sides.output = Some(Box::new(Output { link, operations }));
    }
    Ok(Arc::new(sides))
}

//! Connects the components of the start.

use super::apply::Failure;
use super::connect::{Connected, connect_one};
use super::inputs::InputSpec;
use super::reload_plan::{RunningFile, RunningFiles};
use super::start_error::{StartError, init_failure};
use crate::bindings::{Checked, Context};
use crate::domain::ComponentName;
use crate::runtime::Component;
use std::collections::HashMap;

/// What ran or failed at the start.
#[derive(Debug, Default)]
pub(super) struct Started {
    pub(super) components: Vec<Component>,
    pub(super) inputs: Vec<InputSpec>,
    pub(super) files: RunningFiles,
    pub(super) disabled: Vec<ComponentName>,
    /// Of components with `ignoreErrors`.
    pub(super) failures: HashMap<ComponentName, Failure>,
}

/// Connects all components concurrently. The first failure that its file does not ignore ends the start, once all failures
/// were logged.
pub(super) async fn connect_all(components: Vec<Checked>, context: &Context) -> Result<Started, StartError> {
    let (disabled, components): (Vec<Checked>, Vec<Checked>) =
        components.into_iter().partition(|checked| checked.disabled);
    let connecting = components.into_iter().map(async |checked| {
        let (name, log_name, ignore_errors) = (checked.name.clone(), checked.log_name(), checked.ignore_errors);
        let file = RunningFile::new(&checked);
        (name, log_name, ignore_errors, file, connect_one(checked, context).await)
    });
    let (mut started, mut fatal) = (Started::default(), None);
    for checked in disabled {
        tracing::info!(component = %checked.name, "Component disabled: {}", checked.log_name());
        started.files.insert(checked.name.clone(), RunningFile::new(&checked));
        started.disabled.push(checked.name);
    }
    for (name, log_name, ignore_errors, file, result) in futures_util::future::join_all(connecting).await {
        match result {
            Ok(Connected { component, input }) => {
                tracing::info!(component = %name, kind = component.type_name, "Component loaded: {log_name}");
                started.components.push(component);
                started.inputs.extend(input);
                started.files.insert(name, file);
            }
            Err(source) => {
                // The words of daprd, with which tools find the lines.
                tracing::error!(component = %name, "Failed to init component {log_name}: {source}");
                let failure = init_failure(&name, &log_name, &source);
                if ignore_errors {
                    tracing::error!(component = %name, "Ignoring error processing component: {failure}");
                    started.failures.insert(name, Failure { file, error: source.to_string() });
                } else {
                    tracing::warn!(
                        component = %name, "Error processing component, daprd will exit gracefully: {failure}"
                    );
                    fatal.get_or_insert(StartError::Component { name, log_name, source });
                }
            }
        }
    }
    fatal.map_or(Ok(started), Err)
}

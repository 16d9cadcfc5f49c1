//! Connects the components of the start.

use super::apply::Failure;
use super::connect::{Connected, connect_one};
use super::inputs::InputSpec;
use super::reload_plan::{RunningFile, RunningFiles};
use super::start_error::StartError;
use crate::bindings::{Checked, Context};
use crate::domain::ComponentName;
use crate::runtime::Component;
use crate::telemetry::InitFailure;
use std::collections::HashMap;

/// What ran or failed at the start.
#[derive(Debug, Default)]
pub(super) struct Started {
    pub(super) components: Vec<Component>,
    pub(super) inputs: Vec<InputSpec>,
    pub(super) files: RunningFiles,
    /// Of components with `ignoreErrors`.
    pub(super) failures: HashMap<ComponentName, Failure>,
}

/// Connects all components concurrently. The first failure that its file does not ignore ends the start.
pub(super) async fn connect_all(components: Vec<Checked>, context: &Context) -> Result<Started, StartError> {
    let connecting = components.into_iter().map(async |checked| {
        let (name, log_name, ignore_errors) = (checked.name.clone(), checked.log_name(), checked.ignore_errors);
        let (file, type_name) = (RunningFile::new(&checked), checked.type_name.clone());
        let result = connect_one(checked, context).await;
        (name, log_name, ignore_errors, type_name, file, result)
    });
    let mut started = Started::default();
    for (name, log_name, ignore_errors, type_name, file, result) in futures_util::future::join_all(connecting).await {
        match result {
            Ok(Connected { component, input }) => {
                tracing::info!(component = %name, kind = component.type_name, "Component loaded: {log_name}");
                started.components.push(component);
                started.inputs.extend(input);
                started.files.insert(name, file);
            }
            Err(source) => {
                // The words of daprd, with which tools find the line.
                tracing::error!(component = %name, "Failed to init component {log_name}: {source}");
                context.metrics.dapr().component_failed(&type_name, name.as_str(), InitFailure::Init);
                let code = format!("[INIT_COMPONENT_FAILURE]: initialization error occurred for {log_name}");
                if !ignore_errors {
                    tracing::error!(
                        component = %name,
                        "Error processing component, daprd will exit gracefully: process component {name} error: {code}: {source}"
                    );
                    return Err(StartError::Component { name, log_name, source });
                }
                tracing::error!(
                    component = %name, "Ignoring error processing component: process component {name} error: {code}: {source}"
                );
                started.failures.insert(name, Failure { content: file.content, error: source.to_string() });
            }
        }
    }
    Ok(started)
}

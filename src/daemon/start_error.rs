//! Why the daemon could not start.

use super::configuration::ConfigurationFault;
use crate::app::InvalidAppSettings;
use crate::domain::{BindingError, ComponentName};
use crate::http::BindError;
use crate::manifest::Faults;

/// The daemon could not start. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Configuration(#[from] ConfigurationFault),
    #[error("component files have faults, nothing was started:\n{0}")]
    Files(Faults),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    App(#[from] InvalidAppSettings),
    #[error("traces cannot be exported: {0}")]
    Traces(String),
    /// Only for a component whose file does not set `ignoreErrors: true`.
    #[error("component {name} could not be connected: {source}")]
    Component { name: ComponentName, log_name: String, source: BindingError },
}

impl StartError {
    /// The line with which daprd ends for the same reason; `None` where it has none.
    #[must_use]
    pub fn fatal_line(&self) -> Option<String> {
        let cause = match self {
            Self::Files(faults) if faults.len() == 1 => "1 fault in component files".to_owned(),
            Self::Files(faults) => format!("{} faults in component files", faults.len()),
            Self::Component { name, log_name, source } => init_failure(name, log_name, source),
            Self::Configuration(_) | Self::Bind(_) | Self::App(_) | Self::Traces(_) => return None,
        };
        Some(format!("Fatal error from runtime: failed to load components: {cause}"))
    }
}

/// What daprd says of a component that could not be connected.
pub(super) fn init_failure(name: &ComponentName, log_name: &str, source: &BindingError) -> String {
    format!(
        "process component {name} error: [INIT_COMPONENT_FAILURE]: initialization error occurred for {log_name}: {source}"
    )
}

//! Loads the Configuration of `--config`.

use crate::manifest::{Configuration, ConfigurationError, ProcessEnvironment, load_configuration};
use crate::settings::{Mode, Settings};

/// The Configuration cannot be used, which stops the start, as in daprd.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationFault {
    #[error(transparent)]
    File(#[from] ConfigurationError),
    #[error(
        "error loading configuration: there is no file {name}; with --mode kubernetes, --config names a Configuration \
         resource, which bindd cannot read: mount it as a file and name that, or leave the flag out"
    )]
    Resource { name: String },
}

/// The merged files of the settings.
///
/// # Errors
/// When a file is missing or wrong. In the mode `kubernetes` the flag may name a resource, which only Dapr's operator can
/// read.
pub(super) fn load(settings: &Settings) -> Result<Configuration, ConfigurationFault> {
    if settings.mode == Mode::Kubernetes
        && let Some(name) = settings.config_paths.iter().find(|path| !path.exists())
    {
        return Err(ConfigurationFault::Resource { name: name.display().to_string() });
    }
    Ok(load_configuration(&settings.config_paths, &ProcessEnvironment)?)
}

//! Component files in, checked components out; all faults told at once.

use super::StartError;
use crate::bindings::{Checked, Verdict, check, missing_files};
use crate::manifest::{LoadRequest, ProcessEnvironment, load as load_files};
use crate::settings::Settings;

/// Loads and checks the files of the settings. Contacts nothing.
///
/// # Errors
/// With every fault of every file.
pub fn load(settings: &Settings) -> Result<Vec<Checked>, StartError> {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let Verdict { components, notices, faults } = check(load_files(&request));
    let missing = missing_files(&components, &ProcessEnvironment);
    for notice in notices.iter().chain(&missing) {
        tracing::warn!("{notice}");
    }
    if !faults.is_empty() {
        return Err(StartError::Files(faults));
    }
    if components.is_empty() {
        tracing::warn!(
            "no components were loaded: give a folder or file with components by --resources-path, see the README for one"
        );
    }
    Ok(components)
}

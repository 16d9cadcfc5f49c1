//! Reads the component files.

use crate::bindings::{CheckResult, check, missing_files};
use crate::manifest::{self, ComponentRules, LoadRequest, ProcessEnvironment};
use crate::settings::Settings;

/// The components of the files but those that `rules` deny, and everything that is to be said about the files.
pub(super) fn check_files(settings: &Settings, rules: &ComponentRules) -> CheckResult {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let mut result = check(manifest::load_allowed(&request, rules));
    let absent = missing_files(&result.components, &ProcessEnvironment);
    result.notices.extend(absent);
    if settings.strict_components {
        result.faults.extend(std::mem::take(&mut result.unserved));
    }
    result
}

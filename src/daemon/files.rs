//! Reads the component files.

use crate::bindings::pluggable::{Plugs, SocketFolder};
use crate::bindings::secretstores::{self, StoreOptions};
use crate::bindings::{CheckResult, check_with, missing_files};
use crate::manifest::{self, ComponentRules, LoadRequest, ProcessEnvironment};
use crate::settings::{Mode, Settings};

/// The components of the files but those that `rules` deny, and everything that is to be said about the files. Calls the
/// secret stores that they refer to, and the sockets of pluggable components that are not `known`.
pub(super) async fn check_files(
    settings: &Settings,
    rules: &ComponentRules,
    sockets: &SocketFolder,
    known: Plugs,
) -> CheckResult {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let stores = StoreOptions {
        builtin_kubernetes: settings.mode == Mode::Kubernetes && settings.builtin_kubernetes_secrets,
        ca_bundle: settings.ca_bundle.as_deref(),
    };
    let (plugs, unusable) = sockets.discover(known).await;
    let files = manifest::read_allowed(&request, rules, &plugs.types()).with_dapr_compat(settings.dapr_compat);
    let mut result = check_with(secretstores::load(files, stores).await, &plugs);
    result.notices.extend(unusable);
    let absent = missing_files(&result.components, &ProcessEnvironment);
    result.notices.extend(absent);
    if settings.strict_components {
        result.faults.extend(std::mem::take(&mut result.unserved));
    }
    result
}

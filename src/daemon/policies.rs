//! Loads the policies of `Resiliency` documents.

use crate::domain::Stop;
use crate::manifest::{LoadRequest, ProcessEnvironment, load_resiliencies};
use crate::policies::{Policies, PolicyObserver};
use crate::settings::Settings;
use std::sync::Arc;

/// Counts nothing.
#[derive(Debug)]
struct NoMetrics;

impl PolicyObserver for NoMetrics {}

/// The policies of the folders of the settings. No retry of an output begins once `stop` finishes.
pub(super) fn load(settings: &Settings, stop: &Stop) -> Policies {
    let policies = Policies::new(stop.clone(), Arc::new(NoMetrics));
    reload(settings, &policies);
    policies
}

/// Reads the folders again and replaces the policies. Documents that are wrong are logged and left out.
pub(super) fn reload(settings: &Settings, policies: &Policies) {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let (documents, notices) = load_resiliencies(&request);
    for notice in notices {
        tracing::error!("{notice}");
    }
    policies.reload(&documents);
}

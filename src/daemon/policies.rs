//! Loads the policies of `Resiliency` documents, and reloads them when they change.

use super::policy_metrics::PolicyCounts;
use crate::domain::Stop;
use crate::manifest::{LoadRequest, Notice, ProcessEnvironment, ResiliencyDocument, load_resiliencies};
use crate::policies::Policies;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use std::sync::Arc;

/// The policies that are in use, and the documents they are of.
#[derive(Debug)]
pub(super) struct PolicyFiles {
    policies: Arc<Policies>,
    documents: Vec<ResiliencyDocument>,
    notices: Vec<String>,
}

impl PolicyFiles {
    /// The policies of the folders of the settings. No retry of an output begins once `stop` finishes.
    pub(super) fn load(settings: &Settings, stop: &Stop, metrics: &Metrics) -> Self {
        let counts = PolicyCounts::new(metrics.dapr().resiliency().clone());
        let policies = Arc::new(Policies::new(stop.clone(), Arc::new(counts)));
        let mut files = Self { policies, documents: Vec::new(), notices: Vec::new() };
        files.apply(read(settings));
        files
    }

    pub(super) const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// Puts documents in force if they differ from those before. Those that are wrong are logged and left out.
    pub(super) fn apply(&mut self, (documents, notices): (Vec<ResiliencyDocument>, Vec<Notice>)) {
        let notices: Vec<String> = notices.iter().map(ToString::to_string).collect();
        for notice in notices.iter().filter(|notice| !self.notices.contains(notice)) {
            tracing::error!("{notice}");
        }
        self.notices = notices;
        if documents != self.documents {
            self.policies.reload(&documents);
            self.documents = documents;
        }
    }
}

/// The documents of the folders, and what is wrong with their files.
pub(super) fn read(settings: &Settings) -> (Vec<ResiliencyDocument>, Vec<Notice>) {
    load_resiliencies(&LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    })
}

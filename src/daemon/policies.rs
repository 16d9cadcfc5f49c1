//! Loads the policies of `Resiliency` documents, and reloads them when they change.

use super::policy_merge::{Merged, merge};
use super::policy_metrics::PolicyCounts;
use crate::bindings::CheckResult;
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
    /// What was logged about documents that are in force only because their files have faults.
    kept: Vec<String>,
}

impl PolicyFiles {
    /// The policies of the folders of the settings. No retry of an output begins once `stop` finishes.
    pub(super) fn load(settings: &Settings, stop: &Stop, metrics: &Metrics) -> Self {
        let counts = PolicyCounts::new(metrics.dapr().resiliency().clone());
        let policies = Arc::new(Policies::new(stop.clone(), Arc::new(counts)));
        let mut files = Self { policies, documents: Vec::new(), notices: Vec::new(), kept: Vec::new() };
        let (documents, notices) = read(settings);
        files.log(&notices, &[]);
        files.apply(documents);
        files
    }

    pub(super) const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// Puts changed documents in force. One that is wrong now stays in force as it was. `result` is of the components of
    /// the same files.
    pub(super) fn update(&mut self, read: &(Vec<ResiliencyDocument>, Vec<Notice>), result: &CheckResult) {
        let (documents, notices) = read;
        let Merged { documents, kept } = merge(&self.documents, documents, notices, result);
        self.log(notices, &kept);
        self.apply(documents);
    }

    fn log(&mut self, notices: &[Notice], kept: &[String]) {
        let is_reason = |text: &String| kept.iter().any(|line| line.starts_with(text.as_str()));
        let notices: Vec<String> = notices.iter().map(ToString::to_string).filter(|text| !is_reason(text)).collect();
        let known = |line: &&String| self.notices.contains(line) || self.kept.contains(line);
        for line in notices.iter().chain(kept).filter(|line| !known(line)) {
            tracing::error!("{line}");
        }
        (self.notices, self.kept) = (notices, kept.to_vec());
    }

    /// Those that are wrong are logged and left out.
    fn apply(&mut self, documents: Vec<ResiliencyDocument>) {
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

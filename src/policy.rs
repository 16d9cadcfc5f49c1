//! `bindd policy`: prints the least IAM policy for component files; contacts nothing.

use crate::components::{PolicyScope, check, policy};
use crate::manifest::{LoadRequest, ProcessEnvironment, load};
use crate::settings::PolicySettings;

/// What to print, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The policy as JSON, for standard output; `None` when a file has faults.
    pub policy: Option<String>,
    /// Notes and faults, for standard error.
    pub notes: String,
}

/// The policy of the files, as a sidecar of that app and namespace would see them.
#[must_use]
pub fn run(settings: &PolicySettings) -> Print {
    let files = &settings.files;
    let request = LoadRequest {
        paths: &files.paths,
        app_id: files.app_id.as_deref(),
        namespace: files.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let verdict = check(load(&request));
    if !verdict.faults.is_empty() {
        return Print { policy: None, notes: format!("component files have faults:\n{}", verdict.faults) };
    }
    let region = settings.region.as_deref();
    let mut notes = Vec::new();
    if region.is_none() && verdict.components.iter().any(|checked| checked.connection().region.is_none()) {
        notes.push("some components name no region: the policy allows all, unless you give --region");
    }
    if files.app_id.is_none() {
        notes.push("without --app-id, lease tables and consumers that a file does not name are called bindd-COMPONENT");
    }
    if !verdict.components.is_empty() {
        notes.push(
            "a stream or table under a KMS key of your own also needs, on the key: kms:GenerateDataKey to write to a \
             stream, kms:Decrypt to read; for a table kms:Decrypt and kms:DescribeKey",
        );
    }
    let scope = PolicyScope { app_id: files.app_id.as_deref().unwrap_or("bindd"), region };
    let text = format!("{:#}\n", policy(&verdict.components, scope));
    Print { policy: Some(text), notes: notes.iter().map(|note| format!("note: {note}\n")).collect() }
}

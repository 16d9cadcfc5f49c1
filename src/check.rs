//! `bindd check`: reads component files, tells every fault, contacts nothing.

use crate::components::{Verdict, check};
use crate::manifest::{LoadRequest, ProcessEnvironment, load};
use crate::settings::CheckSettings;
use std::fmt::Write as _;

/// What `check` found: a text to print, and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// For standard output.
    pub text: String,
    /// Whether no fault was found; the exit code is 0 then, else 1.
    pub is_sound: bool,
}

/// Checks the files as a sidecar of that app and namespace would see them.
#[must_use]
pub fn run(settings: &CheckSettings) -> Report {
    let request = LoadRequest {
        paths: &settings.paths,
        app_id: settings.app_id.as_deref(),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let verdict = check(load(&request));
    let text = if settings.json { in_json(&verdict) } else { in_words(&verdict) };
    Report { text, is_sound: verdict.faults.is_empty() }
}

fn in_json(verdict: &Verdict) -> String {
    let components: Vec<_> = verdict
        .components
        .iter()
        .map(|checked| serde_json::json!({ "name": checked.name.as_str(), "type": checked.type_name, "version": checked.version }))
        .collect();
    let notices: Vec<_> = verdict.notices.iter().map(ToString::to_string).collect();
    let faults: Vec<_> = verdict.faults.iter().collect();
    let report = serde_json::json!({ "components": components, "notices": notices, "faults": faults });
    format!("{report:#}\n")
}

fn in_words(verdict: &Verdict) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a `String` cannot fail.
        writeln!(text, "{args}").unwrap_or_default();
    };
    for checked in &verdict.components {
        line(format_args!("ok       {} ({}/{})", checked.name, checked.type_name, checked.version));
    }
    for notice in &verdict.notices {
        line(format_args!("notice   {notice}"));
    }
    for fault in verdict.faults.iter() {
        line(format_args!("fault    {fault}"));
    }
    let (good, bad) = (verdict.components.len(), verdict.faults.iter().count());
    line(format_args!("{good} components without fault, {bad} faults, {} notices", verdict.notices.len()));
    text
}

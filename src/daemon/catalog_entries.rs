//! Makes what the API shows of what runs. Pure.

use super::apply::{Changes, Failure};
use super::catalog::{Entry, State};
use super::overlay::Overlay;
use super::reload_plan::RunningFile;
use crate::domain::ComponentName;
use crate::manifest::override_file;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What runs, and what could not be connected, with the changes that the files do not have.
pub(super) fn entries(changes: &Changes, overlay: &Overlay) -> BTreeMap<ComponentName, Entry> {
    let mut entries: BTreeMap<ComponentName, Entry> = BTreeMap::new();
    for (name, running) in &changes.running {
        let state = if running.document.is_disabled() { State::Disabled } else { State::Running };
        let fault = changes.faults.get(name).cloned();
        entries.insert(name.clone(), entry(name, running, (state, fault), overlay));
    }
    for (name, Failure { file, error }) in &changes.failures {
        let failed = || entry(name, file, (State::Failed, None), overlay);
        entries.entry(name.clone()).or_insert_with(failed).error = Some(error.clone());
    }
    entries
}

fn entry(
    name: &ComponentName,
    running: &RunningFile,
    (state, error): (State, Option<String>),
    overlay: &Overlay,
) -> Entry {
    let of_api = override_file(name.as_str());
    let file = match overlay.base(name.as_str()) {
        Some(base) => Some(base.place.file.clone()),
        None => Some(running.file.clone()).filter(|file| *file != of_api),
    };
    // That goes on when a file was edited and its document cannot be connected.
    let is_changed = overlay.contains(name.as_str()) || running.is_superseded || running.file == of_api;
    Entry { document: Arc::clone(&running.document), state, file, is_changed, error }
}

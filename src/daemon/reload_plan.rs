//! What has to change so that the running components are those of the files. Pure.

use crate::bindings::pluggable::Plug;
use crate::bindings::{CheckResult, Checked};
use crate::domain::ComponentName;
use crate::manifest::{Content, Fault, NotLoaded, Notice, RawDocument};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A component is removed once its file has been unchanged, or gone, for this long: a tool may be about to write the rest.
const SETTLE: Duration = Duration::from_secs(2);

/// The file of a component that runs, as it was when the component was connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningFile {
    pub(super) content: Content,
    pub(super) file: String,
    /// Whether the file was edited after a change over the API, and the edit is not in force.
    pub(super) is_superseded: bool,
    /// As it was written.
    pub(super) document: Arc<RawDocument>,
    /// The pluggable component that serves it.
    pub(super) plug: Option<Arc<Plug>>,
}

impl RunningFile {
    pub(super) fn new(checked: &Checked) -> Self {
        Self {
            content: checked.content.clone(),
            file: checked.place.file.clone(),
            is_superseded: false,
            document: Arc::clone(&checked.source),
            plug: checked.plug().cloned(),
        }
    }
}

pub(super) type RunningFiles = BTreeMap<ComponentName, RunningFile>;

/// To be carried out in this order, which is that of daprd: a name or a lease table may move from one component to another.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) removed: Vec<ComponentName>,
    pub(super) changed: Vec<Checked>,
    pub(super) added: Vec<Checked>,
    /// They run on unchanged, because a value of theirs could not be read. daprd would go on with an empty one, which can
    /// select other credentials.
    pub(super) lacking: Vec<ComponentName>,
    /// They run on unchanged although they are not loaded, for a reason that is not among the faults.
    pub(super) kept: Vec<(ComponentName, Notice)>,
    /// Why the documents of the files do not run in place of these, which run on unchanged.
    pub(super) faults: BTreeMap<ComponentName, String>,
    /// When a component is removed, if the files stay as they are.
    pub(super) next: Option<Instant>,
    /// Whether a fault concerns all components: then nothing is changed, and nothing that failed is tried again.
    pub(super) concerns_all: bool,
}

impl Plan {
    /// Whether nothing is changed now or soon.
    pub(super) fn is_empty(&self) -> bool {
        let (changed, added) = (self.changed.is_empty(), self.added.is_empty());
        self.removed.is_empty() && changed && added && self.next.is_none()
    }
}

/// Removals that wait until the files were unchanged for [`SETTLE`].
#[derive(Debug, Default)]
pub(super) struct Removals(BTreeMap<ComponentName, Removal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Removal {
    /// When its file was first seen as it is now.
    since: Instant,
    file: String,
    /// `None` if the file is gone.
    fingerprint: Option<u64>,
}

impl Removals {
    /// Carries out those that are due, and returns when the next one is.
    fn settle(
        &mut self,
        found: Vec<Removal>,
        names: Vec<ComponentName>,
        now: Instant,
    ) -> (Vec<ComponentName>, Option<Instant>) {
        let known = std::mem::take(&mut self.0);
        let (mut removed, mut next) = (Vec::new(), None::<Instant>);
        for (name, found) in names.into_iter().zip(found) {
            let is_same = |known: &&Removal| (&known.file, known.fingerprint) == (&found.file, found.fingerprint);
            let removal = known.get(&name).filter(is_same).cloned().unwrap_or(found);
            let due = removal.since + SETTLE;
            if due <= now {
                removed.push(name);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
                self.0.insert(name, removal);
            }
        }
        (removed, next)
    }

    /// Whether an added component may be one that is about to be removed, under another name.
    fn hold_up(&self, added: &Checked) -> bool {
        self.0.values().any(|removal| removal.fingerprint.is_none() || removal.file == added.place.file)
    }
}

/// Compares the running components with the files, and notes the files in which unchanged ones are now.
///
/// A component that is not among the loaded ones is removed only if its file is gone, or says plainly that it does not have
/// the component, and was unchanged for [`SETTLE`]. One whose document has faults keeps running as it is, and so does one
/// whose file has anything that cannot be read or is skipped for its kind or type: that may be half of a component. If names
/// are taken twice, nothing changes. Takes the components out of the result.
pub(super) fn plan(
    running: &mut RunningFiles,
    removals: &mut Removals,
    result: &mut CheckResult,
    now: Instant,
) -> Plan {
    if result.faults.iter().any(|fault| fault.concerns_all) {
        let faults = running.iter().filter_map(|(name, known)| Some((name.clone(), faults_of(name, known, result)?)));
        return Plan { faults: faults.collect(), concerns_all: true, ..Plan::default() };
    }
    let components = std::mem::take(&mut result.components);
    let loaded: HashSet<ComponentName> = components.iter().map(|checked| checked.name.clone()).collect();
    let mut plan = Plan::default();
    let (mut gone, mut found) = (Vec::new(), Vec::new());
    for (name, known) in running.iter().filter(|(name, _)| !loaded.contains(*name)) {
        match why_kept(name, known, running, result) {
            Some(notice) => {
                let fault = notice.as_ref().map(ToString::to_string).or_else(|| faults_of(name, known, result));
                plan.faults.extend(fault.map(|fault| (name.clone(), fault)));
                plan.kept.extend(notice.map(|notice| (name.clone(), notice)));
            }
            None => {
                let (file, fingerprint) = (known.file.clone(), result.fingerprints.get(&known.file).copied());
                found.push(Removal { since: now, file, fingerprint });
                gone.push(name.clone());
            }
        }
    }
    (plan.removed, plan.next) = removals.settle(found, gone, now);
    for checked in components {
        match running.get_mut(&checked.name) {
            None if removals.hold_up(&checked) => {}
            None => plan.added.push(checked),
            Some(known) if known.content == checked.content => {
                (known.file, known.document) = (checked.place.file, checked.source);
                known.is_superseded = false;
            }
            // Neither runs.
            Some(known) if checked.disabled && known.document.is_disabled() => *known = RunningFile::new(&checked),
            Some(known) if checked.content.lacks_values() && !known.content.lacks_values() && !checked.disabled => {
                known.file = checked.place.file;
                let fault = format!("{}: a value of the component cannot be read", known.file);
                plan.faults.insert(checked.name.clone(), fault);
                plan.lacking.push(checked.name);
            }
            Some(_) => plan.changed.push(checked),
        }
    }
    plan
}

/// Why a component that is not loaded is not removed: `None` if it is removed, `Some(None)` if its fault is among those of
/// the files.
fn why_kept(
    name: &ComponentName,
    known: &RunningFile,
    running: &RunningFiles,
    result: &CheckResult,
) -> Option<Option<Notice>> {
    // The rest of the file may be missing behind a document with a fault.
    if result.faults.iter().any(|fault| fault.file == known.file || hides(fault, Path::new(&known.file))) {
        return Some(None);
    }
    if result.left_out.contains(name) {
        // With `ignoreErrors` its fault is a notice.
        let has_fault = result.faults.iter().any(|fault| fault.component.as_deref() == Some(name.as_str()));
        let of_it = |notice: &&Notice| notice.component.as_deref() == Some(name.as_str());
        return Some(result.notices.iter().find(of_it).filter(|_| !has_fault).cloned());
    }
    let runs_from_it = |name: &str| running.iter().any(|(other, at)| other.as_str() == name && at.file == known.file);
    let of_file = |one: &&NotLoaded| one.file == known.file && one.name.as_deref().is_none_or(runs_from_it);
    let mut reasons = result.not_loaded.iter().filter(of_file).peekable();
    reasons.peek()?;
    Some(reasons.find_map(|one| one.notice.clone()))
}

/// The faults of a component, and of what its file has in its place.
fn faults_of(name: &ComponentName, known: &RunningFile, result: &CheckResult) -> Option<String> {
    let is_of_it = |fault: &&Fault| {
        fault.component.as_deref() == Some(name.as_str())
            || fault.file == known.file
            || hides(fault, Path::new(&known.file))
    };
    let faults: Vec<String> = result.faults.iter().filter(is_of_it).map(ToString::to_string).collect();
    Some(faults.join("\n")).filter(|text| !text.is_empty())
}

/// Whether a fault is about a whole file or folder which this file is, or is in.
pub(super) fn hides(fault: &Fault, file: &Path) -> bool {
    fault.document.is_none() && file.starts_with(&fault.file)
}

#[cfg(test)]
#[path = "tests/reload_plan.rs"]
mod tests;

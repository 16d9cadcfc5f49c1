//! What has to change so that the running components are those of the files. Pure.

use crate::bindings::pluggable::Plug;
use crate::bindings::{CheckResult, Checked};
use crate::domain::ComponentName;
use crate::manifest::{Content, Fault};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The file of a component that runs, as it was when the component was connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningFile {
    pub(super) content: Content,
    pub(super) file: String,
    /// The pluggable component that serves it.
    pub(super) plug: Option<Arc<Plug>>,
}

impl RunningFile {
    pub(super) fn new(checked: &Checked) -> Self {
        Self { content: checked.content.clone(), file: checked.place.file.clone(), plug: checked.plug().cloned() }
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
}

/// Compares the running components with the files, and notes the files in which unchanged ones are now.
///
/// A component that is not among the loaded ones is removed only if its file says so. One whose document has faults keeps
/// running as it is, and so does one whose file or one of whose secrets cannot be read. If names are taken twice, nothing
/// changes.
pub(super) fn plan(running: &mut RunningFiles, result: CheckResult) -> Plan {
    let CheckResult { components, faults, left_out, unread_files, .. } = result;
    if faults.iter().any(|fault| fault.concerns_all) {
        return Plan::default();
    }
    let loaded: HashSet<ComponentName> = components.iter().map(|checked| checked.name.clone()).collect();
    let is_unread = |file: &str| {
        unread_files.iter().any(|unread| unread == file) || faults.iter().any(|fault| hides(fault, Path::new(file)))
    };
    let is_gone = |(name, known): &(&ComponentName, &RunningFile)| {
        !loaded.contains(*name) && !left_out.contains(*name) && !is_unread(&known.file)
    };
    let mut plan =
        Plan { removed: running.iter().filter(is_gone).map(|(name, _)| name.clone()).collect(), ..Plan::default() };
    for checked in components {
        match running.get_mut(&checked.name) {
            None => plan.added.push(checked),
            Some(known) if known.content == checked.content => known.file = checked.place.file,
            Some(known) if checked.content.lacks_values() && !known.content.lacks_values() => {
                known.file = checked.place.file;
                plan.lacking.push(checked.name);
            }
            Some(_) => plan.changed.push(checked),
        }
    }
    plan
}

/// Whether a fault is about a whole file or folder which this file is, or is in.
fn hides(fault: &Fault, file: &Path) -> bool {
    fault.document.is_none() && file.starts_with(&fault.file)
}

#[cfg(test)]
#[path = "tests/reload_plan.rs"]
mod tests;

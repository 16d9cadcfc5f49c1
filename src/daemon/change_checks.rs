//! What is checked before a change of the API is carried out.

use super::apply::NotConnected;
use super::catalog::Entry;
use super::change::Write;
use super::reading::{FilesRead, Reading};
use crate::bindings::{CheckResult, Checked, check_access};
use crate::domain::{ComponentName, FailureKind, InvalidName, app_id_or_default};
use crate::http::{ComponentRefusal, DocumentFault, RefusalKind};
use crate::manifest::{Fault, LostSecret, Overridden, RawDocument, fits_new_file, is_secret_store, override_file};
use std::time::Duration;

/// Limit of all calls that find out whether a new component has the access that it needs.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// The largest document as JSON. Documents stay in memory, patches add to them, and aliases of YAML expand small texts.
const MAX_EXPANDED: usize = 512 << 10;
/// The longest name, in bytes, as in Kubernetes.
const MAX_NAME: usize = 253;

pub(super) fn not_found(name: &str) -> ComponentRefusal {
    let message = format!("there is no component `{name}`; GET /v1.0-alpha1/components lists them");
    ComponentRefusal::new(RefusalKind::NotFound, message)
}

pub(super) fn not_connected(error: NotConnected) -> ComponentRefusal {
    let NotConnected { error, timed_out } = error;
    let kind = if timed_out { RefusalKind::TimedOut } else { RefusalKind::Unusable };
    ComponentRefusal::new(kind, format!("the component cannot be connected, and nothing was changed: {error}"))
}

pub(super) fn component_name(name: &str) -> Result<ComponentName, ComponentRefusal> {
    name.parse().map_err(|error: InvalidName| invalid_name(error.to_string()))
}

fn invalid_name(problem: String) -> ComponentRefusal {
    let (field, remedy) = ("metadata.name".to_owned(), "use letters, digits, `-`, `_` and `.`".to_owned());
    ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }])
}

/// Whether a new file can have the name of the component.
pub(super) fn check_file_name(name: &str) -> Result<(), ComponentRefusal> {
    if fits_new_file(name) {
        return Ok(());
    }
    let problem = "a new file cannot have this name, as names of files have at most 255 bytes".to_owned();
    let (field, remedy) = ("metadata.name".to_owned(), "use a shorter name".to_owned());
    Err(ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }]))
}

/// The document of the files whose place the change takes.
pub(super) fn found(read: &FilesRead, name: &str) -> Option<Overridden> {
    read.overridden.iter().find(|found| found.document.name().as_deref() == Some(name)).cloned()
}

/// The document that is to run.
pub(super) fn new_document(name: &str, write: Write, current: Option<&Entry>) -> Result<RawDocument, ComponentRefusal> {
    component_name(name)?;
    // A line break would begin another line of the log, which may look like one of the audit.
    if name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(invalid_name(format!("the name has more than {MAX_NAME} bytes, or a control character")));
    }
    let old = current.map(|entry| entry.document.as_ref());
    let document = match (write, old) {
        (Write::Create(document) | Write::Replace(document), _) if document.has("disabled") => {
            let problem = "a document has this member in `spec`; here it would have no effect".to_owned();
            let remedy = "write `spec.disabled`, or send `disabled` with PATCH".to_owned();
            return Err(ComponentRefusal::invalid(vec![DocumentFault {
                field: "disabled".to_owned(),
                problem,
                remedy,
            }]));
        }
        (Write::Create(document) | Write::Replace(document), _) => document,
        (Write::Patch(patch), Some(old)) => old.patched(&patch).map_err(|wrong| {
            let (field, problem, remedy) = (wrong.field, wrong.problem, wrong.remedy.to_owned());
            ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }])
        })?,
        (Write::SetDisabled(disabled), Some(old)) => old.clone().with_disabled(disabled),
        (Write::Patch(_) | Write::SetDisabled(_), None) => return Err(not_found(name)),
    };
    let document = match document.name() {
        None => document.named(name),
        Some(other) if other == name => document,
        Some(other) => {
            let problem = format!("the document has the name `{other}`, and the path `{name}`");
            let (field, remedy) =
                ("metadata.name".to_owned(), "write the name of the path, or leave it out".to_owned());
            return Err(ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }]));
        }
    };
    if is_secret_store(&document.component_type()) {
        let problem = "secret stores cannot be managed over the API, as every component may read them".to_owned();
        let (field, remedy) = ("spec.type".to_owned(), "put the store into the resources folder".to_owned());
        return Err(ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }]));
    }
    let document = document.unmasked(old).map_err(|LostSecret { field }| {
        let problem = "`***` stands for a secret that is not known here".to_owned();
        ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy: "write the value".to_owned() }])
    })?;
    if document.masked().to_string().len() > MAX_EXPANDED {
        let message = "the document would have more than 512 KiB; remove items, or use fewer aliases";
        return Err(ComponentRefusal::new(RefusalKind::TooLarge, message));
    }
    Ok(document)
}

/// The component of the changed document.
///
/// # Errors
/// With the faults of the document. Those of the files do not count.
pub(super) fn checked_of(result: CheckResult, name: &str) -> Result<Checked, ComponentRefusal> {
    let file = override_file(name);
    let is_own = |checked: &Checked| checked.name.as_str() == name && checked.place.file == file;
    if let Some(checked) = result.components.into_iter().find(is_own) {
        return Ok(checked);
    }
    let fault = |fault: Fault| {
        let Fault { field, problem, remedy, .. } = fault;
        DocumentFault { field: field.unwrap_or_default(), problem, remedy }
    };
    let mut faults: Vec<DocumentFault> =
        result.faults.into_iter().filter(|fault| fault.file == file).map(fault).collect();
    if faults.is_empty() {
        // Those of a document with `ignoreErrors`, or with `--dapr-compat`, are notices.
        let notices = result.notices.into_iter().filter(|notice| notice.file == file);
        faults.extend(notices.map(|notice| DocumentFault {
            field: String::new(),
            problem: notice.text,
            remedy: "correct the document".to_owned(),
        }));
    }
    if faults.is_empty() {
        let problem = "bindd does not serve this type of component".to_owned();
        let remedy = "send a binding that bindd serves".to_owned();
        faults.push(DocumentFault { field: "spec.type".to_owned(), problem, remedy });
    }
    Err(ComponentRefusal::invalid(faults))
}

/// Tries what the component needs. A call that is not needed, or whose result is not certain, does not matter.
pub(super) async fn probe(checked: &Checked, reading: &Reading) -> Result<(), ComponentRefusal> {
    if checked.disabled {
        return Ok(());
    }
    let settings = &reading.settings;
    let app_id = app_id_or_default(&settings.app_id);
    let access = check_access(checked.clone(), app_id, settings.ca_bundle.as_deref(), PROBE_LIMIT).await;
    let is_certain = |failure: Option<FailureKind>| failure != Some(FailureKind::Throttled);
    let failed = access.findings.iter().filter(|found| !found.result.is_sufficient() && is_certain(found.failure));
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    let timed_out = failed.iter().any(|found| found.failure == Some(FailureKind::TimedOut));
    let kind = if timed_out { RefusalKind::TimedOut } else { RefusalKind::Unusable };
    let shown = failed.iter().map(|found| {
        let (tried, resource, result) = (found.tried, &found.resource, found.result.as_str());
        format!("{tried} of {resource}: {result}; {}", found.hint)
    });
    let message =
        format!("the component cannot work, and nothing was changed: {}", shown.collect::<Vec<_>>().join("\n"));
    Err(ComponentRefusal::new(kind, message))
}

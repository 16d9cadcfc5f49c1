//! What is checked before a change of the API is carried out.

use super::catalog::{Catalog, Entry};
use super::change::Write;
use super::reading::{FilesRead, Reading};
use crate::bindings::{CheckResult, Checked, check_access};
use crate::domain::{ComponentName, FailureKind, InvalidName, app_id_or_default};
use crate::http::{ComponentRefusal, DocumentFault, RefusalKind};
use crate::manifest::{
    Fault, LostSecret, Notice, Overridden, RawDocument, fits_new_file, is_secret_store, override_file,
};
use std::collections::HashSet;
use std::time::Duration;

/// Limit of all calls that find out whether a new component has the access that it needs.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// The largest document as JSON. Documents stay in memory, patches add to them, and aliases of YAML expand small texts.
const MAX_EXPANDED: usize = 512 << 10;
/// The longest name, in bytes, as in Kubernetes.
const MAX_NAME: usize = 253;
/// Data connectors of one app, the limit of the platform that they come from. Components have no such limit.
const MAX_CONNECTORS: usize = 10;

pub(super) fn not_found(name: &str) -> ComponentRefusal {
    let message = format!("there is no component `{name}`; GET /v1.0-alpha1/components lists them");
    ComponentRefusal::new(RefusalKind::NotFound, message)
}

/// Whether there may be another data connector.
pub(super) fn check_connector_limit(catalog: &Catalog) -> Result<(), ComponentRefusal> {
    let count = catalog.all().values().filter(|entry| entry.document.connector().is_some()).count();
    if count < MAX_CONNECTORS {
        return Ok(());
    }
    let message = format!(
        "an app has at most {MAX_CONNECTORS} data connectors; delete one, or create a component with PUT \
         /v1.0-alpha1/components/<name>, which has no such limit"
    );
    Err(ComponentRefusal::new(RefusalKind::Full, message))
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
        (Write::Create(document) | Write::CreateConnector(document) | Write::Replace(document), _)
            if document.has("disabled") =>
        {
            let problem = "a document has this member in `spec`; here it would have no effect".to_owned();
            let remedy = "write `spec.disabled`, or send `disabled` with PATCH".to_owned();
            return Err(ComponentRefusal::invalid(vec![DocumentFault {
                field: "disabled".to_owned(),
                problem,
                remedy,
            }]));
        }
        (Write::Create(document) | Write::CreateConnector(document) | Write::Replace(document), _) => document,
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

/// What `bindd check` would notice in the document of a change.
pub(super) fn notices_of(result: &CheckResult, name: &str) -> Vec<String> {
    let file = override_file(name);
    result.notices.iter().filter(|notice| notice.file == file).map(|notice| notice.text.clone()).collect()
}

/// The component of the changed document.
///
/// # Errors
/// With the faults of the document. Those of the files do not count.
pub(super) fn checked_of(
    result: &CheckResult,
    name: &str,
    document: &RawDocument,
) -> Result<Checked, ComponentRefusal> {
    let file = override_file(name);
    let is_own = |checked: &&Checked| checked.name.as_str() == name && checked.place.file == file;
    if let Some(checked) = result.components.iter().find(is_own) {
        return Ok(checked.clone());
    }
    let own = result.faults.iter().filter(|fault| fault.file == file);
    let mut faults: Vec<DocumentFault> = own.map(document_fault).collect();
    if faults.is_empty() {
        // Those of a document with `ignoreErrors`, or with `--dapr-compat`, are notices.
        faults.extend(notices_of(result, name).into_iter().map(|problem| DocumentFault {
            field: String::new(),
            problem,
            remedy: "correct the document".to_owned(),
        }));
    }
    // Why its secrets cannot be read may be said of their store only.
    let store = document.secret_store();
    let of_store = |fault: &&Fault| fault.file != file && fault.component.is_some() && fault.component == store;
    faults.extend(result.faults.iter().filter(of_store).map(of_another));
    if faults.is_empty() {
        let problem = "bindd does not serve this type of component".to_owned();
        let remedy = "send a binding that bindd serves".to_owned();
        faults.push(DocumentFault { field: "spec.type".to_owned(), problem, remedy });
    }
    Err(ComponentRefusal::invalid(faults))
}

fn document_fault(fault: &Fault) -> DocumentFault {
    let Fault { field, problem, remedy, .. } = fault.clone();
    DocumentFault { field: field.unwrap_or_default(), problem, remedy }
}

/// As a fault of a document, about another component than that of the document.
fn of_another(fault: &Fault) -> DocumentFault {
    let DocumentFault { field, problem, remedy } = document_fault(fault);
    let other = fault.component.as_deref().unwrap_or(&fault.file);
    DocumentFault { field, problem: format!("component `{other}`: {problem}"), remedy }
}

fn faults_of_others<'r>(result: &'r CheckResult, name: &str) -> impl Iterator<Item = &'r Fault> {
    result.faults.iter().filter(move |fault| fault.component.as_deref().is_some_and(|other| other != name))
}

/// Whether any component but this one has a fault.
pub(super) fn has_other_faults(result: &CheckResult, name: &str) -> bool {
    faults_of_others(result, name).next().is_some() || result.left_out.iter().any(|other| other.as_str() != name)
}

/// `with` is what was read with a change of the component of this name, `without` the same without it.
///
/// # Errors
/// With the faults that other components have only with the change: one may name this component as its dead letter binding.
pub(super) fn check_others(name: &str, with: &CheckResult, without: &CheckResult) -> Result<(), ComponentRefusal> {
    // Not by their texts, which may differ from one reading to the next.
    let place = |fault: &Fault| (fault.file.clone(), fault.document, fault.component.clone(), fault.field.clone());
    let known: HashSet<_> = without.faults.iter().map(place).collect();
    let new: Vec<&Fault> = faults_of_others(with, name).filter(|fault| !known.contains(&place(fault))).collect();
    let mut faults: Vec<DocumentFault> = new.iter().map(|fault| of_another(fault)).collect();
    for other in with.left_out.iter().filter(|other| other.as_str() != name && !without.left_out.contains(other)) {
        let of_other = |component: &Option<String>| component.as_deref() == Some(other.as_str());
        if new.iter().any(|fault| of_other(&fault.component)) {
            continue;
        }
        // With `ignoreErrors`, or with `--dapr-compat`, its faults are notices.
        let is_new = |notice: &&Notice| of_other(&notice.component) && !without.notices.contains(notice);
        faults.extend(with.notices.iter().filter(is_new).map(|notice| DocumentFault {
            field: String::new(),
            problem: format!("component `{other}`: {}", notice.text),
            remedy: "change that component first".to_owned(),
        }));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let refusal = ComponentRefusal::invalid(faults);
    let message = format!("other components would have faults, and nothing was changed: {}", refusal.message);
    Err(ComponentRefusal { kind: RefusalKind::InUse, message, ..refusal })
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

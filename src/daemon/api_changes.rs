//! Carries out the changes that the API requests, in the owner task.

use super::apply::{Changes, NotConnected};
use super::audit::Audit;
use super::catalog::{Catalog, Entry, State, names_tag};
use super::change::{Answer, Change, ChangeRequest, Changed, Write};
use super::overlay::Overlay;
use super::reading::{FilesRead, Reading};
use super::reload_plan::hides;
use crate::bindings::{CheckResult, Checked, check_access};
use crate::domain::{ComponentName, FailureKind};
use crate::http::{ChangeOptions, ComponentRefusal, DocumentFault, RefusalKind};
use crate::manifest::{Fault, LostSecret, Overridden, Overrides, RawDocument, is_secret_store, override_file};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Limit of all calls that find out whether a new component has the access that it needs.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Documents that the files do not have.
const MAX_OVERLAY: usize = 500;

/// The API's part of the owner task.
#[derive(Debug)]
pub(super) struct ApiChanges {
    catalog: Arc<Catalog>,
    /// `None` without the API.
    requests: Option<mpsc::Receiver<ChangeRequest>>,
    overlay: Overlay,
}

/// What a change needs of the owner task.
struct Scene<'a> {
    reading: &'a Reading,
    changes: &'a mut Changes,
    audit: &'a mut Audit,
}

impl ApiChanges {
    pub(super) fn new(catalog: Arc<Catalog>, requests: Option<mpsc::Receiver<ChangeRequest>>) -> Self {
        Self { catalog, requests, overlay: Overlay::default() }
    }

    /// The next request. Never resolves without the API. Cancel-safe.
    pub(super) async fn next(&mut self) -> ChangeRequest {
        let next = match &mut self.requests {
            Some(requests) => requests.recv().await,
            None => None,
        };
        match next {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    pub(super) fn overrides(&self) -> Overrides {
        self.overlay.overrides()
    }

    /// Ends the changes whose files were edited since. Whether there are any, and when to look again.
    pub(super) fn supersede(&mut self, read: &FilesRead) -> (bool, Option<Instant>) {
        let CheckResult { faults, not_loaded, .. } = &read.result;
        let is_hidden = |file: &str| {
            faults.iter().any(|fault| fault.file == file || hides(fault, Path::new(file)))
                || not_loaded.iter().any(|one| one.file == file)
        };
        let (superseded, next) = self.overlay.supersede(&read.overridden, is_hidden, Instant::now());
        for one in &superseded {
            tracing::warn!(
                component = one.name,
                file = one.file,
                "component file was edited; it replaces the change that was made over the components API"
            );
        }
        (!superseded.is_empty(), next)
    }

    /// Shows what runs now.
    pub(super) fn publish(&self, changes: &Changes) {
        if self.requests.is_none() {
            return;
        }
        let mut entries: BTreeMap<ComponentName, Entry> = BTreeMap::new();
        for (name, running) in &changes.running {
            let state = if running.document.is_disabled() { State::Disabled } else { State::Running };
            let file = self.file_of(name, &running.file);
            let (document, is_changed) = (Arc::clone(&running.document), self.overlay.contains(name.as_str()));
            entries.insert(name.clone(), Entry { document, state, file, is_changed, error: None });
        }
        for (name, failure) in &changes.failures {
            let failed = || Entry {
                document: Arc::clone(&failure.file.document),
                state: State::Failed,
                file: self.file_of(name, &failure.file.file),
                is_changed: self.overlay.contains(name.as_str()),
                error: None,
            };
            entries.entry(name.clone()).or_insert_with(failed).error = Some(failure.error.clone());
        }
        self.catalog.publish(entries);
    }

    fn file_of(&self, name: &ComponentName, file: &str) -> Option<String> {
        match self.overlay.base(name.as_str()) {
            Some(base) => Some(base.place.file.clone()),
            None => Some(file.to_owned()).filter(|_| !self.overlay.contains(name.as_str())),
        }
    }

    pub(super) async fn handle(&mut self, request: ChangeRequest, reading: &Reading, changes: &mut Changes) {
        let ChangeRequest { change, caller, reply } = request;
        let mut audit = Audit::new(&change, caller);
        let scene = Scene { reading, changes, audit: &mut audit };
        let answer = match change {
            Change::Write { name, write, options } => Box::pin(self.write(&name, write, &options, scene)).await,
            Change::Delete { name, options } => Box::pin(self.delete(&name, &options, scene)).await,
            Change::Check { name, document } => Box::pin(self.check(&name, document, scene)).await,
        };
        self.publish(changes);
        audit.log(&answer);
        // A caller that has gone needs no answer.
        reply.send(answer).ok();
    }

    async fn write(&mut self, name: &str, write: Write, options: &ChangeOptions, scene: Scene<'_>) -> Answer {
        let current = self.catalog.get(name);
        self.check_preconditions(current.as_ref(), &write, options)?;
        // What is merged into, or was seen by the caller, must be what the file says.
        let needs_current = options.if_match.is_some() || matches!(write, Write::Patch(_) | Write::SetDisabled(_));
        let document = Arc::new(new_document(name, write, current.as_ref())?);
        let old = current.as_ref().map(|entry| entry.document.as_ref());
        scene.audit.fields = old.map_or_else(Vec::new, |old| old.changed_fields(&document));
        let is_same = |entry: &Entry| entry.state != State::Failed && entry.document == document;
        if current.as_ref().is_some_and(is_same) {
            return Ok(Changed::Written { is_new: false, warnings: Vec::new() });
        }
        let read = self.read_with(name, Some(&document), &scene).await?;
        let base = found(&read, name);
        if needs_current {
            self.check_file(name, base.as_ref(), scene.changes)?;
        }
        if !self.overlay.contains(name) && self.overlay.len() >= MAX_OVERLAY {
            let problem =
                format!("there are {MAX_OVERLAY} documents that the files do not have; persist or delete some");
            return Err(ComponentRefusal::new(RefusalKind::Full, problem));
        }
        let checked = scene.changes.prepared(checked_of(read.result, name)?).await.map_err(not_connected)?;
        probe(&checked, scene.reading).await?;
        let ready = scene.changes.connected(checked).await.map_err(not_connected)?;
        scene.changes.put_in_place(ready).await;
        self.overlay.set(name, Some(document), base);
        Ok(Changed::Written { is_new: current.is_none(), warnings: Vec::new() })
    }

    async fn delete(&mut self, name: &str, options: &ChangeOptions, scene: Scene<'_>) -> Answer {
        let current = self.catalog.get(name);
        if current.is_none() {
            return Err(not_found(name));
        }
        self.check_tag(current.as_ref(), options)?;
        let read = self.read_with(name, None, &scene).await?;
        let base = found(&read, name);
        if options.if_match.is_some() {
            self.check_file(name, base.as_ref(), scene.changes)?;
        }
        scene.changes.remove(&component_name(name)?).await;
        self.overlay.set(name, None, base);
        Ok(Changed::Deleted)
    }

    /// Reads and checks a document, and changes nothing.
    async fn check(&self, name: &str, document: Option<RawDocument>, scene: Scene<'_>) -> Answer {
        let document = match document {
            Some(document) => new_document(name, Write::Replace(document), None)?,
            None => self.catalog.get(name).ok_or_else(|| not_found(name))?.document.as_ref().clone(),
        };
        let document = Arc::new(document.with_disabled(false));
        let read = self.read_with(name, Some(&document), &scene).await?;
        let checked = scene.changes.prepared(checked_of(read.result, name)?).await.map_err(not_connected)?;
        Ok(Changed::Checked(Box::new(checked)))
    }

    /// Reads the files as if this change was made.
    async fn read_with(
        &self,
        name: &str,
        document: Option<&Arc<RawDocument>>,
        scene: &Scene<'_>,
    ) -> Result<FilesRead, ComponentRefusal> {
        let mut overrides = self.overlay.overrides();
        overrides.insert(name.to_owned(), document.cloned());
        let read = scene.reading.read(scene.changes.plugs(), overrides).await;
        read.map_err(|error| {
            ComponentRefusal::new(RefusalKind::NotWritten, format!("component files could not be read: {error}"))
        })
    }

    fn check_preconditions(
        &self,
        current: Option<&Entry>,
        write: &Write,
        options: &ChangeOptions,
    ) -> Result<(), ComponentRefusal> {
        match (write, current) {
            (Write::Create(document), Some(_)) => {
                let name = document.name().unwrap_or_default();
                let problem = format!("a component `{name}` exists; use another name, or PUT to replace it");
                return Err(ComponentRefusal::new(RefusalKind::Exists, problem));
            }
            (Write::Patch(_) | Write::SetDisabled(_), None) => {
                return Err(ComponentRefusal::new(RefusalKind::NotFound, "there is no such component; list them"));
            }
            _ => {}
        }
        if options.only_if_absent && current.is_some() {
            let problem = "the component exists, and If-None-Match: * asks for a new one";
            return Err(ComponentRefusal::new(RefusalKind::Precondition, problem));
        }
        self.check_tag(current, options)
    }

    fn check_tag(&self, current: Option<&Entry>, options: &ChangeOptions) -> Result<(), ComponentRefusal> {
        let Some(tags) = &options.if_match else { return Ok(()) };
        let is_named = current.is_some_and(|entry| names_tag(tags, &self.catalog.etag(&entry.document)));
        if is_named { Ok(()) } else { Err(changed_meanwhile("the component was changed or removed since it was read")) }
    }

    /// Whether the file says what runs. An edit that is not applied yet must not be undone by a change of an older document.
    fn check_file(&self, name: &str, found: Option<&Overridden>, changes: &Changes) -> Result<(), ComponentRefusal> {
        let known = match self.overlay.contains(name) {
            true => self.overlay.base(name).map(|base| &base.document),
            false => changes.running.iter().find(|(known, _)| known.as_str() == name).map(|(_, file)| &file.document),
        };
        if found.map(|found| &found.document) == known {
            return Ok(());
        }
        Err(changed_meanwhile("the file of the component was edited, and the edit is not in force"))
    }
}

fn changed_meanwhile(problem: &str) -> ComponentRefusal {
    let message = format!("{problem}; read it again, and repeat the change on what it is then");
    ComponentRefusal::new(RefusalKind::Precondition, message)
}

fn not_found(name: &str) -> ComponentRefusal {
    let message = format!("there is no component `{name}`; GET /v1.0-alpha1/components lists them");
    ComponentRefusal::new(RefusalKind::NotFound, message)
}

fn not_connected(error: NotConnected) -> ComponentRefusal {
    let kind = if error.timed_out { RefusalKind::TimedOut } else { RefusalKind::Unusable };
    ComponentRefusal::new(kind, format!("the component cannot be connected, and nothing was changed: {}", error.error))
}

fn component_name(name: &str) -> Result<ComponentName, ComponentRefusal> {
    name.parse().map_err(|error: crate::domain::InvalidName| {
        let (field, remedy) = ("metadata.name".to_owned(), "use letters, digits, `-`, `_` and `.`".to_owned());
        ComponentRefusal::invalid(vec![DocumentFault { field, problem: error.to_string(), remedy }])
    })
}

/// The document of the files whose place the change takes.
fn found(read: &FilesRead, name: &str) -> Option<Overridden> {
    read.overridden.iter().find(|found| found.document.name().as_deref() == Some(name)).cloned()
}

/// The document that is to run.
fn new_document(name: &str, write: Write, current: Option<&Entry>) -> Result<RawDocument, ComponentRefusal> {
    component_name(name)?;
    let old = current.map(|entry| entry.document.as_ref());
    let document = match (write, old) {
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
    document.unmasked(old).map_err(|LostSecret { field }| {
        let problem = "`***` stands for a secret that is not known here".to_owned();
        ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy: "write the value".to_owned() }])
    })
}

/// The component of the changed document.
///
/// # Errors
/// With the faults of the document. Those of the files do not count.
fn checked_of(result: CheckResult, name: &str) -> Result<Checked, ComponentRefusal> {
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
async fn probe(checked: &Checked, reading: &Reading) -> Result<(), ComponentRefusal> {
    if checked.disabled {
        return Ok(());
    }
    let settings = &reading.settings;
    let app_id = if settings.app_id.is_empty() { "bindd" } else { &settings.app_id };
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

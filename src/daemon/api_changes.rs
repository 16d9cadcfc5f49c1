//! Carries out the changes that the API requests, in the owner task.

use super::apply::Changes;
use super::audit::Audit;
use super::catalog::{Catalog, Entry};
use super::catalog_entries::entries;
use super::change::{Answer, Change, Changed, Write};
use super::change_checks::{
    check_connector_limit, check_file_name, check_others, checked_of, component_name, found, has_other_faults,
    new_document, not_found, notices_of,
};
use super::change_queue::ChangeRequest;
use super::overlay::Overlay;
use super::persist::{self, Persisted, Staging};
use super::reading::{FilesRead, Reading};
use super::reload_plan::{RunningFile, RunningFiles, hides};
use super::replacement::connect;
use crate::bindings::CheckResult;
use crate::http::{ChangeOptions, ComponentRefusal, RefusalKind, names_tag, names_tag_weakly};
use crate::manifest::{Overridden, Overrides, Place, RawDocument};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

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

/// A component that was written.
struct Written {
    is_new: bool,
    /// What the caller should know.
    warnings: Vec<String>,
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
    pub(super) fn supersede(&mut self, read: &FilesRead, running: &mut RunningFiles) -> (bool, Option<Instant>) {
        let is_unreadable = |file: &str| is_hidden(&read.result, file);
        let (superseded, next) = self.overlay.supersede(&read.overridden, is_unreadable, Instant::now());
        for one in &superseded {
            tracing::warn!(
                component = one.name,
                file = one.file,
                "component file was edited; it replaces the change that was made over the components API"
            );
            // From now on, a fault of this file keeps the component.
            if let Some((_, running)) = running.iter_mut().find(|(name, _)| name.as_str() == one.name) {
                running.file.clone_from(&one.file);
                running.is_superseded = true;
            }
        }
        (!superseded.is_empty(), next)
    }

    /// Shows what runs now.
    pub(super) fn publish(&self, changes: &Changes) {
        if self.requests.is_some() {
            self.catalog.publish(entries(changes, &self.overlay));
        }
    }

    pub(super) async fn handle(&mut self, request: ChangeRequest, reading: &Reading, changes: &mut Changes) {
        let ChangeRequest { change, mut audit, reply } = request;
        let scene = Scene { reading, changes, audit: &mut audit };
        let answer = match change {
            Change::Write { name, write, options } => {
                let written = Box::pin(self.write(&name, write, &options, scene)).await;
                self.publish(changes);
                written.and_then(|written| self.as_written(&name, written))
            }
            Change::Delete { name, options } => {
                let deleted = Box::pin(self.delete(&name, &options, scene)).await;
                self.publish(changes);
                deleted.map(|()| Changed::Deleted)
            }
            Change::Check { name, document } => Box::pin(self.check(&name, document, scene)).await,
        };
        audit.finish(&answer);
        // A caller that has gone needs no answer.
        reply.send(answer).ok();
    }

    /// What the change wrote: no other one is made before its answer is there.
    fn as_written(&self, name: &str, written: Written) -> Answer {
        let Written { is_new, warnings } = written;
        let entry = self.catalog.get(name).ok_or_else(|| not_found(name))?;
        Ok(Changed::Written { entry: Box::new(entry), is_new, warnings })
    }

    async fn write(
        &mut self,
        name: &str,
        write: Write,
        options: &ChangeOptions,
        scene: Scene<'_>,
    ) -> Result<Written, ComponentRefusal> {
        let current = self.catalog.get(name);
        self.check_preconditions(name, current.as_ref(), &write, options)?;
        // What is merged into, or was seen by the caller, must be what the file says.
        let needs_current = options.if_match.is_some() || matches!(write, Write::Patch(_) | Write::SetDisabled(_));
        let document = Arc::new(new_document(name, write, current.as_ref())?);
        let old = current.as_ref().map(|entry| entry.document.as_ref());
        scene.audit.fields = old.map_or_else(|| document.item_names(), |old| old.changed_fields(&document));
        // One with an error has an edit that is not in force, which this change replaces.
        let is_same = |entry: &Entry| entry.error.is_none() && entry.document == document;
        let is_same = current.as_ref().is_some_and(is_same);
        let unchanged = || Written { is_new: false, warnings: Vec::new() };
        // What the file says is known only once it was read: it may have a fault, while its component runs on.
        if is_same && !options.persist {
            return Ok(unchanged());
        }
        let read = self.read_with(name, Some(&document), &scene).await?;
        let in_file = found(&read, name);
        if needs_current {
            self.check_file(name, in_file.as_ref(), scene.changes)?;
        }
        let is_in_file = in_file.as_ref().is_some_and(|found| found.document == document);
        let base = in_file.or_else(|| self.hidden(&read.result, name, scene.changes));
        match (options.persist, &base) {
            (true, None) => check_file_name(name)?,
            (true, Some(_)) => {}
            (false, _) => self.check_room(name)?,
        }
        let staging = Staging { document: &document, base: base.as_ref(), reading: scene.reading };
        if is_same {
            if is_in_file && !self.overlay.contains(name) {
                return Ok(unchanged());
            }
            let persisted = staging.stage().await?.commit().await?;
            let warnings = self.persisted(name, document, persisted, scene.changes);
            return Ok(Written { is_new: false, warnings });
        }
        let checked = checked_of(&read.result, name, &document)?;
        self.check_others(name, &read.result, &scene).await?;
        let staging = options.persist.then_some(staging);
        let persisted = Box::pin(connect(checked, staging, scene.changes, scene.reading)).await?;
        let mut warnings = notices_of(&read.result, name);
        match persisted {
            Some(persisted) => warnings.extend(self.persisted(name, document, persisted, scene.changes)),
            None => self.in_memory(name, document, base, (is_in_file, scene.changes)),
        }
        Ok(Written { is_new: current.is_none(), warnings })
    }

    /// What runs now was not written. A change that says the same as its file is none, so what runs is that of the file.
    fn in_memory(
        &mut self,
        name: &str,
        document: Arc<RawDocument>,
        base: Option<Overridden>,
        (is_in_file, changes): (bool, &mut Changes),
    ) {
        if let Some(base) = base.as_ref().filter(|base| base.document == document) {
            runs_from(&base.place.file, !is_in_file, name, changes);
        }
        self.overlay.set(name, Some(document), base);
    }

    /// The files say the same as what runs now. Returns the warnings.
    fn persisted(
        &mut self,
        name: &str,
        document: Arc<RawDocument>,
        persisted: Persisted,
        changes: &mut Changes,
    ) -> Vec<String> {
        let Persisted { file, warnings } = persisted;
        runs_from(&file, false, name, changes);
        let base = Overridden { place: Place { file, document: 1 }, document: Arc::clone(&document) };
        self.overlay.set(name, Some(document), Some(base));
        warnings
    }

    async fn delete(&mut self, name: &str, options: &ChangeOptions, scene: Scene<'_>) -> Result<(), ComponentRefusal> {
        let current = self.catalog.get(name);
        if current.is_none() {
            return Err(not_found(name));
        }
        self.check_tag(current.as_ref(), options)?;
        let read = self.read_with(name, None, &scene).await?;
        let in_file = found(&read, name);
        if options.if_match.is_some() {
            self.check_file(name, in_file.as_ref(), scene.changes)?;
        }
        self.check_others(name, &read.result, &scene).await?;
        let base = in_file.or_else(|| self.hidden(&read.result, name, scene.changes));
        let name_of_component = component_name(name)?;
        let base = match (base, options.persist) {
            (Some(in_file), true) => {
                persist::remove(in_file, scene.reading).await?;
                None
            }
            (base, _) => base,
        };
        scene.changes.remove(&name_of_component).await;
        self.overlay.set(name, None, base);
        Ok(())
    }

    /// Reads and checks a document, and changes nothing.
    async fn check(&self, name: &str, document: Option<RawDocument>, scene: Scene<'_>) -> Answer {
        let document = match document {
            Some(document) => new_document(name, Write::Replace(document), None)?,
            None => self.catalog.get(name).ok_or_else(|| not_found(name))?.document.as_ref().clone(),
        };
        let document = Arc::new(document.with_disabled(false));
        let read = self.read_with(name, Some(&document), &scene).await?;
        let checked = checked_of(&read.result, name, &document)?;
        self.check_others(name, &read.result, &scene).await?;
        Ok(Changed::Checked(Box::new(scene.changes.redirected(checked))))
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
        read(overrides, scene).await
    }

    /// Whether the other components are without faults as before. `with` is what was read with the change.
    async fn check_others(&self, name: &str, with: &CheckResult, scene: &Scene<'_>) -> Result<(), ComponentRefusal> {
        if !has_other_faults(with, name) {
            return Ok(());
        }
        // They may have had these faults before.
        let without = read(self.overlay.overrides(), scene).await?;
        check_others(name, with, &without.result)
    }

    fn check_preconditions(
        &self,
        name: &str,
        current: Option<&Entry>,
        write: &Write,
        options: &ChangeOptions,
    ) -> Result<(), ComponentRefusal> {
        match (write, current) {
            (Write::Create(_) | Write::CreateConnector(_), Some(_)) => {
                let problem = format!("a component `{name}` exists; use another name, or PUT to replace it");
                return Err(ComponentRefusal::new(RefusalKind::Exists, problem));
            }
            (Write::CreateConnector(_), None) => check_connector_limit(&self.catalog)?,
            (Write::Patch(_) | Write::SetDisabled(_), None) => return Err(not_found(name)),
            (Write::Create(_), None) | (Write::Replace(_), _) | (Write::Patch(_) | Write::SetDisabled(_), Some(_)) => {}
        }
        self.check_tag(current, options)
    }

    fn check_tag(&self, current: Option<&Entry>, options: &ChangeOptions) -> Result<(), ComponentRefusal> {
        let has_tag =
            |tags: &String| current.is_some_and(|entry| names_tag_weakly(tags, &self.catalog.etag(&entry.document)));
        if options.if_none_match.as_ref().is_some_and(has_tag) {
            let problem = "the component exists with an entity tag that If-None-Match excludes; `*` asks for a new one";
            return Err(ComponentRefusal::new(RefusalKind::Precondition, problem));
        }
        let Some(tags) = &options.if_match else { return Ok(()) };
        let is_named = current.is_some_and(|entry| names_tag(tags, &self.catalog.etag(&entry.document)));
        if is_named { Ok(()) } else { Err(changed_meanwhile("the component was changed or removed since it was read")) }
    }

    /// The document of a component whose file cannot be read now, as it was: the file is not edited by becoming readable.
    fn hidden(&self, result: &CheckResult, name: &str, changes: &Changes) -> Option<Overridden> {
        let base = if self.overlay.contains(name) {
            self.overlay.base(name).cloned()
        } else {
            let known = known_file(name, changes)?;
            let place = Place { file: known.file.clone(), document: 1 };
            Some(Overridden { place, document: Arc::clone(&known.document) })
        };
        base.filter(|base| is_hidden(result, &base.place.file))
    }

    fn check_room(&self, name: &str) -> Result<(), ComponentRefusal> {
        if self.overlay.contains(name) || self.overlay.len() < MAX_OVERLAY {
            return Ok(());
        }
        let problem = format!(
            "there are {MAX_OVERLAY} documents that the files do not have; persist this one or another, or delete some"
        );
        Err(ComponentRefusal::new(RefusalKind::Full, problem))
    }

    /// Whether the file says what runs. An edit that is not applied yet must not be undone by a change of an older document.
    fn check_file(&self, name: &str, found: Option<&Overridden>, changes: &Changes) -> Result<(), ComponentRefusal> {
        let known = match self.overlay.contains(name) {
            true => self.overlay.base(name).map(|base| &base.document),
            false => known_file(name, changes).map(|file| &file.document),
        };
        if found.map(|found| &found.document) == known {
            return Ok(());
        }
        let message = "the file of the component was edited, and the edit is not in force; wait until it is, or correct the \
                       file if it has a fault, which the log names; a PUT without If-Match replaces the whole component";
        Err(ComponentRefusal::new(RefusalKind::Precondition, message))
    }
}

async fn read(overrides: Overrides, scene: &Scene<'_>) -> Result<FilesRead, ComponentRefusal> {
    let read = scene.reading.read(scene.changes.plugs(), overrides).await;
    read.map_err(|error| {
        ComponentRefusal::new(RefusalKind::NotWritten, format!("component files could not be read: {error}"))
    })
}

/// The file of a component that runs, or could not be connected.
fn known_file<'c>(name: &str, changes: &'c Changes) -> Option<&'c RunningFile> {
    let running = changes.running.iter().find(|(known, _)| known.as_str() == name);
    let failed = changes.failures.iter().find(|(known, _)| known.as_str() == name);
    running.map(|(_, file)| file).or(failed.map(|(_, failure)| &failure.file))
}

/// Notes the file that says the same as what runs. `is_superseded` is whether the file cannot be read now.
fn runs_from(file: &str, is_superseded: bool, name: &str, changes: &mut Changes) {
    let running = changes.running.iter_mut().find(|(known, _)| known.as_str() == name);
    if let Some((_, running)) = running {
        file.clone_into(&mut running.file);
        running.is_superseded = is_superseded;
    }
}

/// Whether a file, or a part of it, cannot be read now.
fn is_hidden(result: &CheckResult, file: &str) -> bool {
    let CheckResult { faults, not_loaded, .. } = result;
    faults.iter().any(|fault| fault.file == file || hides(fault, Path::new(file)))
        || not_loaded.iter().any(|one| one.file == file)
}

fn changed_meanwhile(problem: &str) -> ComponentRefusal {
    let message = format!("{problem}; read it again, and repeat the change on what it is then");
    ComponentRefusal::new(RefusalKind::Precondition, message)
}

#[cfg(test)]
#[path = "tests/api_changes.rs"]
mod tests;

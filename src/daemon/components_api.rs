//! The components API: reads what runs, and hands changes to the owner task.

use super::audit::Audit;
use super::catalog::{Catalog, Entry, State};
use super::change::{Answer, Change, Changed, Write};
use super::change_checks::not_found;
use super::change_queue::ChangeRequest;
use crate::bindings::{Checked, ComponentAccess, Finding, check_access};
use crate::domain::app_id_or_default;
use crate::http::{
    Caller, ChangeOptions, ComponentCall, ComponentRefusal, ComponentReply, DocumentFault, DocumentText,
    ManageComponents, RefusalKind, Success,
};
use crate::manifest::{DocumentFormat, RawDocument, remove_unfinished};
use crate::settings::Settings;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};

/// Limit of all calls of a test.
const TEST_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct ComponentsApi {
    pub(super) catalog: Arc<Catalog>,
    changes: mpsc::Sender<ChangeRequest>,
    app_id: String,
    ca_bundle: Option<PathBuf>,
}

impl ComponentsApi {
    pub(super) fn new(settings: &Settings, catalog: Arc<Catalog>, changes: mpsc::Sender<ChangeRequest>) -> Self {
        for (file, error) in remove_unfinished(&settings.resources_paths, |_| true) {
            tracing::warn!(
                file = %file.display(), %error,
                "file of a write that was interrupted cannot be removed; it may have secrets, so remove it"
            );
        }
        let app_id = app_id_or_default(&settings.app_id).to_owned();
        Self { catalog, changes, app_id, ca_bundle: settings.ca_bundle.clone() }
    }

    /// Hands a change to the owner task, and waits for its answer.
    async fn change(&self, change: Change, caller: Caller) -> Answer {
        let (audit, (reply, answer)) = (Audit::new(&change, caller), oneshot::channel());
        let stopping = |problem: &str| ComponentRefusal::new(RefusalKind::Stopping, problem);
        if let Err(SendError(unsent)) = self.changes.send(ChangeRequest { change, audit, reply }).await {
            let refused = Err(stopping("the sidecar is stopping, and nothing was changed"));
            unsent.audit.finish(&refused);
            return refused;
        }
        let unknown = "the sidecar stopped during the change, which may have been carried out or not";
        answer.await.unwrap_or_else(|_| Err(stopping(unknown)))
    }

    async fn write(&self, name: String, write: Write, request: (Caller, ChangeOptions)) -> Reply {
        let (entry, success, warnings) = self.written(name.clone(), write, request).await?;
        Ok(self.shown(name, &entry, (success, &warnings)))
    }

    /// The component as the change has left it: another one may have changed it again since.
    pub(super) async fn written(
        &self,
        name: String,
        write: Write,
        (caller, options): (Caller, ChangeOptions),
    ) -> Result<(Entry, Success, Vec<String>), ComponentRefusal> {
        match self.change(Change::Write { name, write, options }, caller).await? {
            Changed::Written { entry, is_new, warnings } => {
                Ok((*entry, if is_new { Success::Created } else { Success::Done }, warnings))
            }
            Changed::Deleted | Changed::Checked(_) => Err(unexpected()),
        }
    }

    pub(super) async fn delete(&self, name: String, request: (Caller, ChangeOptions)) -> Reply {
        let (caller, options) = request;
        self.change(Change::Delete { name: name.clone(), options }, caller).await?;
        Ok(ComponentReply { success: Success::Deleted, name: Some(name), etag: None, body: None })
    }

    pub(super) async fn test(&self, name: String, document: Option<RawDocument>, caller: Caller) -> Reply {
        let checked = match self.change(Change::Check { name: name.clone(), document }, caller).await {
            Ok(Changed::Checked(checked)) => checked,
            Ok(Changed::Written { .. } | Changed::Deleted) => return Err(unexpected()),
            Err(refusal) if matches!(refusal.kind, RefusalKind::Invalid | RefusalKind::InUse) => {
                return Ok(test_failed(&name, &refusal));
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(tested(&name, &self.access(*checked).await))
    }

    async fn access(&self, checked: Checked) -> ComponentAccess {
        check_access(checked, &self.app_id, self.ca_bundle.as_deref(), TEST_LIMIT).await
    }

    fn list(&self, component_type: Option<&str>) -> ComponentReply {
        let all = self.catalog.all();
        let is_wanted = |entry: &Entry| {
            component_type.is_none_or(|wanted| entry.document.component_type() == wanted.to_lowercase())
        };
        let entries = all.values().filter(|entry| is_wanted(entry)).map(|entry| self.document(entry, &[]));
        let body = json!({ "components": entries.collect::<Vec<_>>() });
        ComponentReply { success: Success::Done, name: None, etag: None, body: Some(body) }
    }

    fn get(&self, name: &str) -> Result<Entry, ComponentRefusal> {
        self.catalog.get(name).ok_or_else(|| not_found(name))
    }

    fn status(&self, name: String) -> Reply {
        let entry = self.get(&name)?;
        let etag = Some(self.catalog.etag(&entry.document));
        let mut body = self.state(&entry, &[]);
        if let Some(body) = body.as_object_mut() {
            body.insert("name".to_owned(), json!(name));
            body.insert("type".to_owned(), json!(entry.document.component_type()));
        }
        Ok(ComponentReply { success: Success::Done, name: Some(name), etag, body: Some(body) })
    }

    fn shown(&self, name: String, entry: &Entry, (success, warnings): (Success, &[String])) -> ComponentReply {
        let etag = Some(self.catalog.etag(&entry.document));
        ComponentReply { success, name: Some(name), etag, body: Some(self.document(entry, warnings)) }
    }

    /// Its document without secrets, with its state beside it.
    fn document(&self, entry: &Entry, warnings: &[String]) -> Value {
        let mut document = entry.document.masked();
        if let Some(root) = document.as_object_mut() {
            root.insert("status".to_owned(), self.state(entry, warnings));
        }
        document
    }

    fn state(&self, entry: &Entry, warnings: &[String]) -> Value {
        let is_failed = entry.state == State::Failed;
        let mut state = json!({
            "state": entry.state.as_str(),
            "etag": self.catalog.etag(&entry.document),
            // A document that runs on beside a newer one with an error is not that of the file.
            "persisted": !entry.is_changed && (is_failed || entry.error.is_none()),
        });
        let Some(members) = state.as_object_mut() else { return state };
        if let Some(file) = &entry.file {
            members.insert("file".to_owned(), json!(file));
        }
        if let Some(error) = &entry.error {
            let name = if is_failed { "error" } else { "lastError" };
            members.insert(name.to_owned(), json!(error));
        }
        if !warnings.is_empty() {
            members.insert("warnings".to_owned(), json!(warnings));
        }
        state
    }
}

pub(super) type Reply = Result<ComponentReply, ComponentRefusal>;

#[async_trait]
impl ManageComponents for ComponentsApi {
    async fn call(&self, call: ComponentCall, caller: Caller) -> Reply {
        match call {
            ComponentCall::List { component_type } => Ok(self.list(component_type.as_deref())),
            ComponentCall::Get { name } => {
                let entry = self.get(&name)?;
                Ok(self.shown(name, &entry, (Success::Done, &[])))
            }
            ComponentCall::Status { name } => self.status(name),
            ComponentCall::Create { document, options } => {
                let (name, document) = named(&document)?;
                self.write(name, Write::Create(document), (caller, options)).await
            }
            ComponentCall::Replace { name, document, options } => {
                self.write(name, Write::Replace(parsed(&document)?), (caller, options)).await
            }
            ComponentCall::Patch { name, patch, options } => {
                self.write(name, Write::Patch(parsed(&patch)?), (caller, options)).await
            }
            ComponentCall::SetDisabled { name, disabled, options } => {
                self.write(name, Write::SetDisabled(disabled), (caller, options)).await
            }
            ComponentCall::Delete { name, options } => self.delete(name, (caller, options)).await,
            ComponentCall::Test { document } => match named(&document) {
                Ok((name, document)) => self.test(name, Some(document), caller).await,
                Err(refusal) => Ok(test_failed("", &refusal)),
            },
            ComponentCall::TestExisting { name } => {
                self.get(&name)?;
                self.test(name, None, caller).await
            }
        }
    }
}

fn unexpected() -> ComponentRefusal {
    ComponentRefusal::new(
        RefusalKind::NotWritten,
        "the owner of the components gave another answer than to this request",
    )
}

fn parsed(document: &DocumentText) -> Result<RawDocument, ComponentRefusal> {
    let format = if document.is_yaml { DocumentFormat::Yaml } else { DocumentFormat::Json };
    let invalid = |problem: String| {
        let remedy = match format {
            DocumentFormat::Json => "send one JSON object, or YAML with `Content-Type: application/yaml`",
            DocumentFormat::Yaml => "send one YAML document",
        };
        ComponentRefusal::invalid(vec![DocumentFault { field: String::new(), problem, remedy: remedy.to_owned() }])
    };
    let text = std::str::from_utf8(&document.text)
        .map_err(|error| invalid(format!("the body is not UTF-8 text (byte {})", error.valid_up_to())))?;
    RawDocument::parse(text, format).map_err(invalid)
}

/// A document with its name.
fn named(document: &DocumentText) -> Result<(String, RawDocument), ComponentRefusal> {
    let document = parsed(document)?;
    match document.name() {
        Some(name) => Ok((name, document)),
        None => {
            let (field, problem) = ("metadata.name".to_owned(), "the component has no name".to_owned());
            let remedy = "give it one; the app calls it by this name".to_owned();
            Err(ComponentRefusal::invalid(vec![DocumentFault { field, problem, remedy }]))
        }
    }
}

fn test_reply(name: &str, ok: bool, checks: &[Value]) -> ComponentReply {
    let body = json!({ "ok": ok, "checks": checks });
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    ComponentReply { success: Success::Done, name, etag: None, body: Some(body) }
}

fn test_failed(name: &str, refusal: &ComponentRefusal) -> ComponentReply {
    let check = |fault: &DocumentFault| json!({ "check": "validate", "ok": false, "field": fault.field, "problem": fault.problem, "remedy": fault.remedy });
    test_reply(name, false, &refusal.faults.iter().map(check).collect::<Vec<_>>())
}

fn tested(name: &str, access: &ComponentAccess) -> ComponentReply {
    let mut checks = vec![json!({ "check": "validate", "ok": true })];
    if !access.identity.is_empty() {
        checks.push(json!({ "check": "connect", "ok": true, "tried": "credentials", "hint": access.identity }));
    }
    checks.extend(access.findings.iter().map(|found: &Finding| {
        let check = if ["connect", "credentials"].contains(&found.tried) { "connect" } else { "probe" };
        json!({
            "check": check, "ok": found.result.is_sufficient(), "tried": found.tried, "resource": found.resource,
            "result": found.result, "hint": found.hint,
        })
    }));
    test_reply(name, access.is_sufficient(), &checks)
}

#[cfg(test)]
#[path = "tests/components_api.rs"]
mod tests;

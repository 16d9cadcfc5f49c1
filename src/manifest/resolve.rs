//! Resolves the values of items: literal, or from the environment or a secret store.

use super::document::{Draft, DraftItem, Item, Source};
use super::secrets::{self, Store};
use super::values::{NotAllowed, Templates, UUID, check_allowed};
use super::{Document, Environment, Fault, Faults, LoadRequest};
use secrecy::SecretString;
use std::collections::HashMap;

pub(super) struct Resolver<'a> {
    request: &'a LoadRequest<'a>,
    pod_name: Option<String>,
    skipped: &'a HashMap<String, String>,
    pub(super) stores: HashMap<&'a str, Store<'a>>,
}

impl<'a> Resolver<'a> {
    /// Has no stores yet. `skipped` holds the types of skipped components by name.
    pub(super) fn new(request: &'a LoadRequest<'a>, skipped: &'a HashMap<String, String>) -> Self {
        let pod_name = request.environment.get("POD_NAME").filter(|name| !name.is_empty());
        Self { request, pod_name, skipped, stores: HashMap::new() }
    }

    /// The document, complete or not, and its faults.
    pub(super) fn document(&self, draft: &Draft) -> (Document, Faults) {
        let mut faults = draft.faults.clone();
        let mut items = Vec::with_capacity(draft.items.len());
        for item in &draft.items {
            let value = self.value(draft, item).map_err(|fault| faults.push(*fault)).ok();
            let compared = self.compared(item);
            let is_literal = matches!(item.source, Source::Literal(_));
            items.push(Item { name: item.name.clone(), value, compared, is_literal });
        }
        let document = Document {
            name: draft.name.clone(),
            component_type: draft.component_type.clone(),
            version: draft.version.clone(),
            ignore_errors: draft.ignore_errors,
            init_timeout: draft.init_timeout,
            place: draft.place.clone(),
            app_id: self.request.app_id.map(str::to_owned),
            items,
            is_complete: faults.is_empty(),
        };
        (document, faults)
    }

    fn templates(&self) -> Templates<'_> {
        Templates {
            app_id: self.request.app_id.unwrap_or_default(),
            namespace: self.request.namespace.filter(|name| !name.is_empty()).unwrap_or("default"),
            pod_name: self.pod_name.as_deref(),
        }
    }

    /// The value with `{uuid}` as it stands, if the item has one: each reading fills in another.
    fn compared(&self, item: &DraftItem) -> Option<SecretString> {
        let text = match &item.source {
            Source::Literal(text) => text.clone(),
            Source::Variable(name) => self.request.environment.get(name)?,
            Source::Secret { .. } => return None,
        };
        let filled = text.contains(UUID).then(|| self.templates().fill_with(&text, || UUID.to_owned()))?;
        filled.ok().map(SecretString::from)
    }

    fn value(&self, draft: &Draft, item: &DraftItem) -> Result<SecretString, Box<Fault>> {
        let fault = |problem: String, remedy: String| {
            let fault = Fault::of_document(&draft.place, problem, remedy);
            Box::new(fault.component(draft.name.as_str()).field(&item.name))
        };
        let fill = |text: &str| {
            let filled = self.templates().fill(text);
            let remedy = || "set POD_NAME, or use `{uuid}` or `{appID}`".to_owned();
            filled.map(SecretString::from).map_err(|error| fault(error.to_string(), remedy()))
        };
        match &item.source {
            Source::Literal(text) => fill(text),
            Source::Variable(name) => {
                let not_allowed = |error: NotAllowed| fault(error.to_string(), "refer to another variable".to_owned());
                check_allowed(name, self.request.environment).map_err(not_allowed)?;
                fill(&self.variable(name).map_err(|(problem, remedy)| fault(problem, remedy))?)
            }
            // Not expanded: a brace in a password is not a template.
            Source::Secret { name, key } => self.secret(draft, name, key, &fault),
        }
    }

    fn variable(&self, name: &str) -> Result<String, (String, String)> {
        let environment: &dyn Environment = self.request.environment;
        environment.get(name).ok_or_else(|| {
            if environment.is_not_text(name) {
                (format!("the environment variable `{name}` is not UTF-8 text"), "set it to UTF-8 text".to_owned())
            } else {
                let problem = format!("the environment variable `{name}` is not set");
                (problem, "set it before the daemon starts".to_owned())
            }
        })
    }

    fn secret(
        &self,
        draft: &Draft,
        name: &str,
        key: &str,
        fault: &dyn Fn(String, String) -> Box<Fault>,
    ) -> Result<SecretString, Box<Fault>> {
        let store_name = draft.secret_store.as_str();
        if store_name.is_empty() {
            let problem = "the value is a secret, but the document names no secret store".to_owned();
            return Err(fault(problem, "add `auth:` with `secretStore: NAME` next to `spec:`".to_owned()));
        }
        let Some(store) = self.stores.get(store_name) else {
            let skipped = self.skipped.get(store_name);
            let why =
                skipped.map(|kind| format!("; bindd does not open stores of its type `{kind}`")).unwrap_or_default();
            let problem = format!("the secret store `{store_name}` is not loaded{why}");
            let remedy = "add or correct a component of this name and of type `secretstores.local.env` or `secretstores.local.file`";
            return Err(fault(problem, remedy.to_owned()));
        };
        store.get(name, key).map_err(|missing| {
            let blank = fault(String::new(), String::new());
            Box::new(secrets::fault_of(&missing, &blank, store_name))
        })
    }
}

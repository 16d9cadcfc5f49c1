//! Resolves the values of items: literal, or from the environment or a secret store.

use super::document::Item;
use super::draft::{Draft, DraftItem, Source};
use super::method::Methods;
use super::secrets::{self, SecretError, Store};
use super::values::{Templates, UUID, check_allowed};
use super::wanted::{FetchedSecrets, SecretKey, WantedSecret};
use super::{Document, Environment, Fault, Faults, LoadRequest, Notice};
use secrecy::SecretString;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The name of the store that needs no document in Kubernetes.
const BUILTIN: &str = "kubernetes";

/// What becomes of a value whose secret was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Its secret is wanted.
    Collect,
    Fault,
    Notice,
}

/// What is known of a value.
enum Resolved {
    Known(SecretString),
    /// A secret that was not fetched.
    NotFetched,
    /// As in daprd, a value that is missing is empty; with what is said about it.
    Empty(String),
}

pub(super) struct Resolver<'a> {
    request: &'a LoadRequest<'a>,
    pod_name: Option<String>,
    skipped: &'a HashMap<String, String>,
    fetched: &'a FetchedSecrets,
    pending: Pending,
    pub(super) methods: Arc<Methods>,
    pub(super) builtin_kubernetes: bool,
    pub(super) dapr_compat: bool,
    pub(super) stores: HashMap<&'a str, Store<'a>>,
    /// Stores that are read by network calls; `None` while their own fields are not known.
    pub(super) remote: HashMap<&'a str, Option<Document>>,
    // Collected while documents are resolved, which borrows the resolver.
    wanted: RefCell<(HashSet<SecretKey>, Vec<WantedSecret>)>,
}

impl<'a> Resolver<'a> {
    /// Has no stores yet. `skipped` holds the types of skipped components by name.
    pub(super) fn new(
        request: &'a LoadRequest<'a>,
        skipped: &'a HashMap<String, String>,
        fetched: &'a FetchedSecrets,
        pending: Pending,
    ) -> Self {
        let pod_name = request.environment.get("POD_NAME").filter(|name| !name.is_empty());
        Self {
            request,
            pod_name,
            skipped,
            fetched,
            pending,
            methods: Arc::default(),
            builtin_kubernetes: false,
            dapr_compat: false,
            stores: HashMap::new(),
            remote: HashMap::new(),
            wanted: RefCell::default(),
        }
    }

    /// The secrets that were wanted since the last call.
    pub(super) fn take_wanted(&self) -> Vec<WantedSecret> {
        self.wanted.take().1
    }

    /// The document, complete or not, its faults, and notices about values that are not known.
    pub(super) fn document(&self, draft: &Draft) -> (Document, Faults, Vec<Notice>) {
        let (mut faults, mut notices) = (draft.faults.clone(), Vec::new());
        let mut items = Vec::with_capacity(draft.items.len());
        let mut lacks_values = false;
        faults.extend(draft.repeated.iter().filter(|_| !self.dapr_compat).map(|item| {
            let fault = Fault::of_document(&draft.place, "the item is given twice", "keep one of the two");
            fault.component(draft.name.as_str()).field(&item.name)
        }));
        for item in &draft.items {
            let last = draft.repeated.iter().rev().find(|repeated| self.dapr_compat && repeated.name == item.name);
            let item = last.unwrap_or(item);
            let value = match self.value(draft, item) {
                Ok(Resolved::Known(value)) => Some(value),
                Ok(Resolved::NotFetched) => {
                    if self.pending == Pending::Notice {
                        notices.push(not_fetched(draft, item));
                    }
                    None
                }
                Ok(Resolved::Empty(said)) => {
                    lacks_values = true;
                    let text = format!("field `{}`: {said}; the value is empty, as in daprd", item.name);
                    notices.push(Notice::of_document(&draft.place, text).component(draft.name.as_str()));
                    Some(SecretString::default())
                }
                Err(fault) => {
                    faults.push(*fault);
                    None
                }
            };
            let compared = self.compared(item);
            let is_literal = matches!(item.source, Source::Literal(_));
            items.push(Item { name: item.name.clone(), value, compared, is_literal });
        }
        let document = Document {
            name: draft.name.clone(),
            component_type: draft.component_type.clone(),
            version: draft.version.clone(),
            ignore_errors: draft.ignore_errors,
            disabled: draft.disabled,
            init_timeout: draft.init_timeout,
            place: draft.place.clone(),
            source: Arc::clone(&draft.source),
            app_id: self.request.app_id.map(str::to_owned),
            dapr_compat: self.dapr_compat,
            items,
            is_complete: faults.is_empty(),
            lacks_values,
            methods: Arc::clone(&self.methods),
        };
        (document, faults, notices)
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

    fn value(&self, draft: &Draft, item: &DraftItem) -> Result<Resolved, Box<Fault>> {
        let fault = |problem: String, remedy: String| {
            let fault = Fault::of_document(&draft.place, problem, remedy);
            Box::new(fault.component(draft.name.as_str()).field(&item.name))
        };
        let fill = |text: &str| {
            let filled = self.templates().fill(text);
            let remedy = || "set POD_NAME, or use `{uuid}` or `{appID}`".to_owned();
            filled.map(SecretString::from).map(Resolved::Known).map_err(|error| fault(error.to_string(), remedy()))
        };
        match &item.source {
            Source::Literal(text) => fill(text),
            Source::Variable(name) => {
                if let Err(error) = check_allowed(name, self.request.environment) {
                    let said =
                        format!("Component {} references an env variable that isn't allowed: {name}", draft.name);
                    return self.lacking(said, fault(error.to_string(), "refer to another variable".to_owned()));
                }
                match self.variable(name) {
                    Ok(text) => fill(&text),
                    Err((problem, remedy)) => self.lacking(problem.clone(), fault(problem, remedy)),
                }
            }
            // Not expanded: a brace in a password is not a template.
            Source::Secret { name, key } => self.secret(draft, name, key, &fault),
        }
    }

    /// A value that does not exist: empty as in daprd, else a fault.
    fn lacking(&self, said: String, fault: Box<Fault>) -> Result<Resolved, Box<Fault>> {
        if self.dapr_compat { Ok(Resolved::Empty(said)) } else { Err(fault) }
    }

    fn lacking_secret(&self, fault: Box<Fault>) -> Result<Resolved, Box<Fault>> {
        self.lacking(format!("Error getting secret: {}", fault.problem), fault)
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
    ) -> Result<Resolved, Box<Fault>> {
        let store_name = match draft.secret_store.as_str() {
            "" if self.builtin_kubernetes => BUILTIN,
            "" => {
                let problem = "the value is a secret, but the document names no secret store".to_owned();
                let fault = fault(problem, "add `auth:` with `secretStore: NAME` next to `spec:`".to_owned());
                return self.lacking(not_loaded_text(draft, ""), fault);
            }
            name => name,
        };
        let wanted =
            SecretKey { store: store_name.to_owned(), namespace: draft.namespace.clone(), secret: name.to_owned() };
        let found = |value: Result<SecretString, SecretError>| match value {
            Ok(value) => Ok(Resolved::Known(value)),
            Err(error) => {
                let blank = fault(String::new(), String::new());
                self.lacking_secret(Box::new(secrets::fault_of(&error, &blank, store_name)))
            }
        };
        if let Some(store) = self.stores.get(store_name) {
            return found(store.get(name, key));
        }
        let store = match self.remote.get(store_name) {
            Some(store) => store.as_ref().map(Some),
            None if store_name == BUILTIN && self.builtin_kubernetes => Some(None),
            None => return Err(self.not_loaded(draft, store_name, fault)),
        };
        match self.fetched.get(&wanted) {
            Some(Ok(values)) => return found(secrets::value_of(values, name, key)),
            Some(Err(failure)) => {
                let problem =
                    format!("the secret `{name}` was not read from the store `{store_name}`: {}", failure.problem);
                return self.lacking_secret(fault(problem, failure.remedy.clone()));
            }
            None => {}
        }
        if self.pending == Pending::Fault {
            let problem =
                format!("the secret store `{store_name}` cannot be opened, because its own fields are not known");
            let remedy = "correct its fields; stores must not refer to secrets of each other".to_owned();
            return Err(fault(problem, remedy));
        }
        if let Some(store) = store {
            let (seen, list) = &mut *self.wanted.borrow_mut();
            if seen.insert(wanted.clone()) {
                list.push(WantedSecret { store: store.cloned(), key: wanted });
            }
        }
        Ok(Resolved::NotFetched)
    }

    /// In daprd too, a component whose store is not loaded does not run.
    fn not_loaded(&self, draft: &Draft, store_name: &str, fault: &dyn Fn(String, String) -> Box<Fault>) -> Box<Fault> {
        let skipped = self.skipped.get(store_name);
        let why = skipped.map(|kind| format!("; bindd does not open stores of its type `{kind}`")).unwrap_or_default();
        let problem = match self.dapr_compat {
            true => format!("{}{why}", not_loaded_text(draft, store_name)),
            false => format!("the secret store `{store_name}` is not loaded{why}"),
        };
        let remedy = "add or correct a component of this name; `secretstores.local.env`, `secretstores.local.file`, \
                      `secretstores.kubernetes`, `secretstores.aws.secretmanager` and `secretstores.aws.parameterstore` can \
                      be read";
        fault(problem, remedy.to_owned())
    }
}

/// The words of daprd.
fn not_loaded_text(draft: &Draft, store: &str) -> String {
    format!("Component {} references a secret store that isn't loaded: {store}", draft.name)
}

fn not_fetched(draft: &Draft, item: &DraftItem) -> Notice {
    let text = format!(
        "field `{}`: its secret is fetched only when the daemon starts, so the value is not checked",
        item.name
    );
    Notice::of_document(&draft.place, text).component(draft.name.as_str())
}

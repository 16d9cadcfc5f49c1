//! Resolves the values of items: literal, or from the environment or a secret store.

use super::document::{Draft, DraftItem, Item, Source};
use super::secrets::{self, Store};
use super::values::{NotAllowed, Templates, UUID, check_allowed};
use super::wanted::{FetchedSecrets, SecretKey, WantedSecret};
use super::{Document, Environment, Fault, Faults, LoadRequest, Notice};
use secrecy::SecretString;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

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

pub(super) struct Resolver<'a> {
    request: &'a LoadRequest<'a>,
    pod_name: Option<String>,
    skipped: &'a HashMap<String, String>,
    fetched: &'a FetchedSecrets,
    pending: Pending,
    pub(super) builtin_kubernetes: bool,
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
            builtin_kubernetes: false,
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
        for item in &draft.items {
            let value = match self.value(draft, item) {
                Ok(Some(value)) => Some(value),
                Ok(None) => {
                    if self.pending == Pending::Notice {
                        notices.push(not_fetched(draft, item));
                    }
                    None
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
            init_timeout: draft.init_timeout,
            place: draft.place.clone(),
            app_id: self.request.app_id.map(str::to_owned),
            items,
            is_complete: faults.is_empty(),
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

    /// `None` is a secret that was not fetched.
    fn value(&self, draft: &Draft, item: &DraftItem) -> Result<Option<SecretString>, Box<Fault>> {
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
            Source::Literal(text) => fill(text).map(Some),
            Source::Variable(name) => {
                let not_allowed = |error: NotAllowed| fault(error.to_string(), "refer to another variable".to_owned());
                check_allowed(name, self.request.environment).map_err(not_allowed)?;
                fill(&self.variable(name).map_err(|(problem, remedy)| fault(problem, remedy))?).map(Some)
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
    ) -> Result<Option<SecretString>, Box<Fault>> {
        let store_name = match draft.secret_store.as_str() {
            "" if self.builtin_kubernetes => BUILTIN,
            "" => {
                let problem = "the value is a secret, but the document names no secret store".to_owned();
                return Err(fault(problem, "add `auth:` with `secretStore: NAME` next to `spec:`".to_owned()));
            }
            name => name,
        };
        let wanted =
            SecretKey { store: store_name.to_owned(), namespace: draft.namespace.clone(), secret: name.to_owned() };
        let missing = |error| {
            let blank = fault(String::new(), String::new());
            Box::new(secrets::fault_of(&error, &blank, store_name))
        };
        if let Some(store) = self.stores.get(store_name) {
            return store.get(name, key).map(Some).map_err(missing);
        }
        let store = match self.remote.get(store_name) {
            Some(store) => store.as_ref().map(Some),
            None if store_name == BUILTIN && self.builtin_kubernetes => Some(None),
            None => return Err(self.not_loaded(store_name, fault)),
        };
        match self.fetched.get(&wanted) {
            Some(Ok(values)) => return secrets::value_of(values, name, key).map(Some).map_err(missing),
            Some(Err(failure)) => {
                let problem =
                    format!("the secret `{name}` was not read from the store `{store_name}`: {}", failure.problem);
                return Err(fault(problem, failure.remedy.clone()));
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
        Ok(None)
    }

    fn not_loaded(&self, store_name: &str, fault: &dyn Fn(String, String) -> Box<Fault>) -> Box<Fault> {
        let skipped = self.skipped.get(store_name);
        let why = skipped.map(|kind| format!("; bindd does not open stores of its type `{kind}`")).unwrap_or_default();
        let problem = format!("the secret store `{store_name}` is not loaded{why}");
        let remedy = "add or correct a component of this name; `secretstores.local.env`, `secretstores.local.file`, \
                      `secretstores.kubernetes`, `secretstores.aws.secretmanager` and `secretstores.aws.parameterstore` can \
                      be read";
        fault(problem, remedy.to_owned())
    }
}

fn not_fetched(draft: &Draft, item: &DraftItem) -> Notice {
    let text = format!(
        "field `{}`: its secret is fetched only when the daemon starts, so the value is not checked",
        item.name
    );
    Notice::of_document(&draft.place, text).component(draft.name.as_str())
}

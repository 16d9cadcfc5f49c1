//! The whole way: folders to documents.

use super::document::{Draft, DraftItem, Item, Parsed, Source, parse};
use super::folder::{Dialect, Folders, SourceFile};
use super::secrets::{self, Store};
use super::split::{is_blank, split};
use super::values::{Refused, Templates, allowed};
use super::{Document, Environment, Fault, Faults, Notice, Place, tree};
use secrecy::SecretString;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Documents beyond this number in one file are a fault; it bounds what a file of separators costs.
const MAX_DOCUMENTS: usize = 1_000;

/// What to load, and for whom.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// Folders and files, in the order of the flags.
    pub paths: &'a [PathBuf],
    /// The app id, for `scopes` and `{appID}`. Without one, as in `bindd check`, scopes hide nothing.
    pub app_id: Option<&'a str>,
    /// The environment's `NAMESPACE`; `None` loads the documents of every namespace.
    pub namespace: Option<&'a str>,
    /// Where `envRef` and the store `secretstores.local.env` look.
    pub environment: &'a dyn Environment,
}

impl fmt::Debug for LoadRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LoadRequest");
        shown.field("paths", &self.paths).field("app_id", &self.app_id).field("namespace", &self.namespace);
        shown.finish_non_exhaustive()
    }
}

/// What the folders hold for this daemon.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every document for this app, in order, secret stores among them; also those that are not
    /// [whole](Document::is_whole).
    pub documents: Vec<Document>,
    /// What was left out or is odd.
    pub notices: Vec<Notice>,
    /// What is wrong. Those of documents with `ignoreErrors` are among the notices.
    pub faults: Faults,
}

/// Reads every folder and gives all documents for this app, with all faults and notices.
///
/// Dapr goes on with an empty value when a variable or a secret is not there, and only logs it. An empty key would
/// then make AWS's default credentials take over without anybody having asked for them; so it is a fault here. A
/// document with `ignoreErrors` is left out with a notice instead, because its author chose that the daemon starts
/// without it. Files that cannot be read or parsed are always faults: what they would ignore is not known.
#[must_use]
pub fn load(request: &LoadRequest<'_>) -> Loaded {
    let Folders { files, notices, faults } = Folders::read(request.paths);
    let mut loader = Loader { request, drafts: Vec::new(), accepted: HashMap::new(), notices, faults };
    for file in &files {
        loader.file(file);
    }
    loader.resolve()
}

struct Loader<'a> {
    request: &'a LoadRequest<'a>,
    drafts: Vec<Draft>,
    accepted: HashMap<String, Place>,
    notices: Vec<Notice>,
    faults: Faults,
}

impl Loader<'_> {
    fn file(&mut self, file: &SourceFile) {
        if is_blank(&file.text) {
            self.notices.push(Notice::of_file(&file.file, "the file is empty"));
            return;
        }
        match file.dialect {
            Dialect::Json => {
                let place = Place { file: file.file.clone(), document: 1 };
                self.tree(tree::from_json(&file.text), place, "mend the JSON");
            }
            Dialect::Yaml => self.yaml(file),
        }
    }

    fn yaml(&mut self, file: &SourceFile) {
        let chunks = split(&file.text);
        let count = chunks.len();
        for (index, chunk) in chunks.iter().enumerate().take(MAX_DOCUMENTS) {
            let place = Place { file: file.file.clone(), document: index + 1 };
            if chunk.opener_has_text {
                self.notices
                    .push(Notice::of_document(&place, "text behind `---` on the same line is ignored, as in Dapr"));
            }
            if is_blank(chunk.text) {
                // A separator at the end is a habit, not a forgotten document.
                if index + 1 < count {
                    self.notices.push(Notice::of_document(&place, "the document is empty"));
                }
                continue;
            }
            self.tree(tree::from_yaml(chunk.text, chunk.lines_before), place, "mend the YAML");
        }
        if count > MAX_DOCUMENTS {
            let problem = format!("the file holds {count} documents, more than {MAX_DOCUMENTS}");
            self.faults.push(Fault::of_file(&file.file, problem, "split it into several files"));
        }
    }

    fn tree(&mut self, tree: Result<serde_json::Value, String>, place: Place, remedy: &str) {
        match tree {
            Err(problem) => self.faults.push(Fault::of_document(&place, problem, remedy)),
            Ok(serde_json::Value::Null) => self.notices.push(Notice::of_document(&place, "the document is empty")),
            Ok(tree) => match parse(tree, place) {
                Parsed::Component(draft) => self.accept(*draft),
                Parsed::Other(notice) => self.notices.push(notice),
                Parsed::Broken(faults) => self.faults.extend(faults),
            },
        }
    }

    /// Dapr's filter in Dapr's order: namespace, double names, scopes.
    fn accept(&mut self, draft: Draft) {
        let skip = |text: String| Notice::of_document(&draft.place, text).component(draft.name.as_str());
        if let Some(namespace) =
            self.request.namespace.filter(|own| !draft.namespace.is_empty() && *own != draft.namespace)
        {
            let text = format!("skipped: it belongs to the namespace `{}`, not to `{namespace}`", draft.namespace);
            return self.notices.push(skip(text));
        }
        if let Some(earlier) = self.accepted.get(draft.name.as_str()) {
            let problem = format!("the name is already taken by {}, document {}", earlier.file, earlier.document);
            let fault = Fault::of_document(&draft.place, problem, "rename or remove one of the two");
            return self.faults.push(fault.component(draft.name.as_str()).field("metadata.name"));
        }
        if let Some(app_id) = self.request.app_id
            && !draft.scopes.is_empty()
            && !draft.scopes.iter().any(|scope| scope == app_id)
        {
            return self.notices.push(skip(format!("skipped: its `scopes` do not name the app id `{app_id}`")));
        }
        self.accepted.insert(draft.name.as_str().to_owned(), draft.place.clone());
        self.drafts.push(draft);
    }

    /// Stores first, since any document may ask any of them; then everything in file order.
    fn resolve(self) -> Loaded {
        let Self { request, drafts, notices, faults, .. } = self;
        let mut loaded = Loaded { documents: Vec::new(), notices, faults };
        let pod_name = request.environment.get("POD_NAME").filter(|name| !name.is_empty());
        let templates = Templates {
            app_id: request.app_id.unwrap_or_default(),
            namespace: request.namespace.filter(|name| !name.is_empty()).unwrap_or("default"),
            pod_name: pod_name.as_deref(),
        };
        let mut resolver = Resolver { environment: request.environment, templates, stores: HashMap::new() };
        let mut stores = HashMap::new();
        for draft in drafts.iter().filter(|draft| secrets::is_local_store(&draft.component_type)) {
            // Faults of the document itself are told in the second round.
            let (document, _) = resolver.document(draft);
            if !document.is_whole {
                continue;
            }
            let (store, faults, notices) = Store::open(&document, request.environment);
            loaded.take(faults, draft.ignore_errors);
            loaded.notices.extend(notices);
            stores.extend(store.map(|store| (draft.name.as_str(), store)));
        }
        resolver.stores = stores;
        for draft in &drafts {
            let (document, faults) = resolver.document(draft);
            loaded.notices.extend(draft.notices.iter().cloned());
            loaded.take(faults, draft.ignore_errors);
            loaded.documents.push(document);
        }
        loaded
    }
}

impl Loaded {
    fn take(&mut self, faults: Faults, ignore_errors: bool) {
        if ignore_errors {
            self.notices.extend(faults.into_iter().map(Fault::into_notice));
        } else {
            self.faults.extend(faults);
        }
    }
}

struct Resolver<'a> {
    environment: &'a dyn Environment,
    templates: Templates<'a>,
    stores: HashMap<&'a str, Store<'a>>,
}

impl Resolver<'_> {
    /// The document, whole or not, and what is wrong with it.
    fn document(&self, draft: &Draft) -> (Document, Faults) {
        let mut faults = draft.faults.clone();
        let mut items = Vec::with_capacity(draft.items.len());
        for item in &draft.items {
            let value = self.value(draft, item).map_err(|fault| faults.push(*fault)).ok();
            let is_written = matches!(item.source, Source::Written(_));
            items.push(Item { name: item.name.clone(), value, is_written });
        }
        let document = Document {
            name: draft.name.clone(),
            component_type: draft.component_type.clone(),
            version: draft.version.clone(),
            ignore_errors: draft.ignore_errors,
            init_timeout: draft.init_timeout,
            place: draft.place.clone(),
            items,
            is_whole: faults.is_empty(),
        };
        (document, faults)
    }

    fn value(&self, draft: &Draft, item: &DraftItem) -> Result<SecretString, Box<Fault>> {
        let fault = |problem: String, remedy: String| {
            let fault = Fault::of_document(&draft.place, problem, remedy);
            Box::new(fault.component(draft.name.as_str()).field(&item.name))
        };
        let fill = |text: &str| {
            let filled = self.templates.fill(text);
            let remedy = || "set POD_NAME, or use `{uuid}` or `{appID}`".to_owned();
            filled.map(SecretString::from).map_err(|error| fault(error.to_string(), remedy()))
        };
        match &item.source {
            Source::Written(text) => fill(text),
            Source::Variable(name) => {
                let refused = |error: Refused| fault(error.to_string(), "refer to another variable".to_owned());
                allowed(name, self.environment).map_err(refused)?;
                let problem = || format!("the environment variable `{name}` is not set");
                let unset = || fault(problem(), "set it before the daemon starts".to_owned());
                fill(&self.environment.get(name).ok_or_else(unset)?)
            }
            // A secret is taken as it is: a brace in a password is no template.
            Source::Secret { name, key } => self.secret(draft, name, key, &fault),
        }
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
            return Err(fault(problem, "add `auth:` with `secretStore: NAME` beside `spec:`".to_owned()));
        }
        let Some(store) = self.stores.get(store_name) else {
            let problem = format!("the secret store `{store_name}` is not loaded");
            let remedy = "add or mend a component of this name and of the type `secretstores.local.env` or `secretstores.local.file`";
            return Err(fault(problem, remedy.to_owned()));
        };
        store.get(name, key).map_err(|missing| {
            let blank = fault(String::new(), String::new());
            Box::new(secrets::fault_of(&missing, &blank, store_name))
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

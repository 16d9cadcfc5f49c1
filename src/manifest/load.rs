//! Loads the documents of folders and files.

use super::changed::changed_scalars;
use super::draft::{Draft, Parsed, parse};
use super::files::{ComponentFiles, Loaded};
use super::folder::{Dialect, FileOrigin, Folders, SourceFile};
use super::kinds::{claims_served_type, served_bindings};
use super::method::{MethodDraft, Methods};
use super::not_loaded::NotLoaded;
use super::overrides::{Overridden, Overrides, override_file};
use super::split::{Chunk, is_blank, split};
use super::{ComponentRules, Fault, Faults, LoadRequest, Notice, Place, RawDocument, tree};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Documents beyond this number in one file are a fault; it bounds what a file of separators costs.
const MAX_DOCUMENTS: usize = 1_000;

/// Reads all documents for this app, with all faults and notices.
///
/// Dapr continues with an empty value when a variable or a secret does not exist, and only logs it. An empty access key
/// would silently select AWS's default credentials, so it is a fault here. A document with `ignoreErrors` is left out
/// with a notice instead. What is not for bindd is skipped with a notice, and its references are not resolved. A file
/// that cannot be parsed is a fault if it names a component of a served type, or if `--resources-path` names this file.
///
/// Secrets of stores that need network calls are left out, each with a notice; see [`read`].
#[must_use]
pub fn load(request: &LoadRequest<'_>) -> Loaded {
    read(request).offline()
}

/// Reads and filters all documents for this app, as [`load`], without resolving their references.
#[must_use]
pub fn read<'a>(request: &LoadRequest<'a>) -> ComponentFiles<'a> {
    read_allowed(request, &ComponentRules::default(), &[])
}

/// As [`read`], without the components that the Configuration denies. They are skipped with a notice, and their faults and
/// references do not matter. `plugged` are types in lower case that are served beside bindd's own.
#[must_use]
pub fn read_allowed<'a>(request: &LoadRequest<'a>, rules: &ComponentRules, plugged: &[String]) -> ComponentFiles<'a> {
    read_with(request, rules, plugged, &Overrides::default())
}

/// As [`read_allowed`], with documents in place of those of the files. They come last. What is wrong with one, or keeps it
/// from being loaded, is a fault of the file [`override_file`].
#[must_use]
pub fn read_with<'a>(
    request: &LoadRequest<'a>,
    rules: &ComponentRules,
    plugged: &[String],
    overrides: &Overrides,
) -> ComponentFiles<'a> {
    let Folders { files, notices, faults, not_loaded } = Folders::read(request.paths);
    let mut loader = Loader {
        request,
        rules,
        plugged,
        overrides,
        overridden: Vec::new(),
        budget: tree::Budget::new(),
        drafts: Vec::new(),
        methods: Methods::default(),
        accepted: HashMap::new(),
        skipped: HashMap::new(),
        notices,
        faults,
        unserved: Faults::default(),
        not_loaded,
    };
    for file in &files {
        loader.file(file);
    }
    for (name, document) in overrides {
        if let Some(document) = document {
            loader.override_with(name, document);
        }
    }
    let Loader { drafts, methods, skipped, notices, faults, unserved, not_loaded, overridden, .. } = loader;
    ComponentFiles {
        request: *request,
        drafts,
        methods: Arc::new(methods),
        skipped,
        notices,
        faults,
        unserved,
        not_loaded,
        overridden,
        fingerprints: files.iter().map(|file| (file.file.clone(), fingerprint(&file.text))).collect(),
        builtin_kubernetes: false,
        dapr_compat: false,
    }
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

struct Loader<'a> {
    request: &'a LoadRequest<'a>,
    rules: &'a ComponentRules,
    plugged: &'a [String],
    overrides: &'a Overrides,
    overridden: Vec<Overridden>,
    budget: tree::Budget,
    drafts: Vec<Draft>,
    methods: Methods,
    accepted: HashMap<String, Accepted>,
    /// The types of skipped components by their names.
    skipped: HashMap<String, String>,
    notices: Vec<Notice>,
    faults: Faults,
    unserved: Faults,
    not_loaded: Vec<NotLoaded>,
}

/// A document that has taken its name.
struct Accepted {
    place: Place,
    log_name: String,
}

struct Text<'a> {
    text: &'a str,
    place: Place,
    dialect: Dialect,
    origin: FileOrigin,
}

impl Text<'_> {
    /// Whether a text that cannot be parsed is a fault instead of a notice.
    fn is_expected(&self, plugged: &[String]) -> bool {
        self.origin == FileOrigin::NamedByPath || claims_served_type(self.text.as_bytes(), plugged)
    }
}

impl Loader<'_> {
    fn file(&mut self, file: &SourceFile) {
        if is_blank(&file.text) {
            let notice = Notice::of_file(&file.file, "the file is empty");
            // One without even a comment may be about to be written.
            if file.text.trim().is_empty() {
                self.not_loaded.push(NotLoaded::any(notice.clone()));
            }
            return self.notices.push(notice);
        }
        match file.dialect {
            Dialect::Json => {
                let place = Place { file: file.file.clone(), document: 1 };
                let text = Text { text: &file.text, place, dialect: Dialect::Json, origin: file.origin };
                self.document(tree::from_json(&file.text), &text);
            }
            Dialect::Yaml => self.yaml(file),
        }
    }

    fn yaml(&mut self, file: &SourceFile) {
        let chunks = split(&file.text);
        let count = chunks.len();
        for (index, chunk) in chunks.iter().enumerate().take(MAX_DOCUMENTS) {
            let place = Place { file: file.file.clone(), document: index + 1 };
            // Many files end with a separator, so an empty last document gives no notice.
            self.chunk(chunk, place, file.origin, index + 1 == count);
        }
        let beyond = chunks.get(MAX_DOCUMENTS..).unwrap_or_default();
        if beyond.is_empty() {
            return;
        }
        let problem = format!("the file holds {count} documents, more than {MAX_DOCUMENTS}");
        let is_served = |chunk: &Chunk<'_>| claims_served_type(chunk.text.as_bytes(), self.plugged);
        if file.origin == FileOrigin::NamedByPath || beyond.iter().any(is_served) {
            self.faults.push(Fault::of_file(&file.file, problem, "split it into several files"));
        } else {
            self.notices.push(Notice::of_file(&file.file, format!("{problem}; the others are skipped")));
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, place: Place, origin: FileOrigin, is_last: bool) {
        let (notices, faults) = (self.notices.len(), self.faults.len());
        let text = "text after `---` on the same line is ignored, as in Dapr";
        let separator_notice = chunk.separator_has_text.then(|| Notice::of_document(&place, text));
        if is_blank(chunk.text) {
            let empty = || Notice::of_document(&place, "the document is empty");
            return self.notices.extend(separator_notice.or_else(|| (!is_last).then(empty)));
        }
        let tree = tree::from_yaml(chunk.text, chunk.lines_before, &self.budget);
        self.document(tree, &Text { text: chunk.text, place, dialect: Dialect::Yaml, origin });
        // One notice is enough for a skipped document.
        if self.notices.len() == notices || self.faults.len() > faults {
            self.notices.extend(separator_notice);
        }
    }

    fn document(&mut self, tree: Result<serde_json::Value, String>, text: &Text<'_>) {
        let tree = match tree {
            Ok(serde_json::Value::Null) => {
                return self.notices.push(Notice::of_document(&text.place, "the document is empty"));
            }
            Ok(tree) => tree,
            Err(problem) => return self.unreadable(text, problem),
        };
        match parse(&tree, text.place.clone(), self.plugged) {
            Parsed::Component(draft) => self.component(*draft, text),
            Parsed::Method(draft) => self.method(*draft, text),
            Parsed::Skipped { name, component_type } => self.skip(&text.place, name, component_type),
            Parsed::ReadElsewhere => {}
            Parsed::Other { name, notice } => {
                let notice = Notice::of_document(&text.place, notice);
                self.not_loaded.push(NotLoaded::named(name, notice.clone()));
                self.notices.push(notice);
            }
            Parsed::NotAMapping(problem) if tree.is_array() && text.origin == FileOrigin::InFolder => {
                let notice = Notice::of_document(&text.place, format!("skipped: {problem}"));
                self.not_loaded.push(NotLoaded::any(notice.clone()));
                self.notices.push(notice);
            }
            Parsed::NotAMapping(problem) => self.unreadable(text, problem.to_owned()),
            Parsed::Broken(faults) => {
                self.not_loaded.push(NotLoaded::with_fault(&text.place.file));
                self.faults.extend(faults);
            }
        }
    }

    fn unreadable(&mut self, text: &Text<'_>, problem: String) {
        let dialect = match text.dialect {
            Dialect::Yaml => "YAML",
            Dialect::Json => "JSON",
        };
        if text.is_expected(self.plugged) {
            let remedy = format!("correct the {dialect}, so that it is a Component document");
            self.not_loaded.push(NotLoaded::with_fault(&text.place.file));
            self.faults.push(Fault::of_document(&text.place, problem, remedy));
        } else {
            let notice = format!("skipped: it is not a component and not valid {dialect}: {problem}");
            let notice = Notice::of_document(&text.place, notice);
            self.not_loaded.push(NotLoaded::any(notice.clone()));
            self.notices.push(notice);
        }
    }

    fn skip(&mut self, place: &Place, name: Option<String>, component_type: String) {
        let shown: String = component_type.chars().take(64).collect();
        let notice = Notice::of_document(place, format!("skipped: bindd does not serve the type `{shown}`"));
        if component_type.to_lowercase().starts_with("bindings.") {
            let problem = format!("bindd does not serve the type `{shown}`");
            let fault = Fault::of_document(place, problem, "remove it, or start without --strict-components");
            let fault = Fault { component: name.clone(), ..fault };
            self.unserved.push(fault.field("spec.type"));
        }
        let notice = match &name {
            Some(name) => notice.component(name.as_str()),
            None => notice,
        };
        self.not_loaded.push(NotLoaded::named(name.clone(), notice.clone()));
        self.notices.push(notice);
        self.skipped.extend(name.map(|name| (name, component_type)));
    }

    fn method(&mut self, draft: MethodDraft, text: &Text<'_>) {
        if let Some(notice) = draft.skipped(self.request) {
            return self.notices.push(notice);
        }
        self.notices.extend(draft.notices);
        if let Err(fault) = self.methods.add(draft.method) {
            self.not_loaded.push(NotLoaded::with_fault(&text.place.file));
            self.faults.push(*fault);
        }
    }

    fn component(&mut self, mut draft: Draft, text: &Text<'_>) {
        if text.dialect == Dialect::Yaml {
            match changed_scalars(text.text) {
                Ok(changed) => draft.notices.extend(changed.into_iter().map(|changed| {
                    let notice = format!("field `{}`: {}", changed.field, changed.text);
                    Notice::of_document(&draft.place, notice).component(draft.name.as_str())
                })),
                Err(problem) => return self.unreadable(text, problem),
            }
        }
        self.accept(draft);
    }

    /// Dapr's filters in Dapr's order: namespace, duplicate names, scopes.
    fn accept(&mut self, draft: Draft) {
        let skip = |text: String| Notice::of_document(&draft.place, text).component(draft.name.as_str());
        if let Some(namespace) =
            self.request.namespace.filter(|own| !draft.namespace.is_empty() && *own != draft.namespace)
        {
            let text = format!("skipped: it belongs to the namespace `{}`, not to `{namespace}`", draft.namespace);
            return self.notices.push(skip(text));
        }
        if let Some(earlier) = self.accepted.get(draft.name.as_str()) {
            // The words of daprd.
            let problem = format!(
                "duplicate definition of Component name {} with existing {}, in {}, document {}",
                draft.log_name(),
                earlier.log_name,
                earlier.place.file,
                earlier.place.document
            );
            let fault = Fault::of_document(&draft.place, problem, "rename or remove one of the two");
            let fault = Fault { concerns_all: true, ..fault };
            return self.faults.push(fault.component(draft.name.as_str()).field("metadata.name"));
        }
        if let Some(app_id) = self.other_app(&draft) {
            return self.notices.push(skip(format!("skipped: its `scopes` do not name the app id `{app_id}`")));
        }
        if let Some(text) = self.denied(&draft) {
            return self.notices.push(skip(text));
        }
        let accepted = Accepted { place: draft.place.clone(), log_name: draft.log_name() };
        self.accepted.insert(draft.name.as_str().to_owned(), accepted);
        if self.overrides.contains_key(draft.name.as_str()) {
            self.overridden.push(Overridden { place: draft.place, document: draft.source });
        } else {
            self.drafts.push(draft);
        }
    }

    /// The app id, if the document is for other apps.
    fn other_app(&self, draft: &Draft) -> Option<&str> {
        let is_for = |app_id: &&str| draft.scopes.is_empty() || draft.scopes.iter().any(|scope| scope == app_id);
        self.request.app_id.filter(|app_id| !is_for(app_id))
    }

    /// What is said about a component that the Configuration denies.
    fn denied(&self, draft: &Draft) -> Option<String> {
        let (name, kind, version) = (draft.name.as_str(), &draft.component_type, draft.version.as_str());
        self.rules.is_denied(kind, version).then(|| {
            format!(
                "component '{name}' cannot be loaded because components of type '{name} ({kind}/{version})' are not allowed"
            )
        })
    }

    /// Adds the document of an override, or what keeps it from being loaded.
    fn override_with(&mut self, name: &str, document: &Arc<RawDocument>) {
        let place = Place { file: override_file(name), document: 1 };
        let fault = |field: &str, problem: String, remedy: &str| {
            Fault::of_document(&place, problem, remedy).component(name).field(field)
        };
        let found = match parse(&document.0, place.clone(), self.plugged) {
            Parsed::Component(draft) => {
                let other_namespace =
                    self.request.namespace.filter(|own| !draft.namespace.is_empty() && *own != draft.namespace);
                if let Some(own) = other_namespace {
                    let problem = format!("the component belongs to another namespace than `{own}`");
                    fault("metadata.namespace", problem, "correct it, or leave it out")
                } else if let Some(app_id) = self.other_app(&draft) {
                    fault("scopes", format!("the app id `{app_id}` is not among them"), "add it, or leave `scopes` out")
                } else if let Some(problem) = self.denied(&draft) {
                    fault("spec.type", problem, "correct the Configuration of `--config`")
                } else {
                    return self.drafts.push(*draft);
                }
            }
            Parsed::Skipped { component_type, .. } => {
                let remedy = format!("write one of {}", served_bindings());
                fault("spec.type", format!("bindd does not serve the type `{component_type}`"), &remedy)
            }
            Parsed::Other { notice, .. } => {
                fault("kind", notice, "write `kind: Component` and `apiVersion: dapr.io/v1alpha1`")
            }
            Parsed::ReadElsewhere | Parsed::Method(_) => {
                let remedy = "write `kind: Component`; policies and methods belong into files";
                fault("kind", "this is no component".to_owned(), remedy)
            }
            Parsed::NotAMapping(problem) => fault("kind", problem.to_owned(), "send one Component document"),
            Parsed::Broken(faults) => return self.faults.extend(faults),
        };
        self.faults.push(found);
    }
}

#[cfg(test)]
#[path = "tests/load.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/compat.rs"]
mod compat_tests;

#[cfg(test)]
#[path = "tests/method.rs"]
mod method_tests;

#[cfg(test)]
#[path = "tests/skipped.rs"]
mod skipped_tests;

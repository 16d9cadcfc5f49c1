//! Documents that were read and filtered, but whose references are not resolved.

use super::document::Document;
use super::draft::{Draft, Source};
use super::kinds::{is_local_store, is_remote_store, is_secret_store};
use super::method::Methods;
use super::not_loaded::NotLoaded;
use super::resolve::{Pending, Resolver};
use super::secrets::Store;
use super::wanted::{FetchedSecrets, WantedSecret};
use super::{Fault, Faults, LoadRequest, Notice, Overridden};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Loaded {
    /// Every component for this app whose type is served, or looks like a typing error of a served type, in order;
    /// including secret stores and [incomplete](Document::is_complete) documents.
    pub documents: Vec<Document>,
    /// The methods for this app, which the documents refer to.
    pub methods: Arc<Methods>,
    pub notices: Vec<Notice>,
    /// Faults of documents with `ignoreErrors` or `disabled` are among the notices instead.
    pub faults: Faults,
    /// Bindings that were skipped because bindd does not serve their type, as faults for those who refuse such files.
    pub unserved: Faults,
    /// What cannot be read, or is no component as it stands.
    pub not_loaded: Vec<NotLoaded>,
    /// The files that were read, each with a number that changes with its content.
    pub fingerprints: BTreeMap<String, u64>,
    dapr_compat: bool,
}

/// Documents and their references. Secrets that need network calls are resolved in rounds: [`ComponentFiles::wanted`] says
/// which to fetch now, and once it is empty, [`ComponentFiles::resolved`] returns the documents.
pub struct ComponentFiles<'a> {
    pub(super) request: LoadRequest<'a>,
    pub(super) drafts: Vec<Draft>,
    pub(super) methods: Arc<Methods>,
    /// The types of skipped components by their names.
    pub(super) skipped: HashMap<String, String>,
    pub(super) notices: Vec<Notice>,
    pub(super) faults: Faults,
    pub(super) unserved: Faults,
    pub(super) not_loaded: Vec<NotLoaded>,
    pub(super) fingerprints: BTreeMap<String, u64>,
    pub(super) overridden: Vec<Overridden>,
    pub(super) builtin_kubernetes: bool,
    pub(super) dapr_compat: bool,
}

impl std::fmt::Debug for ComponentFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentFiles").field("documents", &self.drafts.len()).finish_non_exhaustive()
    }
}

impl ComponentFiles<'_> {
    /// As in Dapr's mode for Kubernetes: values that name no secret store are secrets of Kubernetes, and the store
    /// `kubernetes` needs no document.
    #[must_use]
    pub const fn with_builtin_kubernetes(mut self, builtin: bool) -> Self {
        self.builtin_kubernetes = builtin;
        self
    }

    /// Treats faults as daprd does: what cannot be parsed is skipped with a notice, a variable or secret that is missing
    /// leaves its value empty, and of an item that is given twice the last one counts. Names that are taken twice, paths
    /// that cannot be read, and secret stores that cannot be opened stay faults.
    #[must_use]
    pub const fn with_dapr_compat(mut self, dapr_compat: bool) -> Self {
        self.dapr_compat = dapr_compat;
        self
    }

    /// The documents of the files whose place an override has taken.
    #[must_use]
    pub fn overridden(&self) -> &[Overridden] {
        &self.overridden
    }

    /// The namespace of the sidecar.
    #[must_use]
    pub const fn namespace(&self) -> Option<&str> {
        self.request.namespace
    }

    /// The secrets to fetch next: those that documents refer to, and that are not fetched. A store whose own fields refer to
    /// such a secret comes in a later round.
    #[must_use]
    pub fn wanted(&self, fetched: &FetchedSecrets) -> Vec<WantedSecret> {
        self.resolve(fetched, Pending::Collect).1
    }

    /// The documents. A secret that is still missing is a fault: its store cannot be opened, because stores refer to each
    /// other.
    #[must_use]
    pub fn resolved(&self, fetched: &FetchedSecrets) -> Loaded {
        self.resolve(fetched, Pending::Fault).0
    }

    /// The documents without the secrets that need network calls: each gives a notice, and its field is not checked.
    #[must_use]
    pub fn offline(&self) -> Loaded {
        self.resolve(&FetchedSecrets::default(), Pending::Notice).0
    }

    /// As [`Self::offline`], and a reference that has no value on this machine gives a notice too.
    #[must_use]
    pub fn without_secrets(&self) -> Loaded {
        self.resolve(&FetchedSecrets::default(), Pending::Tolerate).0
    }

    /// Resolves stores first, since any document may refer to any of them; then all documents in file order.
    fn resolve(&self, fetched: &FetchedSecrets, pending: Pending) -> (Loaded, Vec<WantedSecret>) {
        let mut loaded = Loaded {
            documents: Vec::new(),
            methods: Arc::clone(&self.methods),
            notices: self.notices.clone(),
            faults: self.faults.clone(),
            unserved: self.unserved.clone(),
            not_loaded: self.not_loaded.clone(),
            fingerprints: self.fingerprints.clone(),
            dapr_compat: self.dapr_compat,
        };
        if self.dapr_compat {
            loaded.skip_unread(self.request.paths);
        }
        let mut resolver = Resolver::new(&self.request, &self.skipped, fetched, pending);
        resolver.methods = Arc::clone(&self.methods);
        resolver.builtin_kubernetes = self.builtin_kubernetes;
        resolver.dapr_compat = self.dapr_compat;
        let mut stores = HashMap::new();
        for draft in self.drafts.iter().filter(|draft| is_local_store(&draft.component_type)) {
            // The last loop reports the faults of the document itself.
            let (document, _, _) = resolver.document(draft);
            if !document.is_complete {
                continue;
            }
            let (store, faults, notices) = Store::open(&document, self.request.environment);
            loaded.take(faults, draft, &self.drafts);
            loaded.notices.extend(notices);
            stores.extend(store.map(|store| (draft.name.as_str(), store)));
        }
        resolver.stores = stores;
        let mut remote = HashMap::new();
        for draft in self.drafts.iter().filter(|draft| is_remote_store(&draft.component_type)) {
            remote.insert(draft.name.as_str(), None);
        }
        resolver.remote = remote;
        // A remote store may refer to one that was opened before it, so there are as many turns as stores.
        for _ in 0..resolver.remote.len() {
            for draft in self.drafts.iter().filter(|draft| is_remote_store(&draft.component_type)) {
                let (document, _, _) = resolver.document(draft);
                if document.is_complete && document.is_resolved() {
                    resolver.remote.insert(draft.name.as_str(), Some(document));
                }
            }
        }
        // Only what the documents themselves want counts, and each once.
        resolver.take_wanted();
        for draft in &self.drafts {
            if is_remote_store(&draft.component_type) && !is_used(draft, &self.drafts) {
                let text = "skipped: no component that bindd runs refers to this secret store";
                loaded.notices.push(Notice::of_document(&draft.place, text).component(draft.name.as_str()));
                continue;
            }
            let (document, faults, notices) = resolver.document(draft);
            loaded.notices.extend(draft.notices.iter().cloned());
            loaded.notices.extend(notices);
            loaded.take(faults, draft, &self.drafts);
            loaded.documents.push(document);
        }
        let wanted = resolver.take_wanted();
        (loaded, wanted)
    }
}

/// Whether any of the documents needs a secret in this store. Skipped and disabled documents do not count.
fn is_used(store: &Draft, drafts: &[Draft]) -> bool {
    let has_secret = |draft: &Draft| draft.items.iter().any(|item| matches!(item.source, Source::Secret { .. }));
    let needs_it = |draft: &Draft| draft.secret_store == store.name.as_str() && has_secret(draft);
    drafts.iter().any(|draft| needs_it(draft) && !draft.disabled)
}

impl Loaded {
    fn take(&mut self, faults: Faults, draft: &Draft, drafts: &[Draft]) {
        if draft.ignore_errors {
            self.notices.extend(faults.into_iter().map(Fault::into_notice));
        } else if draft.disabled && !is_secret_store(&draft.component_type) {
            self.notices.extend(faults.into_iter().map(Fault::into_disabled));
        } else if is_secret_store(&draft.component_type) && !is_used(draft, drafts) {
            let reason = "left out, as no component that bindd runs refers to this store";
            self.notices.extend(faults.into_iter().map(|fault| fault.with_reason(reason)));
        } else if self.dapr_compat && !is_secret_store(&draft.component_type) {
            let log_name = draft.log_name();
            self.notices.extend(faults.into_iter().map(|fault| fault.into_skipped(&log_name)));
        } else {
            self.faults.extend(faults);
        }
    }

    /// Makes notices of the faults of files and documents that were not read, as daprd does.
    fn skip_unread(&mut self, paths: &[PathBuf]) {
        let is_fatal = |fault: &Fault| {
            let is_whole = fault.document.is_none();
            fault.concerns_all || (is_whole && paths.iter().any(|path| *path == Path::new(&fault.file)))
        };
        for fault in std::mem::take(&mut self.faults) {
            if is_fatal(&fault) {
                self.faults.push(fault);
            } else {
                let notice = fault.into_unread();
                self.not_loaded.push(NotLoaded::any(notice.clone()));
                self.notices.push(notice);
            }
        }
    }
}

impl Document {
    /// Whether every value is there.
    pub(super) fn is_resolved(&self) -> bool {
        self.items.iter().all(|item| item.value.is_some())
    }
}

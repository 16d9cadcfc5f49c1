//! What the API shows of the components: published by the owner task after each change, read by any request.

use crate::domain::ComponentName;
use crate::manifest::RawDocument;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;

/// The components by name. Reads take no lock.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    entries: ArcSwap<BTreeMap<ComponentName, Entry>>,
    /// Of the entity tags. Random, so that a tag tells nothing about the secrets of a document.
    keys: RandomState,
}

/// One component.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As it runs. Of one that does not run, as it was tried last.
    pub(super) document: Arc<RawDocument>,
    pub(super) state: State,
    /// The file that has it; `None` if only the API has.
    pub(super) file: Option<String>,
    /// Whether it was changed over the API and the file does not say so.
    pub(super) is_changed: bool,
    /// Why the newest document does not run.
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Disabled,
    /// It could not be connected, and nothing runs in its place.
    Failed,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
        }
    }
}

impl Catalog {
    pub(super) fn publish(&self, entries: BTreeMap<ComponentName, Entry>) {
        self.entries.store(Arc::new(entries));
    }

    pub(super) fn all(&self) -> Arc<BTreeMap<ComponentName, Entry>> {
        self.entries.load_full()
    }

    pub(super) fn get(&self, name: &str) -> Option<Entry> {
        let name: ComponentName = name.parse().ok()?;
        self.entries.load().get(&name).cloned()
    }

    /// The entity tag of a document, without quotes. Valid until the daemon ends.
    pub(super) fn etag(&self, document: &RawDocument) -> String {
        format!("{:016x}", document.fingerprint(&self.keys))
    }
}

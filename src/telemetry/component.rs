//! Components as labels. A call that ends after its component was removed must not bring its series back.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name of a component, and whether it was removed. Equal if the names are.
#[derive(Debug, Clone)]
pub(super) struct Component {
    name: Arc<str>,
    is_removed: Arc<AtomicBool>,
}

impl Component {
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Relaxed)
    }
}

impl PartialEq for Component {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Component {}

impl Hash for Component {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl EncodeLabelValue for Component {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name: &str = &self.name;
        name.encode(encoder)
    }
}

/// The components that have series. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Components(Arc<Mutex<HashMap<Arc<str>, Component>>>);

impl Components {
    /// The component of this name, which is a new one after [`Self::remove`].
    pub(super) fn get(&self, name: &str) -> Component {
        let mut known = self.lock();
        if let Some(component) = known.get(name) {
            return component.clone();
        }
        let component = Component { name: name.into(), is_removed: Arc::default() };
        known.insert(Arc::clone(&component.name), component.clone());
        component
    }

    pub(super) fn remove(&self, name: &str) {
        if let Some(removed) = self.lock().remove(name) {
            removed.is_removed.store(true, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Component>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

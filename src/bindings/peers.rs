//! How one component finds another: by name, once all are connected.

use crate::domain::{Binding, ComponentName};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

/// The connected components, by name. Cheap to clone; clones see the same. Empty until [`Peers::introduce`].
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<OnceLock<HashMap<ComponentName, Weak<dyn Binding>>>>);

impl Peers {
    /// Makes all components known to all. To be called once, after connecting and before the first request; a later call
    /// changes nothing. Holds no component alive, as components hold this.
    pub fn introduce<'b>(&self, all: impl IntoIterator<Item = &'b Arc<dyn Binding>>) {
        self.0
            .get_or_init(|| all.into_iter().map(|binding| (binding.name().clone(), Arc::downgrade(binding))).collect());
    }

    /// A component, if it was connected and is still there.
    pub(super) fn find(&self, name: &ComponentName) -> Option<Arc<dyn Binding>> {
        self.0.get()?.get(name)?.upgrade()
    }
}

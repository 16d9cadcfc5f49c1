//! What a component may use when it is connected; passed in instead of globals.

use crate::domain::{Binding, BindingError, ComponentName, FailureKind, WorkerId};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// The surroundings of a component.
#[derive(Debug, Clone)]
pub struct Context {
    /// The app's id (`--app-id`); names lease tables and stream consumers where the file does not.
    pub app_id: String,
    /// This process among all others that read the same stream. New with each start, so that no two ever share it.
    pub worker: WorkerId,
    /// A PEM file of further certificate authorities that connections to AWS trust.
    pub ca_bundle: Option<PathBuf>,
    /// Where components take their metric handles.
    pub metrics: Metrics,
    /// The other components, once all are connected.
    pub registry: Registry,
    /// Which input uses which lease table.
    pub lease_tables: LeaseTables,
    /// How long an input may take to finish the record in hand when it is told to stop.
    pub drain_limit: Duration,
}

/// The connected components, by name. Cheap to clone; clones see the same. Empty until [`Registry::publish`].
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<OnceLock<HashMap<ComponentName, Weak<dyn Binding>>>>);

impl Registry {
    /// Makes all components known to all. To be called once, after connecting and before the first request; a later call
    /// changes nothing. Holds no component alive, as components hold this.
    pub fn publish<'b>(&self, all: impl IntoIterator<Item = &'b Arc<dyn Binding>>) {
        self.0
            .get_or_init(|| all.into_iter().map(|binding| (binding.name().clone(), Arc::downgrade(binding))).collect());
    }

    /// A component, if it was connected and is still there.
    pub(super) fn find(&self, name: &ComponentName) -> Option<Arc<dyn Binding>> {
        self.0.get()?.get(name)?.upgrade()
    }
}

/// The lease tables in use by the inputs of this process. Cheap to clone; clones see the same.
///
/// Two inputs on one table would take each other's leases, and mix up the shards of two streams. Files that leave it to
/// the app whether an input is read may name one table twice, so this is decided when the inputs begin.
#[derive(Debug, Clone, Default)]
pub struct LeaseTables(Arc<Mutex<HashMap<String, ComponentName>>>);

impl LeaseTables {
    /// Reserves a table for an input, for the life of the process. The same input may ask again.
    ///
    /// # Errors
    /// When another input has it.
    pub(super) fn reserve(&self, table: &str, component: &ComponentName) -> Result<(), BindingError> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = tables.entry(table.to_owned()).or_insert_with(|| component.clone());
        if owner == component {
            return Ok(());
        }
        let text = format!(
            "the lease table `{table}` is in use by the input of component `{owner}`: give each input its own \
             `consumerName`, or write `direction: output` where only the output is used"
        );
        Err(BindingError::new(FailureKind::Conflict, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_belongs_to_the_first_input_that_asks() {
        let tables = LeaseTables::default();
        let (first, second): (ComponentName, ComponentName) = ("first".parse().unwrap(), "second".parse().unwrap());
        tables.reserve("shop", &first).unwrap();
        tables.reserve("shop", &first).unwrap();
        let refused = tables.reserve("shop", &second).unwrap_err().to_string();
        assert!(refused.contains("`shop` is in use by the input of component `first`"), "{refused}");
        tables.reserve("till", &second).unwrap();
    }
}

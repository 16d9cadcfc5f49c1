//! What the components of a process share. It is passed to `connect`, so there are no globals.

use crate::consumer::SharedLimits;
use crate::domain::{Binding, BindingError, ComponentName, FailureKind, WorkerId};
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Context {
    /// `--app-id`: part of the default name of lease tables and stream consumers.
    pub app_id: String,
    /// Identifies this process. New at each start, so that no two processes share it.
    pub worker: WorkerId,
    /// PEM file with more certificate authorities that connections to AWS trust.
    pub ca_bundle: Option<PathBuf>,
    pub metrics: Metrics,
    pub registry: Registry,
    pub lease_tables: LeaseTables,
    /// At shutdown, how long an input may take to finish the record in flight.
    pub drain_limit: Duration,
    /// Memory for records and requests to the app, which all inputs share.
    pub limits: SharedLimits,
}

/// The connected components, by name: how one component finds another. Clones share the content, which is empty until
/// [`Registry::publish`].
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<OnceLock<HashMap<ComponentName, Weak<dyn Binding>>>>);

impl Registry {
    /// Publishes all components, so that each can find the others. Called once, after all are connected and before the
    /// first request; a later call changes nothing. References are weak, because components hold the registry.
    pub fn publish<'b>(&self, all: impl IntoIterator<Item = &'b Arc<dyn Binding>>) {
        self.0
            .get_or_init(|| all.into_iter().map(|binding| (binding.name().clone(), Arc::downgrade(binding))).collect());
    }

    pub(super) fn find(&self, name: &ComponentName) -> Option<Arc<dyn Binding>> {
        self.0.get()?.get(name)?.upgrade()
    }
}

/// Which input of this process uses which lease table. Clones share the content.
///
/// Two inputs on one table would take each other's leases, and mix up the shards of two streams. Two files may name the
/// same table if only one of their inputs is used. This is known only once an input starts, so the table is reserved
/// then.
#[derive(Debug, Clone, Default)]
pub struct LeaseTables(Arc<Mutex<HashMap<String, ComponentName>>>);

impl LeaseTables {
    /// Reserves a table for an input until the process ends. The same input may reserve it again.
    ///
    /// # Errors
    /// `Conflict` when another input has it.
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
    fn a_lease_table_belongs_to_the_first_input_that_reserves_it() {
        let tables = LeaseTables::default();
        let (first, second): (ComponentName, ComponentName) = ("first".parse().unwrap(), "second".parse().unwrap());
        tables.reserve("shop", &first).unwrap();
        tables.reserve("shop", &first).unwrap();
        let error = tables.reserve("shop", &second).unwrap_err().to_string();
        assert!(error.contains("`shop` is in use by the input of component `first`"), "{error}");
        tables.reserve("till", &second).unwrap();
    }
}

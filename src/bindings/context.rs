//! What the components of a process share. It is passed to `connect`, so there are no globals.

use super::shaping_memory::ShapingMemory;
use crate::consumer::SharedLimits;
use crate::domain::{
    BindingError, BodyMemory, ComponentName, DrainLimits, FailureKind, InvokeRequest, InvokeResponse, Outputs, WorkerId,
};
use crate::producer::Successions;
use crate::telemetry::{Metrics, Tracer};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

#[derive(Debug, Clone)]
pub struct Context {
    /// `--app-id`: part of the default name of lease tables and stream consumers.
    pub app_id: String,
    /// Identifies this process. New at each start, so that no two processes share it.
    pub worker: WorkerId,
    /// PEM file with further certificate authorities that connections to AWS trust.
    pub ca_bundle: Option<PathBuf>,
    pub metrics: Metrics,
    /// Starts a span for each call to AWS.
    pub tracer: Tracer,
    pub registry: Registry,
    pub lease_tables: LeaseTables,
    pub successions: Successions,
    /// How long an input may take to finish the records in flight.
    pub drain_limits: DrainLimits,
    /// Largest message of a pluggable component, in bytes.
    pub max_message_size: usize,
    /// Memory for the bodies of responses, which all outputs and the API share (`--max-buffer`).
    pub bodies: BodyMemory,
    /// Memory for records and requests to the app, which all inputs share.
    pub limits: SharedLimits,
    /// Memory for decompressed records and outputs of transforms, which all inputs share.
    pub shaping_memory: ShapingMemory,
}

/// How one component calls another. Clones share the content, which is empty until [`Registry::publish`]. A component that
/// is replaced is found again at the next call.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<OnceLock<Weak<dyn Outputs>>>);

impl Registry {
    /// Publishes the running components, so that each can call the others. Called once, after all are connected and before
    /// the first request; a later call changes nothing. The reference is weak, because components hold the registry.
    pub fn publish(&self, outputs: &Arc<dyn Outputs>) {
        self.0.get_or_init(|| Arc::downgrade(outputs));
    }

    /// Performs an operation of another component; `None` if there is no such output.
    pub(super) async fn call(
        &self,
        name: &ComponentName,
        request: InvokeRequest,
    ) -> Option<Result<InvokeResponse, BindingError>> {
        self.0.get()?.upgrade()?.call(name, request).await
    }
}

/// Which input of this process uses which lease table. Clones share the content.
///
/// Two inputs on one table would take each other's leases, and mix up the shards of two streams. Two files may name the
/// same table if only one of their inputs is used. This is known only once an input starts, so the table is reserved
/// then.
#[derive(Debug, Clone, Default)]
pub struct LeaseTables(Arc<Mutex<HashMap<String, Owner>>>);

#[derive(Debug)]
struct Owner {
    component: ComponentName,
    /// Two while an input is replaced: the new one reserves the table before the old one has released it.
    reservations: usize,
}

/// Keeps a lease table for an input until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the reservation at once gives the table to any other input"]
pub(super) struct LeaseTableReservation {
    tables: LeaseTables,
    table: String,
}

impl LeaseTables {
    /// Reserves a table for an input. The same input may reserve it again.
    ///
    /// # Errors
    /// `Conflict` when another input has it.
    pub(super) fn reserve(
        &self,
        table: &str,
        component: &ComponentName,
    ) -> Result<LeaseTableReservation, BindingError> {
        let mut tables = self.lock();
        let owner =
            tables.entry(table.to_owned()).or_insert_with(|| Owner { component: component.clone(), reservations: 0 });
        if owner.component != *component {
            let owner = &owner.component;
            let text = format!(
                "the lease table `{table}` is in use by the input of component `{owner}`: give each input its own \
                 `consumerName`, or write `direction: output` where only the output is used"
            );
            return Err(BindingError::new(FailureKind::Conflict, text));
        }
        owner.reservations += 1;
        Ok(LeaseTableReservation { tables: self.clone(), table: table.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LeaseTableReservation {
    fn drop(&mut self) {
        let mut tables = self.tables.lock();
        let Some(owner) = tables.get_mut(&self.table) else { return };
        owner.reservations -= 1;
        if owner.reservations == 0 {
            tables.remove(&self.table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_table_belongs_to_the_first_input_that_reserves_it_until_it_is_released() {
        let tables = LeaseTables::default();
        let (first, second): (ComponentName, ComponentName) = ("first".parse().unwrap(), "second".parse().unwrap());
        let old = tables.reserve("shop", &first).unwrap();
        let new = tables.reserve("shop", &first).unwrap();
        drop(old);
        let error = tables.reserve("shop", &second).unwrap_err().to_string();
        assert!(error.contains("`shop` is in use by the input of component `first`"), "{error}");
        let _other = tables.reserve("till", &second).unwrap();
        drop(new);
        let _taken = tables.reserve("shop", &second).unwrap();
    }
}

//! Which input of this process uses which lease table.

use crate::domain::{BindingError, ComponentName, FailureKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

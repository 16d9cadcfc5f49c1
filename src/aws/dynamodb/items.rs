//! Items of one table.

use super::super::client::Connection;
use super::super::failure::{Failed, classify};
use super::{Item, table};
use crate::domain::BindingError;
use aws_sdk_dynamodb::Client;

/// Writes items to one table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Items {
    client: Client,
    table: String,
}

impl Items {
    /// For a table by name or ARN; nothing is contacted.
    #[must_use]
    pub fn new(connection: &Connection, table: String) -> Self {
        Self { client: connection.dynamodb(), table }
    }

    /// Stores an item; one that has the same key is replaced. One attempt. Trying again is harmless: the same item
    /// would replace itself.
    ///
    /// # Errors
    /// As DynamoDB answered; the outcome is unknown where no answer came.
    pub async fn put(&self, item: Item) -> Result<(), BindingError> {
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(binding_error(classify("PutItem", error), &self.table)),
        }
    }
}

/// Creates a table with the string key `key` if there is none, billed by request, and waits until it is active. A
/// table that exists is left as it is.
///
/// # Errors
/// When it could not be looked at or created, or was not active after two minutes.
pub async fn ensure_table(connection: &Connection, name: &str, key: &str) -> Result<(), BindingError> {
    let ensured = Box::pin(table::ensure(&connection.dynamodb(), name, key)).await;
    ensured.map(|_| ()).map_err(|failed| binding_error(failed, name))
}

fn binding_error(failed: Failed, table: &str) -> BindingError {
    BindingError::new(failed.kind, format!("table `{table}`: {}", failed.text))
        .with_outcome(failed.outcome)
        .with_source(failed.source)
}

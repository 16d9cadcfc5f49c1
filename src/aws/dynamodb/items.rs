//! Items of one table.

use super::super::client::Connection;
use super::super::failure::{Failed, classify};
use super::{Item, table};
use crate::domain::BindingError;
use aws_sdk_dynamodb::Client;

/// Writes items to one table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Items {
    connection: Connection,
    client: Client,
    table: String,
}

impl Items {
    /// For a table by name or ARN; nothing is contacted.
    #[must_use]
    pub fn new(connection: &Connection, table: String) -> Self {
        Self { connection: connection.clone(), client: connection.dynamodb(), table }
    }

    /// Stores an item; one that has the same key is replaced. One attempt, of 5 s, once a call may be open. Trying
    /// again is harmless: the same item would replace itself.
    ///
    /// # Errors
    /// As DynamoDB answered; the outcome is unknown where no answer came.
    pub async fn put(&self, item: Item) -> Result<(), BindingError> {
        let _place = self.connection.permit().await;
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(binding_error(classify("DynamoDB: PutItem", error), &self.table)),
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

/// The service's text does not name the table.
fn binding_error(mut failed: Failed, table: &str) -> BindingError {
    failed.text.push_str(&format!(" (table `{table}`)"));
    failed.into()
}

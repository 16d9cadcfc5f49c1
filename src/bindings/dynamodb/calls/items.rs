//! Writes and reads of single items of one table: one call each, never repeated here.

use super::refusal::{Refused, refused};
use super::{Delete, Item, Placeholders, Put, Update};
use crate::aws::CallError;
use crate::aws::Connection;
use crate::aws::{KeySchema, key_schema};
use crate::domain::BindingError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    ConsumedCapacity, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

/// How the items of one table are reached.
#[derive(Debug, Clone)]
pub struct ItemsSettings {
    /// Name or ARN of the table.
    pub table: String,
    /// Bound of one call.
    pub attempt_timeout: Duration,
    /// Whether the service is asked what a call cost.
    pub capacity: CapacityReport,
}

impl ItemsSettings {
    /// A table with the defaults: 5 s for a call, no report.
    #[must_use]
    pub const fn of_table(table: String) -> Self {
        Self { table, attempt_timeout: Duration::from_secs(5), capacity: CapacityReport::Off }
    }
}

/// Whether consumed capacity is reported (`returnConsumedCapacity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CapacityReport {
    /// It is not.
    #[default]
    Off,
    /// The sum of a call, in capacity units.
    Total,
}

/// Which attributes a write gives back (`ReturnValues`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returned {
    /// None.
    #[default]
    Nothing,
    /// The item as it was before.
    AllOld,
    /// Of the item before, those that were changed; updates only.
    UpdatedOld,
    /// The item as it is now; updates only.
    AllNew,
    /// Of the item now, those that were changed; updates only.
    UpdatedNew,
}

/// What a refused condition gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefusal {
    /// Nothing.
    #[default]
    Nothing,
    /// The item as it is.
    Item,
}

/// What a write gave back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// The attributes asked for, if there are any.
    pub attributes: Option<Item>,
    /// Capacity units, where they were asked for.
    pub capacity: Option<f64>,
}

/// A read of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Get {
    /// The key.
    pub key: Item,
    /// The projection expression; the whole item without one.
    pub projection: Option<String>,
    /// Names behind the projection's placeholders.
    pub placeholders: Placeholders,
    /// Whether the read must see every write before it.
    pub consistency: Consistency,
}

/// How fresh a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It may miss the newest writes; costs half.
    #[default]
    Eventual,
    /// It sees every write that was confirmed before.
    Strong,
}

/// What a read gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The item, if there is one.
    pub item: Option<Item>,
    /// Capacity units, where they were asked for.
    pub capacity: Option<f64>,
}

/// The items of one table. Cheap to clone; every call is a single attempt, made once a call may be open. The futures are
/// boxed: the SDK's own are large, and what holds them would be built of them again and again.
#[derive(Debug, Clone)]
pub struct Items {
    pub(super) connection: Connection,
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) capacity: CapacityReport,
}

/// Sends a write of one item with what all three kinds have in common: the SDK's builders share names, but no trait.
macro_rules! write_one {
    ($items:ident, $operation:literal, $request:ident, ($condition:ident, $behind:ident), ($returned:ident, $on_refusal:ident)) => {{
        let sent = $request
            .set_condition_expression($condition)
            .set_expression_attribute_names($behind.names())
            .set_expression_attribute_values($behind.values())
            .return_values($returned.word())
            .set_return_values_on_condition_check_failure($on_refusal.word())
            .set_return_consumed_capacity($items.report())
            .send()
            .await;
        let answer = sent.map_err(|error| refused($operation, &$items.table, error))?;
        Ok(written(answer.attributes, answer.consumed_capacity.as_ref()))
    }};
}

impl Items {
    /// For a table; nothing is contacted.
    #[must_use]
    pub fn new(connection: &Connection, settings: ItemsSettings) -> Self {
        let client = connection.dynamodb_within(settings.attempt_timeout);
        Self { connection: connection.clone(), client, table: settings.table, capacity: settings.capacity }
    }

    /// The table's name or ARN.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Stores an item; one that has the same key is replaced.
    ///
    /// # Errors
    /// As DynamoDB answered; `Outcome::Unknown` where no answer came; `Throttled` where no call could be opened before
    /// `until` (`maxConnections`), as in all calls.
    pub fn put(
        &self,
        put: Put,
        returned: Returned,
        on_refusal: OnRefusal,
        until: Instant,
    ) -> BoxFuture<'_, Result<Written, Refused>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let (condition, placeholders) = parts(put.condition);
            let request = self.client.put_item().table_name(&self.table).set_item(Some(put.item));
            write_one!(self, "DynamoDB: PutItem", request, (condition, placeholders), (returned, on_refusal))
        })
    }

    /// Changes attributes of an item; one that is not there is created.
    ///
    /// # Errors
    /// As [`Items::put`].
    pub fn update(
        &self,
        update: Update,
        returned: Returned,
        on_refusal: OnRefusal,
        until: Instant,
    ) -> BoxFuture<'_, Result<Written, Refused>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let (condition, placeholders) = (update.condition, update.placeholders);
            let request = self.client.update_item().table_name(&self.table).set_key(Some(update.key));
            let request = request.update_expression(update.change);
            write_one!(self, "DynamoDB: UpdateItem", request, (condition, placeholders), (returned, on_refusal))
        })
    }

    /// Removes an item; none there is success too.
    ///
    /// # Errors
    /// As [`Items::put`].
    pub fn delete(
        &self,
        delete: Delete,
        returned: Returned,
        on_refusal: OnRefusal,
        until: Instant,
    ) -> BoxFuture<'_, Result<Written, Refused>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let (condition, placeholders) = parts(delete.condition);
            let request = self.client.delete_item().table_name(&self.table).set_key(Some(delete.key));
            write_one!(self, "DynamoDB: DeleteItem", request, (condition, placeholders), (returned, on_refusal))
        })
    }

    /// Reads an item.
    ///
    /// # Errors
    /// As DynamoDB answered, or as [`Items::put`] before it was asked.
    pub fn get(&self, get: Get, until: Instant) -> BoxFuture<'_, Result<Found, BindingError>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let request = self.client.get_item().table_name(&self.table).set_key(Some(get.key));
            let sent = request
                .set_projection_expression(get.projection)
                .set_expression_attribute_names(get.placeholders.names())
                .consistent_read(get.consistency == Consistency::Strong)
                .set_return_consumed_capacity(self.report())
                .send()
                .await;
            let answer = sent.map_err(|error| refused("DynamoDB: GetItem", &self.table, error).error)?;
            let capacity = units(answer.consumed_capacity.as_ref());
            Ok(Found { item: answer.item, capacity })
        })
    }

    /// The table's key, or `None` where we may not look (`dynamodb:DescribeTable` is denied).
    ///
    /// # Errors
    /// As [`Items::get`].
    pub fn key_schema(&self, until: Instant) -> BoxFuture<'_, Result<Option<KeySchema>, BindingError>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let described = key_schema(&self.client, &self.table).await;
            described.map_err(|failed| binding_error(failed, &self.table))
        })
    }

    /// Waits for the right to open one more call, which must be answered by `until`.
    pub(super) async fn place(&self, until: Instant) -> Result<Option<SemaphorePermit<'_>>, BindingError> {
        self.connection.permit_before(until).await
    }

    /// What calls ask about capacity.
    pub(super) const fn report(&self) -> Option<ReturnConsumedCapacity> {
        match self.capacity {
            CapacityReport::Off => None,
            CapacityReport::Total => Some(ReturnConsumedCapacity::Total),
        }
    }
}

impl Returned {
    const fn word(self) -> ReturnValue {
        match self {
            Self::Nothing => ReturnValue::None,
            Self::AllOld => ReturnValue::AllOld,
            Self::UpdatedOld => ReturnValue::UpdatedOld,
            Self::AllNew => ReturnValue::AllNew,
            Self::UpdatedNew => ReturnValue::UpdatedNew,
        }
    }
}

impl OnRefusal {
    pub(super) const fn word(self) -> Option<ReturnValuesOnConditionCheckFailure> {
        match self {
            Self::Nothing => None,
            Self::Item => Some(ReturnValuesOnConditionCheckFailure::AllOld),
        }
    }
}

pub(super) fn parts(condition: Option<super::Condition>) -> (Option<String>, Placeholders) {
    condition.map_or_else(Default::default, |condition| (Some(condition.text), condition.placeholders))
}

fn written(attributes: Option<Item>, capacity: Option<&ConsumedCapacity>) -> Written {
    Written { attributes: attributes.filter(|attributes| !attributes.is_empty()), capacity: units(capacity) }
}

/// The sum of one call, table and indexes together.
pub(super) fn units(capacity: Option<&ConsumedCapacity>) -> Option<f64> {
    capacity.and_then(ConsumedCapacity::capacity_units)
}

/// The service's text does not name the table.
fn binding_error(mut failed: CallError, table: &str) -> BindingError {
    failed.text.push_str(&format!(" (table `{table}`)"));
    failed.into()
}

#[cfg(test)]
#[path = "tests/items.rs"]
mod tests;

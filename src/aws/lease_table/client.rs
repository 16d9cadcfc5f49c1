//! The calls of the lease table: one attempt each, with a known outcome where that is possible.
//!
//! Invariant: a write that did arrive counts as done, even if its response was lost. A failed condition returns the row as
//! it is (`ALL_OLD`), and after a lost response the row is read consistently. Either row is compared with what the write
//! would have left (`is_done`).

use super::super::Item;
use super::super::failure::{CallError, classify};
use super::row::{LEASE_KEY, Row, new_row, read_row, string};
use super::writes::ConditionalWrite;
use crate::domain::{Lease, LeaseError, NewLease, Outcome, ShardId};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

/// The result of a conditional write, with the row as it is now.
pub(super) enum WriteResult {
    /// By this call.
    Stored(Lease),
    /// The row shows that the write is done. It may have been an earlier attempt, whose response was lost.
    Found(Lease),
    /// `None` if there is no row.
    ConditionFailed(Option<Lease>),
}

impl WriteResult {
    /// The row after the write, for writes of which it does not matter when they were done.
    pub(super) fn or_lost(self, shard: &ShardId) -> Result<Lease, LeaseError> {
        match self {
            Self::Stored(lease) | Self::Found(lease) => Ok(lease),
            Self::ConditionFailed(_) => Err(lost(shard)),
        }
    }
}

pub(super) fn lost(shard: &ShardId) -> LeaseError {
    LeaseError::Lost { shard: shard.clone() }
}

#[derive(Debug, Clone)]
pub(super) struct TableClient {
    pub(super) client: Client,
    pub(super) name: String,
}

impl TableClient {
    /// All rows, also those that are not leases.
    pub(super) async fn scan(&self) -> Result<Vec<Item>, LeaseError> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true);
        let rows: Result<Vec<Item>, _> = scan.into_paginator().items().send().collect().await;
        rows.map_err(|error| self.unavailable("reading", classify("DynamoDB: Scan", error)))
    }

    /// One conditional update. `is_done` recognises a row that this write, or an earlier attempt of it, has left.
    pub(super) async fn write(
        &self,
        shard: &ShardId,
        write: ConditionalWrite,
        is_done: impl Fn(&Lease) -> bool + Send,
    ) -> Result<WriteResult, LeaseError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(LEASE_KEY, string(shard))
            .update_expression(write.update_expression())
            .condition_expression(write.condition_expression())
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match request.send().await {
            Ok(output) => return Ok(WriteResult::Stored(self.lease(&output.attributes.unwrap_or_default())?)),
            Err(error) => error,
        };
        let row = match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                failed.item().filter(|row| !row.is_empty()).map(|row| self.lease(row)).transpose()?
            }
            Some(_) | None => return self.read_back(shard, classify("DynamoDB: UpdateItem", error), is_done).await,
        };
        Ok(match row {
            Some(lease) if is_done(&lease) => WriteResult::Found(lease),
            row => WriteResult::ConditionFailed(row),
        })
    }

    /// After a failure: if the outcome is unknown, the row may show that the write is done.
    async fn read_back(
        &self,
        shard: &ShardId,
        error: CallError,
        is_done: impl Fn(&Lease) -> bool + Send,
    ) -> Result<WriteResult, LeaseError> {
        if error.outcome == Outcome::Unknown
            && let Ok(Some(lease)) = self.get(shard).await
            && is_done(&lease)
        {
            tracing::debug!(table = self.name, %shard, "response was lost; the row shows that the write is done");
            return Ok(WriteResult::Found(lease));
        }
        Err(self.unavailable(&format!("writing the lease of {shard} to"), error))
    }

    /// Deletes a row if the condition of `write` holds. Returns whether the row is gone now, which it also is if another
    /// worker or an earlier attempt of ours deleted it.
    pub(super) async fn delete(&self, shard: &ShardId, write: ConditionalWrite) -> Result<bool, LeaseError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key(LEASE_KEY, string(shard))
            .condition_expression(write.condition_expression())
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(true) };
        if let Some(DeleteItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
            return Ok(failed.item().is_none_or(Item::is_empty));
        }
        let error = classify("DynamoDB: DeleteItem", error);
        if error.outcome == Outcome::Unknown && matches!(self.get(shard).await, Ok(None)) {
            return Ok(true);
        }
        Err(self.unavailable(&format!("removing the lease of {shard} from"), error))
    }

    pub(super) async fn get(&self, shard: &ShardId) -> Result<Option<Lease>, LeaseError> {
        let request = self.client.get_item().table_name(&self.name).key(LEASE_KEY, string(shard)).consistent_read(true);
        let output = request.send().await.map_err(|error| {
            self.unavailable(&format!("reading the lease of {shard} from"), classify("DynamoDB: GetItem", error))
        })?;
        output.item.as_ref().map(|row| self.lease(row)).transpose()
    }

    pub(super) async fn create(&self, lease: &NewLease) -> Result<(), LeaseError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(new_row(lease)))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", LEASE_KEY);
        match request.send().await.map_err(|error| classify("DynamoDB: PutItem", error)) {
            Ok(_) => Ok(()),
            // Another worker created it first.
            Err(error) if error.is("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(self.unavailable(&format!("creating the lease of {} in", lease.shard), error)),
        }
    }

    /// Reads a row that must be a lease.
    fn lease(&self, row: &Item) -> Result<Lease, LeaseError> {
        match read_row(row) {
            Ok(Row::Lease(lease)) => Ok(*lease),
            Ok(Row::Other(entity)) => Err(self.unusable(&format!("the row of a shard has entityType {entity}"))),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    pub(super) fn unusable(&self, why: &str) -> LeaseError {
        LeaseError::Unusable { reason: format!("lease table `{}` cannot be used: {why}", self.name) }
    }

    pub(super) fn unavailable(&self, doing: &str, error: CallError) -> LeaseError {
        error.into_lease_error(&format!("{doing} lease table `{}` failed", self.name))
    }
}

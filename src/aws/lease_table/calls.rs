//! The calls under the lease table: one attempt each, and a known outcome wherever one can be had.
//!
//! A condition that fails comes back with the row as it is (`ALL_OLD`), and a reply that never came is followed by a
//! consistent read; both are compared with what the write would have left, so that a write of ours that did arrive
//! counts as done.

use super::super::Item;
use super::super::failure::{Failed, classify};
use super::row::{LEASE_KEY, Row, new_row, read_row, string};
use super::store::LeaseTable;
use super::writes::Write;
use crate::domain::{Lease, LeaseError, NewLease, Outcome, ShardId};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

/// What became of a conditional write.
pub(super) enum Written {
    /// It is stored; the row as it is now.
    Stored(Lease),
    /// The condition did not hold; the row as it is, if there is one.
    Refused(Option<Lease>),
}

impl LeaseTable {
    /// Every row, whatever it is.
    pub(super) async fn scan(&self) -> Result<Vec<Item>, LeaseError> {
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let request =
                self.client().scan().table_name(self.name()).consistent_read(true).set_exclusive_start_key(from);
            let page =
                request.send().await.map_err(|error| self.unavailable("reading", classify("DynamoDB: Scan", error)))?;
            rows.extend(page.items.unwrap_or_default());
            match page.last_evaluated_key {
                Some(key) if !key.is_empty() => from = Some(key),
                Some(_) | None => return Ok(rows),
            }
        }
    }

    /// One conditional update. `is_done` tells a row that this write, or an earlier try of it, has left.
    pub(super) async fn write(
        &self,
        shard: &ShardId,
        write: Write,
        is_done: impl Fn(&Lease) -> bool + Send,
    ) -> Result<Written, LeaseError> {
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .key(LEASE_KEY, string(shard))
            .update_expression(write.update())
            .condition_expression(write.condition())
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match request.send().await {
            Ok(answer) => return Ok(Written::Stored(self.lease(&answer.attributes.unwrap_or_default())?)),
            Err(error) => error,
        };
        let row = match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                refusal.item().filter(|row| !row.is_empty()).map(|row| self.lease(row)).transpose()?
            }
            Some(_) | None => return self.read_back(shard, classify("DynamoDB: UpdateItem", error), is_done).await,
        };
        Ok(match row {
            Some(lease) if is_done(&lease) => Written::Stored(lease),
            row => Written::Refused(row),
        })
    }

    /// After a failure: an unknown outcome becomes a known one if the row shows our write.
    async fn read_back(
        &self,
        shard: &ShardId,
        failed: Failed,
        is_done: impl Fn(&Lease) -> bool + Send,
    ) -> Result<Written, LeaseError> {
        if failed.outcome == Outcome::Unknown
            && let Ok(Some(lease)) = self.get(shard).await
            && is_done(&lease)
        {
            tracing::debug!(table = self.name(), %shard, "lost reply was replaced by reading the row");
            return Ok(Written::Stored(lease));
        }
        Err(self.unavailable(&format!("writing the lease of {shard} to"), failed))
    }

    /// Deletes a row if the condition of `write` holds. Says whether the row is gone now: one that another worker, or
    /// an earlier try of ours, deleted first is gone too.
    pub(super) async fn delete(&self, shard: &ShardId, write: Write) -> Result<bool, LeaseError> {
        let request = self
            .client()
            .delete_item()
            .table_name(self.name())
            .key(LEASE_KEY, string(shard))
            .condition_expression(write.condition())
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(true) };
        if let Some(DeleteItemError::ConditionalCheckFailedException(refusal)) = error.as_service_error() {
            return Ok(refusal.item().is_none_or(Item::is_empty));
        }
        let failed = classify("DynamoDB: DeleteItem", error);
        if failed.outcome == Outcome::Unknown && matches!(self.get(shard).await, Ok(None)) {
            return Ok(true);
        }
        Err(self.unavailable(&format!("removing the lease of {shard} from"), failed))
    }

    async fn get(&self, shard: &ShardId) -> Result<Option<Lease>, LeaseError> {
        let request =
            self.client().get_item().table_name(self.name()).key(LEASE_KEY, string(shard)).consistent_read(true);
        let answer = request.send().await.map_err(|error| {
            self.unavailable(&format!("reading the lease of {shard} from"), classify("DynamoDB: GetItem", error))
        })?;
        answer.item.as_ref().map(|row| self.lease(row)).transpose()
    }

    pub(super) async fn create(&self, lease: &NewLease) -> Result<(), LeaseError> {
        let request = self
            .client()
            .put_item()
            .table_name(self.name())
            .set_item(Some(new_row(lease)))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", LEASE_KEY);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(self.unavailable(
                &format!("creating the lease of {} in", lease.shard),
                classify("DynamoDB: PutItem", error),
            )),
        }
    }

    /// A row that must be a lease.
    fn lease(&self, row: &Item) -> Result<Lease, LeaseError> {
        match read_row(row) {
            Ok(Row::Lease(lease)) => Ok(*lease),
            Ok(Row::Other(entity)) => Err(self.unusable(&format!("the row of a shard has entityType {entity}"))),
            Err(fault) => Err(self.unusable(&fault.to_string())),
        }
    }

    pub(super) fn unusable(&self, why: &str) -> LeaseError {
        LeaseError::Unusable { reason: format!("lease table `{}` cannot be used: {why}", self.name()) }
    }

    pub(super) fn unavailable(&self, doing: &str, failed: Failed) -> LeaseError {
        failed.leasing(&format!("{doing} lease table `{}` failed", self.name()))
    }
}

//! Transactions on one table: all of the writes or none, and reads of one moment. One call each, never repeated here;
//! writes carry a token, so that repeating them is safe for ten minutes.

use super::identity::{item_identity, key_identity, stored_size};
use super::items::{CapacityReport, Get, Items, OnRefusal, parts};
use super::refusal::{CONDITION_FAILED, Modelled, TRANSACTION_CONFLICT, reasoned, refused, throttling_of};
use super::{Condition, Delete, Item, Put, Spelling, Update};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    self, CancellationReason, ConditionCheck, ConsumedCapacity, ThrottlingReason, TransactGetItem, TransactWriteItem,
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt::Write as _;
use tokio::time::Instant;

/// The most items of one transaction (AWS, "Service quotas").
pub const MOST_IN_TRANSACTION: usize = 100;
/// The most bytes of the items of one transaction (AWS, "Service quotas": 4 MB).
pub const LARGEST_TRANSACTION: usize = 4 * 1024 * 1024;
/// The reason in a failure when a token was used before for another transaction.
const TOKEN_USED: &str = "IDEMPOTENCY_MISMATCH";

/// What that means; the window is ten minutes (API reference, `TransactWriteItems.ClientRequestToken`).
const TOKEN_REMARK: &str = "the idempotency key was used within the last ten minutes for another transaction, so nothing of \
    this one was written: to repeat the first one, send its items, conditions and options unchanged; for this one, use a \
    new `idempotencyKey`";

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum TransactWrite {
    /// Stores an item.
    Put(Put),
    /// Changes attributes of an item.
    Update(Update),
    /// Removes an item.
    Delete(Delete),
    /// Writes nothing, but the condition must hold.
    Check(Check),
}

/// A condition on an item that the transaction does not write.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The key.
    pub key: Item,
    /// What must hold.
    pub condition: Condition,
}

/// Writes that happen together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// The writes; at most [`MOST_IN_TRANSACTION`], no item twice.
    pub writes: Vec<TransactWrite>,
    /// `ClientRequestToken`, 1 to 36 characters: within ten minutes the service carries it out once only.
    pub token: String,
    /// Whether a failed condition gives back the item.
    pub on_refusal: OnRefusal,
}

impl TransactWrite {
    /// The item of a put, the key of the others.
    #[must_use]
    pub const fn subject(&self) -> &Item {
        match self {
            Self::Put(put) => &put.item,
            Self::Update(update) => &update.key,
            Self::Delete(delete) => &delete.key,
            Self::Check(check) => &check.key,
        }
    }

    const fn key(&self) -> Option<&Item> {
        match self {
            Self::Put(_) => None,
            Self::Update(_) | Self::Delete(_) | Self::Check(_) => Some(self.subject()),
        }
    }
}

impl Transaction {
    /// The first two writes that are for one item, by their places. Where the table's key is not known, it is taken
    /// from an update, a delete or a check; if there is none, nothing is found.
    #[must_use]
    pub fn doubles(&self, key_names: Option<&[String]>) -> Option<(usize, usize)> {
        let from_key = || self.writes.iter().find_map(TransactWrite::key).map(|key| key.keys().cloned().collect());
        let names: Vec<String> = key_names.map(<[String]>::to_vec).or_else(from_key)?;
        let mut seen = HashMap::with_capacity(self.writes.len());
        self.writes.iter().enumerate().find_map(|(place, write)| {
            let key = key_identity(write.subject(), names.iter().map(String::as_str));
            let key = key.unwrap_or_else(|| item_identity(write.subject()));
            seen.insert(key, place).map(|earlier| (earlier, place))
        })
    }

    /// How many bytes the items and keys take, by the rule of [`super::LARGEST_ITEM`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.writes.iter().map(|write| stored_size(write.subject())).sum()
    }
}

/// What a transaction of reads gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Together {
    /// For each key the item, if there is one.
    pub items: Vec<Option<Item>>,
    /// Capacity units, where they were asked for.
    pub capacity: Option<f64>,
}

impl Items {
    /// Carries out a transaction; gives the capacity units, where they were asked for. A cancelled one tells why, write
    /// by write, in the detail `reasons` (JSON; items in the given spelling, where they were asked for).
    ///
    /// # Errors
    /// As [`Items::put`].
    pub fn transact<'a>(
        &'a self,
        transaction: &'a Transaction,
        spelling: &'a Spelling,
        until: Instant,
    ) -> BoxFuture<'a, Result<Option<f64>, BindingError>> {
        Box::pin(async move {
            let request_for = |write| self.write_request(write, transaction.on_refusal);
            let requests = transaction.writes.iter().map(request_for).collect::<Result<Vec<_>, _>>();
            let requests = requests.map_err(|error| unbuilt("TransactWriteItems", error))?;
            let _place = self.place(until).await?;
            let call = self.client.transact_write_items().set_transact_items(Some(requests));
            let call = call.client_request_token(&transaction.token).set_return_consumed_capacity(self.report());
            match call.send().await {
                Ok(answer) => Ok(self.sum(answer.consumed_capacity)),
                Err(error) => {
                    let reasons = error.as_service_error().map(write_reasons).unwrap_or_default();
                    let failed = refused("DynamoDB: TransactWriteItems", &self.table, error).error;
                    Err(told(failed, &reasons, spelling))
                }
            }
        })
    }

    /// Reads items as they are at one moment.
    ///
    /// # Errors
    /// As [`Items::get`].
    pub fn transact_get<'a>(
        &'a self,
        gets: &'a [Get],
        until: Instant,
    ) -> BoxFuture<'a, Result<Together, BindingError>> {
        Box::pin(async move {
            let requests = gets.iter().map(|get| self.get_request(get)).collect::<Result<Vec<_>, _>>();
            let requests = requests.map_err(|error| unbuilt("TransactGetItems", error))?;
            let _place = self.place(until).await?;
            let call = self.client.transact_get_items().set_transact_items(Some(requests));
            match call.set_return_consumed_capacity(self.report()).send().await {
                Ok(answer) => {
                    let responses = answer.responses.unwrap_or_default();
                    let items = responses.into_iter().map(|response| response.item.filter(|item| !item.is_empty()));
                    Ok(Together { items: items.collect(), capacity: self.sum(answer.consumed_capacity) })
                }
                Err(error) => {
                    let reasons = error.as_service_error().map(get_reasons).unwrap_or_default();
                    let failed = refused("DynamoDB: TransactGetItems", &self.table, error).error;
                    Err(told(failed, &reasons, &Spelling::default()))
                }
            }
        })
    }

    fn write_request(&self, write: &TransactWrite, on_refusal: OnRefusal) -> Result<TransactWriteItem, BuildError> {
        let request = TransactWriteItem::builder();
        Ok(match write {
            TransactWrite::Put(put) => request.put(self.put_request(put, on_refusal)?),
            TransactWrite::Update(update) => request.update(self.update_request(update, on_refusal)?),
            TransactWrite::Delete(delete) => request.delete(self.delete_request(delete, on_refusal)?),
            TransactWrite::Check(check) => request.condition_check(self.check_request(check, on_refusal)?),
        }
        .build())
    }

    fn put_request(&self, put: &Put, on_refusal: OnRefusal) -> Result<types::Put, BuildError> {
        let (condition, placeholders) = parts(put.condition.clone());
        types::Put::builder()
            .table_name(&self.table)
            .set_item(Some(put.item.clone()))
            .set_condition_expression(condition)
            .set_expression_attribute_names(placeholders.names())
            .set_expression_attribute_values(placeholders.values())
            .set_return_values_on_condition_check_failure(on_refusal.word())
            .build()
    }

    fn update_request(&self, update: &Update, on_refusal: OnRefusal) -> Result<types::Update, BuildError> {
        types::Update::builder()
            .table_name(&self.table)
            .set_key(Some(update.key.clone()))
            .update_expression(&update.change)
            .set_condition_expression(update.condition.clone())
            .set_expression_attribute_names(update.placeholders.names())
            .set_expression_attribute_values(update.placeholders.values())
            .set_return_values_on_condition_check_failure(on_refusal.word())
            .build()
    }

    fn delete_request(&self, delete: &Delete, on_refusal: OnRefusal) -> Result<types::Delete, BuildError> {
        let (condition, placeholders) = parts(delete.condition.clone());
        types::Delete::builder()
            .table_name(&self.table)
            .set_key(Some(delete.key.clone()))
            .set_condition_expression(condition)
            .set_expression_attribute_names(placeholders.names())
            .set_expression_attribute_values(placeholders.values())
            .set_return_values_on_condition_check_failure(on_refusal.word())
            .build()
    }

    fn check_request(&self, check: &Check, on_refusal: OnRefusal) -> Result<ConditionCheck, BuildError> {
        let placeholders = &check.condition.placeholders;
        ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(check.key.clone()))
            .condition_expression(&check.condition.text)
            .set_expression_attribute_names(placeholders.names())
            .set_expression_attribute_values(placeholders.values())
            .set_return_values_on_condition_check_failure(on_refusal.word())
            .build()
    }

    fn get_request(&self, get: &Get) -> Result<TransactGetItem, BuildError> {
        let one = types::Get::builder()
            .table_name(&self.table)
            .set_key(Some(get.key.clone()))
            .set_projection_expression(get.projection.clone())
            .set_expression_attribute_names(get.placeholders.names())
            .build()?;
        Ok(TransactGetItem::builder().get(one).build())
    }

    /// What several tables' reports come to; here they are all for one.
    pub(super) fn sum(&self, told: Option<Vec<ConsumedCapacity>>) -> Option<f64> {
        match self.capacity {
            CapacityReport::Off => None,
            CapacityReport::Total => told.map(|told| told.iter().filter_map(ConsumedCapacity::capacity_units).sum()),
        }
    }
}

pub(super) fn unbuilt(operation: &'static str, error: BuildError) -> BindingError {
    BindingError::new(FailureKind::Caller, format!("{operation} cannot be built: {error}")).with_source(error)
}

impl Modelled for TransactWriteItemsError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

impl Modelled for TransactGetItemsError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

fn write_reasons(error: &TransactWriteItemsError) -> Vec<CancellationReason> {
    match error {
        TransactWriteItemsError::TransactionCanceledException(error) => error.cancellation_reasons().to_vec(),
        _ => Vec::new(),
    }
}

fn get_reasons(error: &TransactGetItemsError) -> Vec<CancellationReason> {
    match error {
        TransactGetItemsError::TransactionCanceledException(error) => error.cancellation_reasons().to_vec(),
        _ => Vec::new(),
    }
}

/// One entry of the detail `reasons`.
#[derive(Serialize)]
struct Told<'a> {
    index: usize,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

/// Puts the reasons of a cancellation into a failure, and what they mean together.
fn told(failed: BindingError, reasons: &[CancellationReason], spelling: &Spelling) -> BindingError {
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    let codes: Vec<String> = reasons.iter().map(code).collect();
    let is_mismatch =
        failed.details().iter().any(|(key, code)| *key == "code" && code == "IdempotentParameterMismatchException");
    let failed = if is_mismatch { failed.with_reason(TOKEN_USED).with_remark(TOKEN_REMARK) } else { failed };
    let Some((kind, reason)) = meaning(&codes) else { return failed };
    let mut text = failed.message().to_owned();
    let mut entries = Vec::new();
    for (index, cause) in reasons.iter().enumerate().filter(|(index, _)| codes[*index] != "None") {
        let written = write!(text, "; item {index}: {}", codes[index]);
        debug_assert!(written.is_ok(), "writing to a String does not fail");
        let item = cause.item().filter(|item| !item.is_empty()).and_then(|item| spelling.write(item).ok());
        entries.push(Told { index, code: &codes[index], message: cause.message(), item });
    }
    let mut error = reasoned(BindingError::new(kind, text).with_outcome(failed.outcome()), reason);
    for (key, value) in failed.details() {
        error = error.with_detail(key, value);
    }
    let entries = serde_json::to_string(&entries).unwrap_or_default();
    error.with_detail("reasons", entries).with_source(failed)
}

/// What the reasons of a cancelled transaction mean together; `None` when there are none.
///
/// It is worth repeating only if nothing but throttles and other transactions stood in the way.
fn meaning(codes: &[String]) -> Option<(FailureKind, &'static str)> {
    let any = |code: &str| codes.iter().any(|given| given == code);
    let may_pass = ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    let mut lasting = codes.iter().filter(|code| !may_pass.contains(&code.as_str()));
    let first = lasting.next();
    Some(match first {
        None if any("ThrottlingError") || any("ProvisionedThroughputExceeded") => (FailureKind::Throttled, "THROTTLED"),
        None if any("TransactionConflict") => (FailureKind::Conflict, TRANSACTION_CONFLICT),
        None => return None,
        Some(_) if any("ValidationError") => (FailureKind::Caller, "VALIDATION"),
        Some(_) if any("AccessDenied") => (FailureKind::Denied, "ACCESS_DENIED"),
        Some(_) if any("ItemCollectionSizeLimitExceeded") => (FailureKind::TooLarge, "TOO_LARGE"),
        Some(_) if any("ConditionalCheckFailed") => (FailureKind::Conflict, CONDITION_FAILED),
        Some(_) if any("DuplicateItem") => (FailureKind::Conflict, "DUPLICATE_ITEM"),
        Some(_) => (FailureKind::Permanent, "UPSTREAM"),
    })
}

#[cfg(test)]
#[path = "tests/transactions.rs"]
mod tests;

//! The number of items in a transaction, and why a transaction was cancelled.

use super::super::codec::ItemCodec;
use super::super::failure::{
    CONDITION_FAILED, CallFailure, TRANSACTION_CONFLICT, invalid_request, too_large, with_reason,
};
use crate::domain::{BindingError, FailureKind};
use serde::Serialize;
use serde_json::value::RawValue;

/// Items of one transaction (AWS, "Service quotas").
const MAX_ITEMS: usize = 100;
/// The reason in a failure when a token was used before for another transaction.
const TOKEN_REUSED: &str = "IDEMPOTENCY_MISMATCH";
/// The window is ten minutes (API reference, `TransactWriteItems.ClientRequestToken`).
const TOKEN_REMARK: &str = "the idempotency key was used within the last ten minutes for another transaction, so nothing of \
    this one was written: to repeat the first one, send its items, conditions and options unchanged; for this one, use a \
    new `idempotencyKey`";

pub(super) fn check_count(count: usize) -> Result<(), BindingError> {
    match count {
        0 => Err(invalid_request("`items` is empty: there is nothing to do")),
        1..=MAX_ITEMS => Ok(()),
        _ => {
            let text = format!("`items` has {count} elements, DynamoDB takes {MAX_ITEMS} in one transaction");
            Err(too_large(text, count, MAX_ITEMS))
        }
    }
}

/// One entry of the detail `reasons`.
#[derive(Serialize)]
struct Reason<'a> {
    index: usize,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

/// The error of a failed transaction; a cancelled one has the reason of each item in the detail `reasons` (JSON).
pub(super) fn with_cancellation_reasons(failure: CallFailure, codec: &ItemCodec) -> BindingError {
    let CallFailure { error, cancellation_reasons, .. } = failure;
    let has_code = |(key, code): &(_, String)| *key == "code" && code == "IdempotentParameterMismatchException";
    let is_mismatch = error.details().iter().any(has_code);
    let error = if is_mismatch { error.with_reason(TOKEN_REUSED).with_remark(TOKEN_REMARK) } else { error };
    let codes: Vec<&str> = cancellation_reasons.iter().map(|reason| reason.code().unwrap_or("None")).collect();
    let Some((kind, meaning)) = meaning(&codes) else { return error };
    let mut text = error.message().to_owned();
    let mut reasons = Vec::new();
    for (index, reason) in cancellation_reasons.iter().enumerate().filter(|(index, _)| codes[*index] != "None") {
        text.push_str(&format!("; item {index}: {}", codes[index]));
        let item = reason.item().filter(|item| !item.is_empty()).and_then(|item| codec.write(item).ok());
        reasons.push(Reason { index, code: codes[index], message: reason.message(), item });
    }
    let cancelled = with_reason(BindingError::new(kind, text).with_outcome(error.outcome()), meaning);
    let details = error.details().iter();
    let cancelled = details.fold(cancelled, |cancelled, (key, value)| cancelled.with_detail(key, value));
    let reasons = serde_json::to_string(&reasons).unwrap_or_default();
    cancelled.with_detail("reasons", reasons).with_source(error)
}

/// What the reasons of a cancelled transaction mean together; `None` when there are none. Repeating it helps only if all
/// of them are throttling and conflicts with other transactions.
fn meaning(codes: &[&str]) -> Option<(FailureKind, &'static str)> {
    let any = |code: &str| codes.contains(&code);
    let temporary = ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    if codes.iter().all(|code| temporary.contains(code)) {
        return if any("ThrottlingError") || any("ProvisionedThroughputExceeded") {
            Some((FailureKind::Throttled, "THROTTLED"))
        } else {
            any("TransactionConflict").then_some((FailureKind::Conflict, TRANSACTION_CONFLICT))
        };
    }
    // The one that the caller should correct first.
    let by_priority = [
        ("ValidationError", FailureKind::Caller, "VALIDATION"),
        ("AccessDenied", FailureKind::Denied, "ACCESS_DENIED"),
        ("ItemCollectionSizeLimitExceeded", FailureKind::TooLarge, "TOO_LARGE"),
        ("ConditionalCheckFailed", FailureKind::Conflict, CONDITION_FAILED),
        ("DuplicateItem", FailureKind::Conflict, "DUPLICATE_ITEM"),
    ];
    let found = by_priority.into_iter().find(|(code, _, _)| any(code));
    Some(found.map_or((FailureKind::Permanent, "UPSTREAM"), |(_, kind, reason)| (kind, reason)))
}

#[cfg(test)]
#[path = "tests/cancellation.rs"]
mod tests;

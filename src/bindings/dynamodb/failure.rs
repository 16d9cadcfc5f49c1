//! Errors of requests that are refused and of calls that failed, with the details of DynamoDB's modelled errors.

use crate::aws::{Item, classify};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemError;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::execute_statement::ExecuteStatementError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::scan::ScanError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{CancellationReason, ThrottlingReason};
use std::error::Error;

/// The reason in a failure when a condition did not hold.
pub(super) const CONDITION_FAILED: &str = "CONDITION_FAILED";
/// The reason in a failure when another transaction on the item was in progress.
pub(super) const TRANSACTION_CONFLICT: &str = "TRANSACTION_CONFLICT";

/// A call that failed, with the details that some operations show or decide by.
#[derive(Debug)]
pub(super) struct CallFailure {
    pub(super) error: BindingError,
    /// The stored item, when a condition on it failed and the call requested it.
    pub(super) item: Option<Box<Item>>,
    /// One for each item of a cancelled transaction.
    pub(super) cancellation_reasons: Vec<CancellationReason>,
}

impl From<CallFailure> for BindingError {
    fn from(failure: CallFailure) -> Self {
        failure.error
    }
}

/// For failures before the call was sent.
impl From<BindingError> for CallFailure {
    fn from(error: BindingError) -> Self {
        Self { error, item: None, cancellation_reasons: Vec::new() }
    }
}

impl CallFailure {
    /// Kind and outcome as for all AWS calls, with the table, why the call was throttled, and the details.
    pub(super) fn new<E>(operation: &'static str, table: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ErrorDetails + Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let details = error.as_service_error();
        let throttling = details.map(|error| throttling_text(error.throttling_reasons())).unwrap_or_default();
        let item = details.and_then(ErrorDetails::stored_item).filter(|item| !item.is_empty()).cloned().map(Box::new);
        let cancellation_reasons = details.map(ErrorDetails::cancellation_reasons).unwrap_or_default().to_vec();
        let mut failed = classify(operation, error);
        // DynamoDB's own text does not name the table.
        failed.text.push_str(&format!(" (table `{table}`)"));
        let reason = match failed.code.as_deref() {
            Some("ConditionalCheckFailedException") => Some(CONDITION_FAILED),
            Some("TransactionConflictException") if failed.kind == FailureKind::Conflict => Some(TRANSACTION_CONFLICT),
            Some(_) | None => None,
        };
        let mut error = reason.into_iter().fold(BindingError::from(failed), with_reason);
        if !throttling.is_empty() {
            error = error.with_detail("throttlingReasons", throttling);
        }
        Self { error, item, cancellation_reasons }
    }
}

/// Gives a failure its reason. A conflict with another transaction ends soon, so the call may be repeated.
pub(super) fn with_reason(error: BindingError, reason: &'static str) -> BindingError {
    let error = error.with_reason(reason);
    if reason == TRANSACTION_CONFLICT { error.temporary() } else { error }
}

/// `reason (resource)` of each, in DynamoDB's words.
fn throttling_text(reasons: &[ThrottlingReason]) -> String {
    let text = |reason: &ThrottlingReason| {
        let name = reason.reason().unwrap_or("unknown");
        reason.resource().map_or_else(|| name.to_owned(), |resource| format!("{name} ({resource})"))
    };
    reasons.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// An invalid request: repeating it unchanged cannot help.
pub(super) fn invalid_request(message: impl Into<String>) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

pub(super) fn too_large(message: impl Into<String>, size: usize, limit: usize) -> BindingError {
    BindingError::new(FailureKind::TooLarge, message)
        .with_detail("size", size.to_string())
        .with_detail("limit", limit.to_string())
}

/// Adds which element of an array a failure belongs to.
pub(super) fn in_element(member: &str, index: usize, error: &BindingError) -> BindingError {
    let located = BindingError::new(error.kind(), format!("in `{member}[{index}]`: {}", error.message()));
    let located = match error.reason() {
        Some(reason) => located.with_reason(reason),
        None => located,
    };
    error.details().iter().fold(located, |located, (key, value)| located.with_detail(key, value))
}

/// The SDK could not build a part of a call.
pub(super) fn build_failed(error: BuildError) -> BindingError {
    invalid_request(format!("the call cannot be built: {error}")).with_source(error)
}

/// The details of an operation's modelled error.
pub(super) trait ErrorDetails {
    fn throttling_reasons(&self) -> &[ThrottlingReason];

    /// The item on which a condition failed.
    fn stored_item(&self) -> Option<&Item> {
        None
    }

    fn cancellation_reasons(&self) -> &[CancellationReason] {
        &[]
    }
}

macro_rules! stored_item {
    () => {
        fn stored_item(&self) -> Option<&Item> {
            match self {
                Self::ConditionalCheckFailedException(error) => error.item(),
                _ => None,
            }
        }
    };
}

macro_rules! cancellation_reasons {
    () => {
        fn cancellation_reasons(&self) -> &[CancellationReason] {
            match self {
                Self::TransactionCanceledException(error) => error.cancellation_reasons(),
                _ => &[],
            }
        }
    };
}

/// Each operation has its own error type; their variants share names, but no trait.
macro_rules! impl_error_details {
    ($($error:ident $(: $detail:ident)?),* $(,)?) => {
        $(impl ErrorDetails for $error {
            fn throttling_reasons(&self) -> &[ThrottlingReason] {
                match self {
                    Self::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
                    Self::RequestLimitExceeded(error) => error.throttling_reasons(),
                    Self::ThrottlingException(error) => error.throttling_reasons(),
                    _ => &[],
                }
            }

            $($detail!();)?
        })*
    };
}

impl_error_details!(
    GetItemError,
    QueryError,
    ScanError,
    BatchGetItemError,
    BatchWriteItemError,
    PutItemError: stored_item,
    UpdateItemError: stored_item,
    DeleteItemError: stored_item,
    ExecuteStatementError: stored_item,
    TransactWriteItemsError: cancellation_reasons,
    TransactGetItemsError: cancellation_reasons,
);

//! Why DynamoDB refused: what its modelled errors tell beside a code.

use super::Item;
use crate::aws::{ErrorResponse, classify};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::scan::ScanError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ThrottlingReason;
use std::error::Error;

/// The reason in a failure when a condition did not hold.
pub const CONDITION_FAILED: &str = "CONDITION_FAILED";

/// The reason in a failure that met another transaction on the item, open at that moment.
pub(super) const TRANSACTION_CONFLICT: &str = "TRANSACTION_CONFLICT";

/// A write that DynamoDB refused, or that failed on its way.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// The failure, for the caller.
    pub error: BindingError,
    /// The stored item, when a condition on it failed and it was asked for.
    pub item: Option<Item>,
}

impl From<Refused> for BindingError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// What went wrong before the service was asked.
impl From<BindingError> for Refused {
    fn from(error: BindingError) -> Self {
        Self { error, item: None }
    }
}

/// What the modelled error of an operation tells.
pub(super) trait Modelled {
    /// Why it was throttled.
    fn throttling(&self) -> &[ThrottlingReason];

    /// The item on which a condition failed.
    fn old_item(&self) -> Option<&Item> {
        None
    }
}

/// The body of [`Modelled::throttling`]: the variants have the same names in every operation's error.
macro_rules! throttling_of {
    ($error:expr) => {
        match $error {
            Self::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
            Self::RequestLimitExceeded(error) => error.throttling_reasons(),
            Self::ThrottlingException(error) => error.throttling_reasons(),
            _ => &[],
        }
    };
}
pub(super) use throttling_of;

/// Implements [`Modelled`] for writes of one item.
macro_rules! conditional {
    ($($error:ty),*) => {
        $(impl Modelled for $error {
            fn throttling(&self) -> &[ThrottlingReason] {
                throttling_of!(self)
            }

            fn old_item(&self) -> Option<&Item> {
                match self {
                    Self::ConditionalCheckFailedException(error) => error.item().filter(|item| !item.is_empty()),
                    _ => None,
                }
            }
        })*
    };
}

conditional!(PutItemError, UpdateItemError, DeleteItemError);

impl Modelled for GetItemError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

impl Modelled for QueryError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

impl Modelled for ScanError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

/// Says what a failed call means: kind and outcome as everywhere, the table, why it was throttled, the reason of a
/// conflict, and the item on which a condition failed.
pub(super) fn refused<E, R>(operation: &'static str, table: &str, error: SdkError<E, R>) -> Refused
where
    E: Modelled + Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: ErrorResponse + Send + Sync + 'static,
{
    let modelled = error.as_service_error();
    let reasons = modelled.map(|error| reasons_text(error.throttling())).unwrap_or_default();
    let item = modelled.and_then(Modelled::old_item).cloned();
    let mut failed = classify(operation, error);
    // The service's own text does not name the table.
    failed.text.push_str(&format!(" (table `{table}`)"));
    let code = failed.code.clone().unwrap_or_default();
    let mut error = BindingError::from(failed);
    if let Some(reason) = narrower(&code, error.kind()) {
        error = reasoned(error, reason);
    }
    if !reasons.is_empty() {
        error = error.with_detail("throttlingReasons", reasons);
    }
    Refused { error, item }
}

/// Gives a failure its reason. Other transactions are over soon, so the same may be tried again.
pub(super) fn reasoned(error: BindingError, reason: &'static str) -> BindingError {
    let error = error.with_reason(reason);
    if reason == TRANSACTION_CONFLICT { error.passing_soon() } else { error }
}

/// The reason that a code gives, where it says more than the kind.
fn narrower(code: &str, kind: FailureKind) -> Option<&'static str> {
    match code {
        "ConditionalCheckFailedException" => Some(CONDITION_FAILED),
        "TransactionConflictException" if kind == FailureKind::Conflict => Some(TRANSACTION_CONFLICT),
        _ => None,
    }
}

/// `reason (resource)` of each, as DynamoDB words them.
fn reasons_text(reasons: &[ThrottlingReason]) -> String {
    let one = |reason: &ThrottlingReason| {
        let word = reason.reason().unwrap_or("unknown");
        reason.resource().map_or_else(|| word.to_owned(), |resource| format!("{word} ({resource})"))
    };
    reasons.iter().map(one).collect::<Vec<_>>().join(", ")
}

//! What every operation reads of its request's metadata.

use super::super::retry::{Call, time_allowed};
use super::codec::{ItemCodec, ItemFormat, NumberForm};
use super::expression::Condition;
use super::failure::{CallFailure, invalid_request};
use super::options::Options;
use super::request_data::{RawPlaceholders, parse_condition};
use super::response::not_serializable;
use crate::aws::Item;
use crate::domain::{BindingError, InvokeRequest, Metadata};
use crate::resilience::Idempotency;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// The metadata that requests may have, each for some of the operations.
pub(super) const METADATA_KEYS: &[&str] = &[
    "timeout",
    "itemFormat",
    "numbersAsStrings",
    "consistentRead",
    "conditionExpression",
    "expressionAttributeNames",
    "expressionAttributeValues",
    "returnValues",
    "returnValuesOnConditionCheckFailure",
    "ttlInSeconds",
    "etag",
    "concurrency",
    "retryAmbiguous",
    "idempotencyKey",
];

/// A request, ready for an operation.
#[derive(Debug)]
pub(super) struct Request {
    /// The exact text of `data`.
    pub(super) data: Bytes,
    pub(super) metadata: Metadata,
    /// The component's, with what the request overrides.
    pub(super) codec: ItemCodec,
    /// When the caller must have a response.
    pub(super) deadline: Instant,
}

impl Request {
    /// Reads `timeout`, `itemFormat` and `numbersAsStrings`.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub(super) fn read(request: InvokeRequest, options: &Options) -> Result<Self, BindingError> {
        let InvokeRequest { data, metadata, .. } = request;
        let retry = &options.retry;
        let time = time_allowed(metadata.get("timeout"), retry.request_timeout, retry.max_request_timeout)?;
        let codec = read_codec(&metadata, &options.codec)?;
        Ok(Self { data, metadata, codec, deadline: Instant::now() + time })
    }

    /// A read for this request; [`Call::writing`] makes it a write.
    pub(super) const fn call(&self, operation: &'static str, idempotency: Idempotency) -> Call {
        Call { operation, deadline: self.deadline, idempotency, writes: 0 }
    }

    /// `conditionExpression` with `expressionAttributeNames` and `expressionAttributeValues`, which are JSON texts.
    ///
    /// # Errors
    /// When they are not, or there are placeholders without a condition.
    pub(super) fn condition(&self) -> Result<Option<Condition>, BindingError> {
        let json = |key: &str| {
            let parse = |text| serde_json::from_str::<&RawValue>(text);
            let invalid = |_| invalid_request(format!("the request metadata `{key}` must be a JSON object, as text"));
            self.metadata.get(key).map(parse).transpose().map_err(invalid)
        };
        let (names, values) = (json("expressionAttributeNames")?, json("expressionAttributeValues")?);
        let text = self.metadata.get("conditionExpression").map(str::to_owned);
        parse_condition(&self.codec, text, RawPlaceholders { names, values })
    }

    /// `retryAmbiguous`, else the component's.
    pub(super) fn repeat_ambiguous(&self, component: Idempotency) -> Idempotency {
        match self.metadata.get("retryAmbiguous") {
            None => component,
            Some(_) if self.metadata.is_true("retryAmbiguous") => Idempotency::Idempotent,
            Some(_) => Idempotency::NotIdempotent,
        }
    }

    /// `consistentRead` of `data`, else of the metadata, else of the component.
    pub(super) fn consistent_read(&self, in_data: Option<bool>, component: bool) -> bool {
        let in_metadata = self.metadata.get("consistentRead").map(|_| self.metadata.is_true("consistentRead"));
        in_data.or(in_metadata).unwrap_or(component)
    }

    /// An item as JSON.
    ///
    /// # Errors
    /// When the item holds a type that the SDK does not know.
    pub(super) fn item_json(&self, item: &Item) -> Result<Box<RawValue>, BindingError> {
        self.codec.write(item).map_err(not_serializable)
    }

    /// `returnValues`, one of those that the operation supports.
    pub(super) fn return_values(&self, supported: &[ReturnValue]) -> Result<ReturnValue, BindingError> {
        let Some(given) = self.metadata.get("returnValues") else { return Ok(ReturnValue::None) };
        let found = supported.iter().find(|value| value.as_str().eq_ignore_ascii_case(given));
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = supported.iter().map(ReturnValue::as_str).collect();
            invalid_request(format!("the request metadata `returnValues` must be one of {}", names.join(", ")))
        })
    }

    /// `returnValuesOnConditionCheckFailure`: `AllOld` if the caller requests the item on which a condition failed.
    ///
    /// # Errors
    /// When it is neither `ALL_OLD` nor `NONE`.
    pub(super) fn on_condition_failure(&self) -> Result<Option<ReturnValuesOnConditionCheckFailure>, BindingError> {
        match self.metadata.get("returnValuesOnConditionCheckFailure") {
            None => Ok(None),
            Some(given) if given.eq_ignore_ascii_case("NONE") => Ok(None),
            Some(given) if given.eq_ignore_ascii_case("ALL_OLD") => {
                Ok(Some(ReturnValuesOnConditionCheckFailure::AllOld))
            }
            Some(_) => {
                let text = "the request metadata `returnValuesOnConditionCheckFailure` must be ALL_OLD or NONE";
                Err(invalid_request(text))
            }
        }
    }

    /// The error of a failed call, with the stored item if the caller requests it.
    pub(super) fn call_error(
        &self,
        failure: CallFailure,
        requested: Option<&ReturnValuesOnConditionCheckFailure>,
    ) -> BindingError {
        let item = failure.item.filter(|_| requested.is_some()).and_then(|item| self.codec.write(&item).ok());
        item.into_iter().fold(failure.error, |error, item| error.with_detail("item", item.get()))
    }
}

fn read_codec(metadata: &Metadata, component: &ItemCodec) -> Result<ItemCodec, BindingError> {
    let format = match metadata.get("itemFormat") {
        None => component.format,
        Some("json") => ItemFormat::Plain,
        Some("dynamodb-json") => ItemFormat::Tagged,
        Some(_) => return Err(invalid_request("the request metadata `itemFormat` must be `json` or `dynamodb-json`")),
    };
    let numbers = match metadata.get("numbersAsStrings") {
        None => component.numbers,
        Some(_) if metadata.is_true("numbersAsStrings") => NumberForm::Text,
        Some(_) => NumberForm::Number,
    };
    Ok(ItemCodec { format, numbers, types: component.types.clone() })
}

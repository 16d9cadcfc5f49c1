//! What every operation reads of its request beside `data`.

use super::super::retry::{Call, time_allowed};
use super::calls::{Condition, Consistency, Item, ItemFormat, NumberForm, OnRefusal, Returned, Spelling};
use super::options::Options;
use super::shapes::{Behind, read_condition, refused};
use crate::domain::{BindingError, FailureKind, InvokeRequest, Metadata};
use crate::resilience::Idempotency;
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// The metadata that requests may carry, each for some of the operations.
pub(super) const KEYS: &[&str] = &[
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
    /// The request's metadata.
    pub(super) metadata: Metadata,
    /// The component's spelling with what the request overrides.
    pub(super) spelling: Spelling,
    /// When the caller must have an answer.
    pub(super) deadline: Instant,
}

impl Request {
    /// Reads `timeout`, `itemFormat` and `numbersAsStrings`.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub(super) fn read(request: InvokeRequest, options: &Options) -> Result<Self, BindingError> {
        let InvokeRequest { data, metadata, .. } = request;
        let trying = &options.trying;
        let time = time_allowed(metadata.get("timeout"), trying.request_timeout, trying.max_request_timeout)?;
        let spelling = spelling(&metadata, &options.spelling)?;
        Ok(Self { data, metadata, spelling, deadline: Instant::now() + time })
    }

    /// A call to be tried for this request; one that reads, unless it is told otherwise.
    pub(super) const fn call(&self, operation: &'static str, repeat: Idempotency) -> Call {
        Call { operation, deadline: self.deadline, idempotency: repeat, writes: 0 }
    }

    /// `conditionExpression` with `expressionAttributeNames` and `expressionAttributeValues`, which are JSON texts.
    ///
    /// # Errors
    /// When they are not, or have no condition to stand behind.
    pub(super) fn condition(&self) -> Result<Option<Condition>, BindingError> {
        let json = |key: &str| {
            let parse = |text| serde_json::from_str::<&RawValue>(text);
            let refusal = |_| refused(format!("the request metadata `{key}` must be a JSON object, as text"));
            self.metadata.get(key).map(parse).transpose().map_err(refusal)
        };
        let behind = Behind { names: json("expressionAttributeNames")?, values: json("expressionAttributeValues")? };
        read_condition(&self.spelling, self.metadata.get("conditionExpression").map(str::to_owned), behind)
    }

    /// `retryAmbiguous`, else what the component says.
    pub(super) fn repeat_ambiguous(&self, component: Idempotency) -> Idempotency {
        match self.metadata.get("retryAmbiguous") {
            None => component,
            Some(_) if self.metadata.is_true("retryAmbiguous") => Idempotency::Idempotent,
            Some(_) => Idempotency::NotIdempotent,
        }
    }

    /// `consistentRead` of `data`, else of the metadata, else of the component.
    pub(super) fn consistency(&self, in_data: Option<bool>, component: Consistency) -> Consistency {
        let in_metadata = self.metadata.get("consistentRead").map(|_| self.metadata.is_true("consistentRead"));
        match in_data.or(in_metadata) {
            None => component,
            Some(true) => Consistency::Strong,
            Some(false) => Consistency::Eventual,
        }
    }

    /// An item as the answer spells it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(super) fn written(&self, item: &Item) -> Result<Box<RawValue>, BindingError> {
        self.spelling.write(item).map_err(unwritable)
    }

    /// `returnValues`, one of the words that the operation knows.
    ///
    /// # Errors
    /// When it is another.
    pub(super) fn returned(&self, known: &[(&str, Returned)]) -> Result<Returned, BindingError> {
        let Some(word) = self.metadata.get("returnValues") else { return Ok(Returned::Nothing) };
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, returned)| *returned).ok_or_else(|| {
            let words: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            refused(format!("the request metadata `returnValues` must be one of {}", words.join(", ")))
        })
    }

    /// `returnValuesOnConditionCheckFailure`: whether the caller wants the item on which a condition failed.
    ///
    /// # Errors
    /// When it is neither `ALL_OLD` nor `NONE`.
    pub(super) fn on_refusal(&self) -> Result<OnRefusal, BindingError> {
        match self.metadata.get("returnValuesOnConditionCheckFailure") {
            None => Ok(OnRefusal::Nothing),
            Some(word) if word.eq_ignore_ascii_case("NONE") => Ok(OnRefusal::Nothing),
            Some(word) if word.eq_ignore_ascii_case("ALL_OLD") => Ok(OnRefusal::Item),
            Some(_) => {
                let text = "the request metadata `returnValuesOnConditionCheckFailure` must be ALL_OLD or NONE";
                Err(refused(text))
            }
        }
    }
}

/// What DynamoDB gave cannot be told in JSON.
pub(super) fn unwritable(error: serde_json::Error) -> BindingError {
    BindingError::new(FailureKind::Permanent, "the answer cannot be written as JSON").with_source(error)
}

fn spelling(metadata: &Metadata, component: &Spelling) -> Result<Spelling, BindingError> {
    let format = match metadata.get("itemFormat") {
        None => component.format,
        Some("json") => ItemFormat::Plain,
        Some("dynamodb-json") => ItemFormat::Tagged,
        Some(_) => return Err(refused("the request metadata `itemFormat` must be `json` or `dynamodb-json`")),
    };
    let numbers = match metadata.get("numbersAsStrings") {
        None => component.numbers,
        Some(_) if metadata.is_true("numbersAsStrings") => NumberForm::Text,
        Some(_) => NumberForm::Bare,
    };
    Ok(Spelling { format, numbers, types: component.types.clone() })
}

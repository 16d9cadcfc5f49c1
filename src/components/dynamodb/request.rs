//! What every operation reads of its request beside `data`.

use super::super::attempts::{Call, time_allowed};
use super::options::Options;
use super::shapes::refused;
use crate::aws::dynamodb::{ItemFormat, NumberForm, OnRefusal, Returned, Spelling};
use crate::domain::{BindingError, InvokeRequest, Metadata};
use crate::resilience::Repeat;
use bytes::Bytes;
use tokio::time::Instant;

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
        let time = time_allowed(metadata.get("timeout"), options.request_timeout, options.max_request_timeout)?;
        let spelling = spelling(&metadata, &options.spelling)?;
        Ok(Self { data, metadata, spelling, deadline: Instant::now() + time })
    }

    /// A call to be tried for this request.
    pub(super) const fn call(&self, operation: &'static str, repeat: Repeat) -> Call {
        Call { operation, deadline: self.deadline, repeat }
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

//! What becomes of one record.

use super::expression::{Expression, ExpressionError};
use crate::event_pattern::{Fields, Filter};
use crate::telemetry::ShapingResult;
use bytes::Bytes;

/// `filter` and `transform` of a component.
#[derive(Debug, Clone)]
pub struct Shaping {
    pub(super) filter: Option<Filter>,
    pub(super) transform: Option<Transform>,
}

#[derive(Debug, Clone)]
pub(super) struct Transform {
    pub(super) program: Expression,
    pub(super) on_error: OnError,
}

/// `transformOnError`: what happens to a record on which the transform failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The record fails.
    #[default]
    Fail,
    /// The record goes on as it was.
    Passthrough,
    /// The record is left out and counted.
    DropCounted,
    /// The record goes to the dead letter target as it was.
    DeadLetter,
}

impl OnError {
    pub(super) const WORDS: [(&str, Self); 4] = [
        ("fail", Self::Fail),
        ("passthrough", Self::Passthrough),
        ("drop-counted", Self::DropCounted),
        ("dead-letter", Self::DeadLetter),
    ];

    /// What becomes of a record on which the transform failed.
    const fn shaped(self, error: ExpressionError) -> Shaped {
        match self {
            Self::Fail => Shaped::Failed(error),
            Self::Passthrough => Shaped::PassedThrough(error),
            Self::DropCounted => Shaped::Dropped(error),
            Self::DeadLetter => Shaped::DeadLetter(error),
        }
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shaped {
    /// The filter matches, and there is no transform.
    Unchanged,
    /// The outputs of the transform, at least one. Each is one record.
    Records(Vec<Bytes>),
    /// The filter does not match, or the transform has no output.
    Filtered,
    /// The transform failed, and the record goes on as it was (`passthrough`).
    PassedThrough(ExpressionError),
    /// The transform failed, and the record is left out (`drop-counted`).
    Dropped(ExpressionError),
    /// The transform failed, and so does the record (`fail`).
    Failed(ExpressionError),
    /// The transform failed, and the record as it was is a dead letter (`dead-letter`).
    DeadLetter(ExpressionError),
    /// The transform ran out of time, so that another attempt may succeed, whatever `transformOnError` says.
    OutOfTime(ExpressionError),
}

impl Shaping {
    /// Filters and transforms one record. `metadata` is the object `$metadata` of the transform; it is read only if the
    /// transform names it.
    #[must_use]
    pub fn apply<K: AsRef<str>, V: AsRef<str>>(
        &self,
        record: &impl Fields,
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Shaped {
        if self.matches(record) { self.transform(record.data(), metadata) } else { Shaped::Filtered }
    }

    /// Whether the filter lets a record pass; without one all pass.
    #[must_use]
    pub fn matches(&self, record: &impl Fields) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(record))
    }

    /// Transforms the data of one record, as [`Self::apply`] does with those that pass.
    #[must_use]
    pub fn transform<K: AsRef<str>, V: AsRef<str>>(
        &self,
        data: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Shaped {
        let Some(Transform { program, on_error }) = &self.transform else { return Shaped::Unchanged };
        match program.outputs(data, metadata) {
            Ok(outputs) if outputs.is_empty() => Shaped::Filtered,
            Ok(outputs) => Shaped::Records(outputs),
            Err(error) if error.is_passing() => Shaped::OutOfTime(error),
            Err(error) => on_error.shaped(error),
        }
    }

    /// The same where a record may become one other only: several outputs are a failure of the transform.
    #[must_use]
    pub fn one_item(&self, shaped: Shaped) -> Shaped {
        match (shaped, self.on_error()) {
            (Shaped::Records(outputs), Some(on_error)) if outputs.len() > 1 => {
                on_error.shaped(ExpressionError::of_items(outputs.len()))
            }
            (shaped, _) => shaped,
        }
    }

    /// `transformOnError`; `None` without a transform.
    #[must_use]
    pub fn on_error(&self) -> Option<OnError> {
        self.transform.as_ref().map(|transform| transform.on_error)
    }

    /// Whether records are filtered.
    #[must_use]
    pub const fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether the filter names this field of a record beside `data`.
    #[must_use]
    pub fn filter_names(&self, field: &str) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.names(field))
    }

    /// Whether a record may become several, or another one.
    #[must_use]
    pub const fn has_transform(&self) -> bool {
        self.transform.is_some()
    }
}

impl Shaped {
    /// How the record is counted; `None` if nothing happened to it.
    #[must_use]
    pub const fn counted(&self) -> Option<ShapingResult> {
        match self {
            Self::Unchanged => None,
            Self::Records(_) => Some(ShapingResult::Transformed),
            Self::Filtered => Some(ShapingResult::Filtered),
            Self::PassedThrough(_) => Some(ShapingResult::PassedThrough),
            Self::Dropped(_) => Some(ShapingResult::Dropped),
            Self::Failed(_) | Self::OutOfTime(_) => Some(ShapingResult::Failed),
            Self::DeadLetter(_) => Some(ShapingResult::DeadLetter),
        }
    }
}

#[cfg(test)]
impl Shaping {
    /// As a file with these fields on an input has it.
    pub(in crate::bindings) fn of_input(filter: Option<&str>, transform: Option<&str>, on_error: OnError) -> Self {
        let fields = ["partitionKey", "sequenceNumber", "approximateArrivalTimestamp"];
        let program = transform.map(|text| Expression::compile(text).unwrap());
        Self {
            filter: filter.map(|text| Filter::compile(text, &fields).unwrap()),
            transform: program.map(|program| Transform { program, on_error }),
        }
    }

    /// A transform that runs out of time with every record.
    pub(in crate::bindings) fn out_of_time(on_error: OnError) -> Self {
        let program = Expression::without_time("[range(5000)] | length");
        Self { filter: None, transform: Some(Transform { program, on_error }) }
    }
}

#[cfg(test)]
#[path = "tests/record.rs"]
mod tests;

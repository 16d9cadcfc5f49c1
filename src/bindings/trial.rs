//! What a component does with one record, without writing or delivering it, as `bindd try` shows it.

use super::shaping::{ExpressionError, Shaped};
use crate::domain::{BindingError, Metadata};
use bytes::Bytes;

/// A side of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialSide {
    Output,
    Input,
}

/// A record as it would come: from a caller to an output, or from the stream to an input.
#[derive(Debug, Clone, Default)]
pub struct TrialInput {
    pub data: Bytes,
    /// At an output: the data are the body of the request, which may be any bytes.
    pub is_raw: bool,
    /// At an output: the metadata of the request.
    pub metadata: Metadata,
    /// At an input: the partition key of the record.
    pub partition_key: Option<String>,
    /// At an input: the sequence number of the record.
    pub sequence_number: Option<String>,
    /// At an input: when the record arrived in the stream, in seconds since 1970.
    pub arrival: Option<f64>,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub outcome: TrialOutcome,
    /// What would be written or delivered.
    pub records: Vec<TrialRecord>,
    /// Why the record is not as the fields say.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialOutcome {
    /// It is written or delivered.
    Record,
    /// The filter does not match, or the transform has no output.
    Filtered,
    /// The transform failed, and the record goes on as it was.
    PassedThrough,
    /// The transform failed, and the record is left out.
    Dropped,
    /// The transform failed, and the record is a dead letter.
    DeadLetter,
    /// The record fails.
    Failed,
}

impl TrialOutcome {
    /// As in the metric of shaped records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Filtered => "filtered",
            Self::PassedThrough => "passed_through",
            Self::Dropped => "dropped",
            Self::DeadLetter => "dead_letter",
            Self::Failed => "failed",
        }
    }
}

/// One record that would be written or delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialRecord {
    /// The partition key, if there is one.
    pub key: Option<Key>,
    /// The number that chooses the shard: the explicit hash key, else the MD5 of the partition key.
    pub hash_key: Option<u128>,
    /// Before compression.
    pub data: Bytes,
}

/// A partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Chosen(String),
    /// Another one for each record.
    Random,
}

impl Trial {
    /// A record that fails.
    #[must_use]
    pub fn failed(error: &BindingError) -> Self {
        Self::without_record(TrialOutcome::Failed, Some(error.message().to_owned()))
    }

    #[must_use]
    pub const fn without_record(outcome: TrialOutcome, error: Option<String>) -> Self {
        Self { outcome, records: Vec::new(), error }
    }

    /// What a filter and a transform made of data, without keys.
    pub(super) fn of_shaped(shaped: Shaped, data: &Bytes) -> Self {
        let reason = |error: ExpressionError| Some(error.of_field("transform").message().to_owned());
        let with = |outcome, outputs: Vec<Bytes>, error| {
            let records = outputs.into_iter().map(|data| TrialRecord { key: None, hash_key: None, data }).collect();
            Self { outcome, records, error }
        };
        match shaped {
            Shaped::Unchanged => with(TrialOutcome::Record, vec![data.clone()], None),
            Shaped::Records(outputs) => with(TrialOutcome::Record, outputs, None),
            Shaped::PassedThrough(error) => with(TrialOutcome::PassedThrough, vec![data.clone()], reason(error)),
            Shaped::Filtered => Self::without_record(TrialOutcome::Filtered, None),
            Shaped::Dropped(error) => Self::without_record(TrialOutcome::Dropped, reason(error)),
            Shaped::DeadLetter(error) => Self::without_record(TrialOutcome::DeadLetter, reason(error)),
            Shaped::Failed(error) | Shaped::OutOfTime(error) => {
                Self::without_record(TrialOutcome::Failed, reason(error))
            }
        }
    }
}

//! What a component does with one record, without writing or delivering it, as `bindd try` shows it.

use super::shaping::{ExpressionError, Shaped};
use crate::domain::{BindingError, DataForm, EventOrigin, FailureKind, Metadata, RecordPosition, ShardId, Timestamp};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::time::Duration;

/// The record of Lambda's sample event for Kinesis: what a record has of which nothing else is known.
const SAMPLE_SHARD: &str = "shardId-000000000000";
const SAMPLE_SEQUENCE: &str = "49545115243490985018280067714973144582180062593244200961";
const SAMPLE_KEY: &str = "partitionKey-03";
const SAMPLE_ARRIVAL: f64 = 1_428_537_600.0;

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
    /// At an input: what is known of the record.
    pub origin: TrialOrigin,
}

/// What is known of a record of a stream; the rest is that of Lambda's sample event.
#[derive(Debug, Clone, Default)]
pub struct TrialOrigin {
    pub partition_key: Option<String>,
    pub shard: Option<String>,
    /// With `:` and the position within an aggregate, for later records of one.
    pub sequence_number: Option<String>,
    /// In seconds since 1970.
    pub arrival: Option<f64>,
}

impl TrialOrigin {
    /// # Errors
    /// What is wrong with a value.
    pub(super) fn event_origin(&self) -> Result<EventOrigin, String> {
        Ok(EventOrigin {
            shard: ShardId::new(self.shard.as_deref().unwrap_or(SAMPLE_SHARD)),
            position: position(self.sequence_number.as_deref().unwrap_or(SAMPLE_SEQUENCE))?,
            partition_key: self.partition_key.clone().unwrap_or_else(|| SAMPLE_KEY.to_owned()),
            arrival: Some(timestamp(self.arrival.unwrap_or(SAMPLE_ARRIVAL))?),
            is_damaged_aggregate: false,
            part: 0,
        })
    }
}

fn position(text: &str) -> Result<RecordPosition, String> {
    let (sequence, sub_sequence) = text.split_once(':').unwrap_or((text, "0"));
    match (sequence.parse(), sub_sequence.parse()) {
        (Ok(sequence), Ok(sub_sequence)) => Ok(RecordPosition { sequence, sub_sequence }),
        _ => Err("`sequenceNumber` is not a sequence number: write its digits".to_owned()),
    }
}

fn timestamp(seconds: f64) -> Result<Timestamp, String> {
    // A duration of so many seconds, because it refuses what is out of range.
    let millis = Duration::try_from_secs_f64((seconds * 1_000.0).round());
    let millis = millis.ok().and_then(|millis| i64::try_from(millis.as_secs()).ok());
    let wrong = || "`approximateArrivalTimestamp` is not a number of seconds since 1970".to_owned();
    millis.map(Timestamp::from_millis).ok_or_else(wrong)
}

impl TrialInput {
    /// How a request to an output has the data: a text that is not JSON can only be its body.
    ///
    /// # Errors
    /// `Caller` when the data is not JSON, and the component allows no such body.
    pub(super) fn form(&self, allows_raw_body: bool) -> Result<DataForm, BindingError> {
        if self.is_raw {
            return Ok(DataForm::Raw);
        }
        match serde_json::from_slice::<&RawValue>(&self.data) {
            Ok(_) => Ok(DataForm::Json),
            Err(_) if allows_raw_body => Ok(DataForm::Raw),
            Err(error) => {
                let text = format!(
                    "the record is not JSON (column {}), so a request with it would be refused: write JSON, such as text \
                     in quotes; only a Kinesis component with `allowRawBody` takes any body",
                    error.column()
                );
                Err(BindingError::new(FailureKind::Caller, text))
            }
        }
    }
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

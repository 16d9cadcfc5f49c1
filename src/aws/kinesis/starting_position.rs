//! A starting position as arguments of `GetShardIterator` and `SubscribeToShard`.

use crate::domain::{SequenceNumber, StartingPosition};
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_smithy_types::DateTime;

/// The type, the sequence number and the timestamp.
pub(super) fn arguments(position: &StartingPosition) -> (ShardIteratorType, Option<String>, Option<DateTime>) {
    let text = |number: &SequenceNumber| Some(number.as_str().to_owned());
    match position {
        StartingPosition::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
        StartingPosition::Latest => (ShardIteratorType::Latest, None, None),
        StartingPosition::AtTimestamp(moment) => {
            (ShardIteratorType::AtTimestamp, None, Some(DateTime::from_millis(moment.as_millis())))
        }
        StartingPosition::At(number) => (ShardIteratorType::AtSequenceNumber, text(number), None),
        StartingPosition::After(number) => (ShardIteratorType::AfterSequenceNumber, text(number), None),
    }
}

//! Records of Kinesis to records of the domain, with aggregates unpacked.

use super::super::StreamRef;
use super::read_monitor::ReadMonitor;
use super::time::timestamp;
use crate::aggregation::unpack;
use crate::domain::{FailureKind, Record, RecordPosition, RetrievalError, SequenceNumber, ShardId, Timestamp};
use aws_sdk_kinesis::types::Record as SdkRecord;
use bytes::Bytes;

/// A record of the stream, which may be an aggregate.
#[derive(Debug)]
pub(super) struct WireRecord {
    pub(super) sequence_number: String,
    pub(super) partition_key: String,
    pub(super) data: Bytes,
    pub(super) arrival: Option<Timestamp>,
}

impl WireRecord {
    /// What Kinesis counts: payload and partition key.
    pub(super) const fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

impl From<SdkRecord> for WireRecord {
    fn from(sdk: SdkRecord) -> Self {
        Self {
            sequence_number: sdk.sequence_number,
            partition_key: sdk.partition_key.unwrap_or_default(),
            data: Bytes::from(sdk.data.into_inner()),
            arrival: sdk.approximate_arrival_timestamp.as_ref().and_then(timestamp),
        }
    }
}

/// The user records of some records of a shard, in order.
///
/// # Errors
/// If a sequence number is invalid, which only a defective service can cause.
pub(super) fn records(
    wire: Vec<WireRecord>,
    shard: &ShardId,
    stream: &StreamRef,
    monitor: &ReadMonitor,
) -> Result<Vec<Record>, RetrievalError> {
    let mut records = Vec::with_capacity(wire.len());
    for record in wire {
        let sequence = record.sequence_number.parse::<SequenceNumber>().map_err(|error| {
            let doing = format!("reading {shard} of stream {stream}: a record has no valid sequence number");
            RetrievalError::Unavailable { doing, kind: FailureKind::Permanent, source: error.into() }
        })?;
        let unpacked = unpack(&record.data);
        let is_damaged_aggregate = unpacked.is_err();
        let users = unpacked.unwrap_or_else(|damage| {
            monitor.damaged(shard, &sequence, damage);
            None
        });
        let WireRecord { partition_key, data, arrival, .. } = record;
        let record = |position, partition_key, data| Record {
            position,
            partition_key,
            data,
            arrival,
            is_damaged_aggregate,
            is_filtered: false,
            decompressed: None,
        };
        match users {
            None => {
                let position = RecordPosition::plain(sequence);
                records.push(record(position, partition_key, data));
            }
            Some(users) => records.extend((0..).zip(users).map(|(sub_sequence, user)| {
                let position = RecordPosition { sequence: sequence.clone(), sub_sequence };
                record(position, user.partition_key, user.data)
            })),
        }
    }
    Ok(records)
}

#[cfg(test)]
#[path = "tests/record.rs"]
mod tests;

//! Records as they are read from a shard.

use super::{RecordPosition, Timestamp};
use bytes::Bytes;
use std::time::Duration;

/// One user record. Records that a producer aggregated (KPL) are already deaggregated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub position: RecordPosition,
    /// Empty where the stream distributes records itself.
    pub partition_key: String,
    pub data: Bytes,
    /// `ApproximateArrivalTimestamp`: neither exact nor monotonic.
    pub arrival: Option<Timestamp>,
}

/// The result of one read; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordBatch {
    /// In the order of their positions.
    pub records: Vec<Record>,
    /// `MillisBehindLatest`: how far this read was behind the newest record.
    pub behind: Option<Duration>,
}

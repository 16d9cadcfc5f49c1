//! Records as they are read from a shard.

use super::{RecordPosition, SequenceNumber, Timestamp};
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
    /// It begins like an aggregate of the KPL but is damaged, so `data` is the whole record as it was put.
    pub is_damaged_aggregate: bool,
    /// Set by a [`RecordFilter`](super::RecordFilter): the app does not receive the record, which counts as accepted.
    pub is_filtered: bool,
    /// What `data` contains in compressed form, if a filter had to know and there was memory to keep it.
    pub decompressed: Option<Bytes>,
}

/// What a record takes in memory beside its key and its data.
const RECORD_OVERHEAD: usize = 256;

impl Record {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub const fn size(&self) -> usize {
        let decompressed = match &self.decompressed {
            Some(data) => data.len(),
            None => 0,
        };
        self.data.len() + decompressed + self.partition_key.len() + RECORD_OVERHEAD
    }
}

/// The source continued at the record `after`, but the first record is `found`: those between have aged out unread, if there
/// were any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordGap {
    pub after: SequenceNumber,
    pub found: SequenceNumber,
}

/// The result of one read; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordBatch {
    /// In the order of their positions.
    pub records: Vec<Record>,
    /// `MillisBehindLatest`: how far this read was behind the newest record.
    pub behind: Option<Duration>,
    /// Only where the source itself had to continue at an earlier position, such as after an expired iterator.
    pub gap: Option<RecordGap>,
}

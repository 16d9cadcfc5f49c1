//! Records as they come out of a shard.

use super::{RecordPosition, Timestamp};
use bytes::Bytes;
use std::time::Duration;

/// One user record. Records that a producer packed together (KPL) are already apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the shard.
    pub position: RecordPosition,
    /// Its own partition key; empty where the stream places records by itself.
    pub partition_key: String,
    /// The payload, untouched.
    pub data: Bytes,
    /// When the service says it arrived; neither exact nor monotonic.
    pub arrival: Option<Timestamp>,
}

/// What one read brought, in order; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordBatch {
    /// The records, in the order of their positions.
    pub records: Vec<Record>,
    /// How far behind the newest record this read was, if the service said so.
    pub behind: Option<Duration>,
}

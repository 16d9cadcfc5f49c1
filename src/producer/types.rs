//! Types that several files of this module use.

use crate::domain::{
    BindingError, NewRecord, Receipt, RecordWriter, RetrievalError, SequenceNumber, ShardDirectory, ShardListing,
};
use crate::telemetry::OutputMetrics;
use std::sync::Arc;
use tokio::time::Instant;

/// The ports that a producer calls.
#[derive(Debug, Clone)]
pub struct Ports {
    pub writer: Arc<dyn RecordWriter>,
    /// `None` where the shards may not be listed.
    pub directory: Option<Arc<dyn ShardDirectory>>,
    pub metrics: OutputMetrics,
}

/// How one record is to be written.
#[derive(Debug, Clone)]
pub struct PutOptions {
    /// When the caller must have an answer. Covers the time in the queue, the rate limit and all retries.
    pub deadline: Instant,
    /// The record's sequence number must be greater than this one (`sequenceNumberForOrdering`).
    pub after: Option<SequenceNumber>,
    /// Whether a throttle is returned to the caller without a retry (`failIfThrottled`).
    pub fail_if_throttled: bool,
    /// Whether every failure of the record is returned to the caller, who sends it again.
    pub is_single_attempt: bool,
    /// Whether the record ends the batch that it is in: the batch is sent without delay, and with no record that waits
    /// behind this one (`batchingFlushExpression`).
    pub ends_batch: bool,
}

impl PutOptions {
    /// For a record that has until `deadline`, with no other option.
    #[must_use]
    pub const fn until(deadline: Instant) -> Self {
        Self { deadline, after: None, fail_if_throttled: false, is_single_attempt: false, ends_batch: false }
    }
}

/// A record, and whether it ends its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecord {
    pub record: NewRecord,
    /// As [`PutOptions::ends_batch`], for this record.
    pub ends_batch: bool,
}

impl From<NewRecord> for OutgoingRecord {
    fn from(record: NewRecord) -> Self {
        Self { record, ends_batch: false }
    }
}

/// The proof that a record is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub receipt: Receipt,
    /// The index among the records of the Kinesis record, from 0; `None` for a record that was not packed with others.
    pub sub_sequence: Option<u64>,
    /// At least 1.
    pub attempts: u32,
}

/// What a caller gets.
pub(super) type Answer = Result<Written, BindingError>;

/// What a call returned: a result for each entry, or one failure for all.
pub(super) type Reply = Result<Vec<Result<Receipt, BindingError>>, BindingError>;

/// A call of the service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    PutRecord(NewRecord, Option<SequenceNumber>),
    PutRecords(Vec<NewRecord>),
}

impl Call {
    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::PutRecord(..) => "PutRecord",
            Self::PutRecords(_) => "PutRecords",
        }
    }
}

/// The result of listing the shards.
pub(super) type Listing = Result<ShardListing, RetrievalError>;

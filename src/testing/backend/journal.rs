//! Counts of calls and records, and the stored records and items for tests that compare them.

use bytes::Bytes;
use std::collections::BTreeMap;

/// How often each operation was called, and the results of the records. Counts are never reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `PutRecord`.
    pub put_record: u64,
    /// Calls of `PutRecords`.
    pub put_records: u64,
    /// Calls of `PutItem`.
    pub put_item: u64,
    /// Calls of `GetItem`.
    pub get_item: u64,
    /// Calls of `BatchWriteItem`.
    pub batch_write: u64,
    /// Calls of `DescribeStreamSummary`, `ListShards` and `DescribeTable`.
    pub described: u64,
    /// Records and items in calls; a retried one counts again.
    pub offered: u64,
    pub stored: u64,
    /// Records rejected one by one, by the rate limit of a shard or by an injected fault.
    pub throttled: u64,
    /// Records failed one by one by an injected fault.
    pub failed: u64,
    /// Entries of `BatchWriteItem` returned as unprocessed.
    pub unprocessed: u64,
    /// Calls rejected as a whole.
    pub refused: u64,
    /// Calls whose connection was closed without a response.
    pub lost: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
}

impl Counts {
    /// Calls that write, with or without a response.
    #[must_use]
    pub const fn writes(&self) -> u64 {
        self.put_record + self.put_records + self.put_item + self.batch_write
    }
}

/// A record in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRecord {
    pub shard: String,
    pub sequence: String,
    pub partition_key: String,
    pub data: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) counts: Counts,
    /// In the order stored; empty unless the backend records everything.
    pub(super) records: Vec<BackendRecord>,
    /// Items as JSON texts, by table and key; empty unless the backend records everything.
    pub(super) items: BTreeMap<(String, String), String>,
}

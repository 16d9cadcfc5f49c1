//! What happened: counts always, records and items where a test wants to compare.

use bytes::Bytes;
use std::collections::BTreeMap;

/// How often what was called, and what became of the records. Grows from zero; never reset.
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
    /// Records and items that calls brought, repeated ones again.
    pub offered: u64,
    /// Records and items stored.
    pub stored: u64,
    /// Records refused by a rate or a draw, one by one.
    pub throttled: u64,
    /// Records failed by a draw, one by one.
    pub failed: u64,
    /// Entries of `BatchWriteItem` given back unprocessed.
    pub unprocessed: u64,
    /// Calls refused as a whole.
    pub refused: u64,
    /// Calls whose connection was closed without an answer.
    pub lost: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
}

impl Counts {
    /// Calls that write, answered or not.
    #[must_use]
    pub const fn writes(&self) -> u64 {
        self.put_record + self.put_records + self.put_item + self.batch_write
    }
}

/// A record that is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    /// Name of its shard.
    pub shard: String,
    /// The number it was given.
    pub sequence: String,
    /// Its partition key.
    pub partition_key: String,
    /// Its payload.
    pub data: Bytes,
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) counts: Counts,
    /// In the order stored; empty unless the backend keeps.
    pub(super) records: Vec<KeptRecord>,
    /// Items as JSON texts, by table and key; empty unless the backend keeps.
    pub(super) items: BTreeMap<(String, String), String>,
}

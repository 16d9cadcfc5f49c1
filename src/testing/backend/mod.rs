//! A null backend: Kinesis and DynamoDB as far as writing needs them, on a loopback port, with no storage behind.
//!
//! Emulators measure themselves and fail politely. This one is cheap enough to be faster than whatever is measured
//! against it, and fails as asked: late, by the entry, by the call, by a reply that never comes, by the rate of a
//! shard. What it says it stored can be kept, so that a test can compare it with what callers were told.
//!
//! It speaks the JSON 1.1 and 1.0 wire over HTTP/1.1 for `PutRecord`, `PutRecords`, `DescribeStreamSummary`,
//! `ListShards`, `PutItem`, `GetItem`, `BatchWriteItem` and `DescribeTable`. Every stream and table exists; signatures
//! are not checked. The limits of a call are (500 records, 10 MiB, the largest record, 25 items), so that a client that
//! breaks them is found out.

mod control;
mod dynamodb;
mod faults;
mod journal;
mod kinesis;
mod refusal;
mod server;
mod shards;
mod wire;

pub use faults::{Faults, ShardRate};
pub use journal::{Counts, KeptRecord};
pub use server::{BackendSettings, Keeping, NullBackend};

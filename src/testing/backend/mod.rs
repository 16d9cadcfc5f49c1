//! A null backend: the write operations of Kinesis and DynamoDB on a loopback port, without storage.
//!
//! It is faster than the code that a benchmark measures against it, and [`Faults`] tell it what to inject: latency,
//! failed entries, failed calls, lost replies, throttled shards. With [`Recording::Everything`] a test can compare the
//! records that it stored with the responses that callers got.
//!
//! It implements `PutRecord`, `PutRecords`, `DescribeStreamSummary`, `ListShards`, `PutItem`, `GetItem`,
//! `BatchWriteItem` and `DescribeTable` in AWS JSON 1.1 and 1.0 over HTTP/1.1. Every stream and table exists; signatures
//! are not checked. The limits of a call are checked (500 records, 10 MiB, the size of a record, 25 items), so that a
//! client that exceeds them fails.

mod control;
mod dynamodb;
mod error_response;
mod faults;
mod journal;
mod kinesis;
mod scripted;
mod server;
mod shards;
mod wire;

pub use faults::{Faults, ShardRate};
pub use journal::{BackendRecord, Counts};
pub use scripted::{ScriptedKinesis, ScriptedReply};
pub use server::{BackendSettings, NullBackend, Recording};

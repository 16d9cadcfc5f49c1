//! The Kinesis Producer Library's format for many user records in one Kinesis record: four magic bytes, a protobuf
//! message, and the MD5 of that message (awslabs/amazon-kinesis-producer, `aggregation-format.md`).
//!
//! `aws` takes such records apart when it reads, `producer` makes them when it writes; both meet here, below them.
//! Law: what a [`Packer`] made, [`unpack`] gives back the same; `tests/golden/aggregation` holds bytes of
//! other makers.

mod format;
mod pack;
mod unpack;

pub use pack::Packer;
#[cfg(any(test, feature = "testing"))]
pub use pack::pack;
pub use unpack::{Damage, unpack};

use bytes::Bytes;

/// One record that a producer packed together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its own partition key.
    pub partition_key: String,
    /// Its own hash key, a decimal number, where the producer gave one.
    pub explicit_hash_key: Option<String>,
    /// The payload; shares the memory of the aggregate.
    pub data: Bytes,
}

//! Many user records in one Kinesis record.
//!
//! In the format of the Kinesis Producer Library, an aggregate is four magic bytes, a protobuf message, and the MD5 of that
//! message (awslabs/amazon-kinesis-producer, `aggregation-format.md`). `producer` packs records with a [`Packer`], `aws`
//! unpacks them with [`unpack`]. Invariant: unpacking gives exactly the records that were packed;
//! `tests/golden/aggregation` has aggregates of other libraries.
//!
//! With a [`Joiner`], `producer` joins records in a form that needs no library to be read; see [`JoinForm`].

mod format;
mod join;
mod pack;
mod unpack;

pub use join::{JoinForm, Joiner, NotJoinable};
pub use pack::Packer;
#[cfg(any(test, feature = "testing"))]
pub use pack::pack;
pub use unpack::{AggregateError, unpack};

use bytes::Bytes;

/// One record of an aggregate, as the producer's caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    pub partition_key: String,
    /// A decimal number.
    pub explicit_hash_key: Option<String>,
    /// Shares the memory of the aggregate.
    pub data: Bytes,
}

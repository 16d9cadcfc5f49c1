//! The protobuf message, and the bytes around it.

use bytes::Bytes;
use prost::Message;

/// The first bytes of every aggregate.
pub(super) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// Length of the MD5 at the end.
pub(super) const DIGEST_LEN: usize = 16;

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    pub(super) partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(super) records: Vec<InnerRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InnerRecord {
    #[prost(uint64, required, tag = "1")]
    pub(super) partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(super) explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub(super) data: Bytes,
    #[prost(message, repeated, tag = "4")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tag {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[cfg(test)]
pub(super) fn with_digest(body: &[u8]) -> Bytes {
    use md5::{Digest, Md5};
    [&MAGIC[..], body, Md5::digest(body).as_slice()].concat().into()
}

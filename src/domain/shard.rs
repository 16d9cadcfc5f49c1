//! Shards, their parents and their hash key ranges.

use std::fmt;
use std::sync::Arc;

/// The id of a shard, such as `shardId-000000000000`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(Arc<str>);

string_newtype!(ShardId, new);

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash keys that a shard covers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashKeyRange {
    pub start: u128,
    pub end: u128,
}

/// One shard as `ListShards` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub id: ShardId,
    /// One parent after a split, two after a merge, none at the beginning. A parent may have expired.
    pub parents: Vec<ShardId>,
    pub hash_range: Option<HashKeyRange>,
    /// Whether it still accepts records, that is, has no ending sequence number.
    pub is_open: bool,
}

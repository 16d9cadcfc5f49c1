//! What an output reports about itself and the shards of its stream, for people and monitoring.

use super::{HashKeyRange, ShardId};
use std::time::Duration;

/// An output at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputReport {
    /// Records that wait in the queue or are in flight.
    pub pending_records: usize,
    /// Their size.
    pub pending_bytes: usize,
    /// `None` without a limit.
    pub rate_limit: Option<RateLimitReport>,
    /// `None` while the shards were not listed.
    pub shard_map: Option<ShardMapReport>,
}

/// The limit of each shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimitReport {
    /// As in the component file.
    pub mode: &'static str,
    /// `None` where only bytes are limited.
    pub records_per_second: Option<u32>,
    pub bytes_per_second: u32,
    /// Of the limit of the whole stream, for records whose shard is not known; `None` without the field `shards`.
    pub stream_factor: Option<f64>,
}

/// The open shards by the last listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardMapReport {
    /// How long ago they were listed.
    pub age: Duration,
    /// In the order of their hash keys.
    pub shards: Vec<OutputShard>,
}

/// One open shard.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputShard {
    pub shard: ShardId,
    pub range: HashKeyRange,
    /// The part of its rate limit that is used, 0.05 to 1: below 1 after throttling.
    pub limiter_factor: f64,
}

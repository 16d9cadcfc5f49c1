//! What the owner of a producer knows of the shards, for those who ask. It is written only when it changes, so that reading
//! it never waits for the owner and calls nothing.

use super::settings::{RateLimit, RateLimitMode};
use super::shard_map::{ByShard, ShardMap};
use super::token_bucket::Factor;
use crate::domain::{OutputShard, RateLimitReport, ShardId, ShardMapReport};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Clones share the content.
#[derive(Debug, Clone)]
pub(super) struct ShardView {
    /// The limits in use.
    limit: RateLimit,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    map: Arc<ShardMap>,
    listed: Option<Instant>,
    /// Shards that were throttled. Those that have recovered stay, at most one for each shard of the map.
    throttled: ByShard<Factor>,
    /// The same of the limit of the whole stream.
    stream: Option<Factor>,
}

impl ShardView {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, known: Arc::default() }
    }

    /// The shards were listed.
    pub(super) fn listed(&self, now: Instant) {
        self.known().listed = Some(now);
    }

    /// The listing changed the map.
    pub(super) fn set_map(&self, map: &Arc<ShardMap>) {
        let mut known = self.known();
        known.throttled.retain(|shard, _| map.range_of(shard).is_some());
        known.map = Arc::clone(map);
    }

    /// A shard was throttled; `None` where it is not in the map.
    pub(super) fn throttled(&self, shard: Option<&ShardId>, factor: Factor) {
        let mut known = self.known();
        match shard {
            Some(shard) => {
                known.throttled.insert(shard.clone(), factor);
            }
            None => known.stream = Some(factor),
        }
    }

    /// The limit of each shard; `None` without a limit.
    pub(super) fn rate_limit(&self, now: Instant) -> Option<RateLimitReport> {
        let RateLimit { mode, records_per_second, bytes_per_second, shards, .. } = self.limit;
        let factor = || self.known().stream.map_or(1.0, |factor| factor.at(now));
        (mode != RateLimitMode::Off).then(|| RateLimitReport {
            mode: mode.as_str(),
            records_per_second: Some(records_per_second).filter(|rate| *rate < u32::MAX),
            bytes_per_second,
            stream_factor: shards.map(|_| factor()),
        })
    }

    /// The shards; `None` while they were not listed. A listing without any is not used.
    pub(super) fn shard_map(&self, now: Instant) -> Option<ShardMapReport> {
        let known = self.known();
        let listed = known.listed.filter(|_| !known.map.is_empty())?;
        let age = now.saturating_duration_since(listed);
        let (map, throttled) = (Arc::clone(&known.map), known.throttled.clone());
        // The owner does not wait while the shards are copied.
        drop(known);
        let factor = |shard: &ShardId| throttled.get(shard).map_or(1.0, |factor| factor.at(now));
        let shard =
            |(range, id): &(_, ShardId)| OutputShard { shard: id.clone(), range: *range, limiter_factor: factor(id) };
        Some(ShardMapReport { age, shards: map.ranges().iter().map(shard).collect() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

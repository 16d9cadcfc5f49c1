//! The rate limit of each shard. Pure; all times are given.
//!
//! A record that arrives is queued for a token of its shard. This queue is only a count, from which the time of the token
//! is estimated; a record that would be too late is refused at once. Just before each attempt, also a retry, the record
//! reserves a slot: the time from which it may be sent. So records that were delayed by something else (another record of
//! their key, calls in flight, an outage) are not all sent at once.
//!
//! Slots of one shard never run backwards. What is sent without a slot (packed behind another record of its key, a part of
//! a call that was refused) is charged, and later slots make up for it.

use super::settings::{RateLimit, RateLimitMode};
use super::shard_map::{ByShard, ShardMap};
use super::token_bucket::{Bucket, Factor, Queued, Rates};
use crate::domain::ShardId;
use std::time::Duration;
use tokio::time::Instant;

/// What a record has of its shard's limit. Each attempt takes another slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    None,
    /// Waits for a token.
    Queued,
    /// May be sent from then on.
    Reserved(Instant),
}

/// The limits of all shards of a stream.
#[derive(Debug)]
pub(super) struct Limiter {
    mode: RateLimitMode,
    rates: Rates,
    shards: ByShard<Bucket>,
    /// For records whose shard is not known, where the number of shards is configured.
    stream: Option<Bucket>,
}

impl Limiter {
    /// No shard is known yet. `max_record_size` is in bytes. A rate of 0 is taken as 1.
    pub(super) fn new(limit: RateLimit, max_record_size: usize, now: Instant) -> Self {
        let rates = Rates::new(limit.records_per_second, limit.bytes_per_second, max_record_size);
        let stream = limit.shards.map(|shards| Bucket::full(rates.times(shards), now));
        Self { mode: limit.mode, rates, shards: ByShard::default(), stream }
    }

    /// Follows the map: shards that stay keep their state, new ones begin full. Returns those that are gone.
    pub(super) fn set_shards(&mut self, map: &ShardMap, now: Instant) -> Vec<ShardId> {
        let mut gone = std::mem::take(&mut self.shards);
        let mut bucket = |id: &ShardId| gone.remove(id).unwrap_or_else(|| Bucket::full(self.rates, now));
        self.shards = map.shards().map(|id| (id.clone(), bucket(id))).collect();
        gone.into_keys().collect()
    }

    /// Queues a record for a token. Returns when the token is expected, not before `now`; `None` where nothing limits the
    /// record. The record may come a little later where records and bytes limit in turns.
    ///
    /// # Errors
    /// The wait until the token, when that is not before `by`. The record is not queued then.
    pub(super) fn enqueue(
        &mut self,
        shard: Option<&ShardId>,
        bytes: usize,
        now: Instant,
        by: Instant,
    ) -> Result<Option<Instant>, Duration> {
        let Some(bucket) = self.bucket(shard) else { return Ok(None) };
        let at = bucket.expected(bytes, now);
        if at >= by {
            return Err(at.saturating_duration_since(now));
        }
        bucket.queued.add(bytes);
        Ok(Some(at))
    }

    /// Queues a record however long it has to wait.
    pub(super) fn requeue(&mut self, shard: Option<&ShardId>, bytes: usize) {
        if let Some(bucket) = self.bucket(shard) {
            bucket.queued.add(bytes);
        }
    }

    pub(super) fn dequeue(&mut self, shard: Option<&ShardId>, bytes: usize) {
        if let Some(bucket) = self.bucket(shard) {
            bucket.queued.remove(bytes);
        }
    }

    pub(super) fn clear_queued(&mut self) {
        self.shards.values_mut().chain(&mut self.stream).for_each(|bucket| bucket.queued = Queued::default());
    }

    /// Takes the tokens of a record that is sent without a slot.
    pub(super) fn charge(&mut self, shard: Option<&ShardId>, bytes: usize, now: Instant) {
        if let Some(bucket) = self.bucket(shard) {
            let at = bucket.earliest(bytes, now);
            bucket.take(bytes, at);
        }
    }

    /// Reserves a slot for one record: the moment, not before `now`, from which it may be sent. Slots of one shard come in
    /// the order of the calls.
    ///
    /// # Errors
    /// The wait until the slot, when it is neither now nor before the deadline. Nothing was taken then.
    pub(super) fn reserve(
        &mut self,
        shard: Option<&ShardId>,
        bytes: usize,
        now: Instant,
        deadline: Instant,
    ) -> Result<Instant, Duration> {
        let Some(bucket) = self.bucket(shard) else { return Ok(now) };
        let at = bucket.earliest(bytes, now);
        if at > now && at >= deadline {
            return Err(at.saturating_duration_since(now));
        }
        bucket.take(bytes, at);
        Ok(at)
    }

    /// Gives back a reserved slot that is not used; less, down to nothing, where the bucket may have been full without
    /// that reservation.
    pub(super) fn refund(&mut self, shard: Option<&ShardId>, bytes: usize, slot: Instant) {
        if let Some(bucket) = self.bucket(shard) {
            bucket.refund(bytes, slot);
        }
    }

    /// Accounts for an attempt that is sent: one without a slot is charged.
    pub(super) fn sent(&mut self, shard: Option<&ShardId>, bytes: usize, slot: Slot, now: Instant) {
        match slot {
            Slot::Reserved(_) => return,
            Slot::Queued => self.dequeue(shard, bytes),
            Slot::None => {}
        }
        self.charge(shard, bytes, now);
    }

    /// Gives back what a record has that is not sent.
    pub(super) fn release(&mut self, shard: Option<&ShardId>, bytes: usize, slot: Slot) {
        match slot {
            Slot::Reserved(slot) => self.refund(shard, bytes, slot),
            Slot::Queued => self.dequeue(shard, bytes),
            Slot::None => {}
        }
    }

    /// A call was throttled there, so others write to the shard too: lowers its rate. At most once per 100 ms, so that a
    /// call with many throttled entries counts once.
    pub(super) fn throttled(&mut self, shard: Option<&ShardId>, now: Instant) {
        let is_adaptive = self.mode == RateLimitMode::Adaptive;
        if let Some(bucket) = self.bucket(shard).filter(|_| is_adaptive) {
            bucket.throttled(now);
        }
    }

    /// The part of the limit that is in use; `None` without a limit.
    pub(super) fn factor(&self, shard: Option<&ShardId>) -> Option<Factor> {
        let bucket = shard.and_then(|id| self.shards.get(id)).or(self.stream.as_ref());
        bucket.map(Bucket::factor)
    }

    fn bucket(&mut self, shard: Option<&ShardId>) -> Option<&mut Bucket> {
        if self.mode == RateLimitMode::Off {
            return None;
        }
        shard.and_then(|id| self.shards.get_mut(id)).or(self.stream.as_mut())
    }
}

#[cfg(test)]
#[path = "tests/limiter.rs"]
mod tests;

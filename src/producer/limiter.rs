//! The limits of each shard. Pure; all times are given.
//!
//! Whoever comes joins the line of its shard, and is told when its turn should come, or that this is too late; the line
//! only counts, so leaving it gives the room to whoever comes next. Just before an attempt is sent it takes a slot, also one that is sent
//! again or comes late (behind its key, with all calls in use, in an outage), so that the late do not leave together.
//!
//! A bucket keeps its state as of its last slot, which may lie ahead. So slots of one shard never run backwards, and
//! both measures, records and bytes, are charged at the slot: in no window do the slots of a shard hold more than
//! rate × window + depth of either. What is sent without a slot (packed behind another of its key, a part of a call that
//! was refused whole) is charged, and later slots make up for it.

use super::pace::Pace;
use super::shard_map::ShardMap;
use super::{RateLimit, RateLimitMode};
use crate::domain::ShardId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// What one token is made of: [`Pace`] counts twice the nanoseconds, each in parts of [`Pace::FULL`].
const TOKEN: i128 = 2 * Pace::FULL as i128 * 1_000_000_000;

/// The limits of all shards of a stream.
#[derive(Debug)]
pub(super) struct Limiter {
    mode: RateLimitMode,
    rates: Rates,
    /// A bucket is filled when it is first asked.
    shards: HashMap<ShardId, Option<Bucket>>,
    /// For records whose shard is not known: `shards` × rate, where `shards` was told.
    stream: Option<(Rates, Option<Bucket>)>,
}

/// Per second, and the depths of the buckets.
#[derive(Debug, Clone, Copy)]
struct Rates {
    records: u64,
    record_depth: u64,
    bytes: u64,
    /// Never less than the largest record, which could never pass otherwise.
    byte_depth: u64,
}

/// What may go in one burst: nearly the second's worth that the service allows. Calls do not arrive as evenly as they
/// leave, and where both sides were empty at the same moment, that alone would be throttled.
const fn depth(per_second: u64) -> u64 {
    per_second - per_second / 10
}

impl Rates {
    fn times(self, shards: u32) -> Self {
        let many = |number: u64| number.saturating_mul(u64::from(shards.max(1)));
        let (records, bytes) = (many(self.records), many(self.bytes));
        Self { records, record_depth: depth(records), bytes, byte_depth: depth(bytes).max(self.byte_depth) }
    }
}

impl Limiter {
    /// Limits as told; no shard is known yet. `max_record_size` is in bytes. A rate of 0 is taken as 1.
    pub(super) fn new(limit: RateLimit, max_record_size: usize) -> Self {
        let bytes = u64::from(limit.bytes_per_second.max(1));
        let records = u64::from(limit.records_per_second.max(1));
        let byte_depth = depth(bytes).max(max_record_size as u64);
        let rates = Rates { records, record_depth: depth(records), bytes, byte_depth };
        let stream = limit.shards.map(|shards| (rates.times(shards), None));
        Self { mode: limit.mode, rates, shards: HashMap::new(), stream }
    }

    /// Follows the map: shards that stay keep their state, new ones begin full. Gives those that are gone.
    pub(super) fn set_shards(&mut self, map: &ShardMap) -> Vec<ShardId> {
        let mut gone = std::mem::take(&mut self.shards);
        self.shards = map.shards().map(|id| (id.clone(), gone.remove(id).flatten())).collect();
        gone.into_keys().collect()
    }

    /// Joins the line: the moment, not before `now`, at which its turn should come if nobody ahead leaves the line; `None`
    /// where nothing limits the record.
    /// An estimate: it may come a little later where records and bytes bind in turns.
    ///
    /// # Errors
    /// When that is not before `by`: the wait until it. The line is not joined.
    pub(super) fn join(
        &mut self,
        shard: Option<&ShardId>,
        bytes: usize,
        now: Instant,
        by: Instant,
    ) -> Result<Option<Instant>, Duration> {
        let Some(bucket) = self.bucket(shard, now) else { return Ok(None) };
        let at = bucket.turn(bytes, now);
        if at >= by {
            return Err(at.saturating_duration_since(now));
        }
        bucket.line.join(bytes);
        Ok(Some(at))
    }

    /// Joins the line, however long it is.
    pub(super) fn rejoin(&mut self, shard: Option<&ShardId>, bytes: usize, now: Instant) {
        if let Some(bucket) = self.bucket(shard, now) {
            bucket.line.join(bytes);
        }
    }

    /// Leaves the line.
    pub(super) fn leave(&mut self, shard: Option<&ShardId>, bytes: usize) {
        if let Some(bucket) = self.bucket_in_use(shard) {
            bucket.line.leave(bytes);
        }
    }

    /// Nobody is in any line.
    pub(super) fn clear_lines(&mut self) {
        let of_shards = self.shards.values_mut().flatten();
        let of_stream = self.stream.iter_mut().filter_map(|(_, bucket)| bucket.as_mut());
        of_shards.chain(of_stream).for_each(|bucket| bucket.line = Line::default());
    }

    /// A record is sent without a slot.
    pub(super) fn charge(&mut self, shard: Option<&ShardId>, bytes: usize, now: Instant) {
        if let Some(bucket) = self.bucket(shard, now) {
            let at = bucket.slot(bytes, now);
            bucket.take(bytes, at);
        }
    }

    /// Takes a slot for one record of so many bytes: the moment, not before `now`, from which it may be sent. Slots of
    /// one shard come in the order they were asked for.
    ///
    /// # Errors
    /// When there is no slot now, nor one before the deadline: the wait until it. Nothing was taken.
    pub(super) fn reserve(
        &mut self,
        shard: Option<&ShardId>,
        bytes: usize,
        now: Instant,
        deadline: Instant,
    ) -> Result<Instant, Duration> {
        let Some(bucket) = self.bucket(shard, now) else { return Ok(now) };
        let at = bucket.slot(bytes, now);
        if at > now && at >= deadline {
            return Err(at.saturating_duration_since(now));
        }
        bucket.take(bytes, at);
        Ok(at)
    }

    /// Gives back what was reserved and will not be sent; `slot` is the moment that [`Limiter::reserve`] gave. Gives
    /// back less, down to nothing, where the bucket might have been full without it.
    pub(super) fn refund(&mut self, shard: Option<&ShardId>, bytes: usize, slot: Instant) {
        if let Some(bucket) = self.bucket_in_use(shard) {
            bucket.give_back(bytes, slot);
        }
    }

    /// A flush was throttled there: others write to the shard too, so its rate is cut. At most once per 100 ms, so that
    /// a flush with many throttled entries counts once.
    pub(super) fn throttled(&mut self, shard: Option<&ShardId>, now: Instant) {
        let is_adaptive = self.mode == RateLimitMode::Adaptive;
        if let Some(bucket) = self.bucket(shard, now).filter(|_| is_adaptive) {
            bucket.cut(now);
        }
    }

    /// The part of the limit that is in use at that moment, 0.05 to 1.
    pub(super) fn factor(&self, shard: Option<&ShardId>, now: Instant) -> f64 {
        let bucket = match shard.and_then(|id| self.shards.get(id)) {
            Some(bucket) => bucket.as_ref(),
            None => self.stream.as_ref().and_then(|(_, bucket)| bucket.as_ref()),
        };
        bucket.map_or(1.0, |bucket| bucket.pace.share(now))
    }

    fn bucket_in_use(&mut self, shard: Option<&ShardId>) -> Option<&mut Bucket> {
        match shard.and_then(|id| self.shards.get_mut(id)) {
            Some(bucket) => bucket.as_mut(),
            None => self.stream.as_mut().and_then(|(_, bucket)| bucket.as_mut()),
        }
    }

    fn bucket(&mut self, shard: Option<&ShardId>, now: Instant) -> Option<&mut Bucket> {
        if self.mode == RateLimitMode::Off {
            return None;
        }
        let (rates, bucket) = match shard.and_then(|id| self.shards.get_mut(id)) {
            Some(bucket) => (self.rates, bucket),
            None => self.stream.as_mut().map(|(rates, bucket)| (*rates, bucket))?,
        };
        Some(bucket.get_or_insert_with(|| Bucket::full(rates, now)))
    }
}

#[derive(Debug)]
struct Bucket {
    pace: Pace,
    /// The last slot, or the first moment; the meters are as of then.
    clock: Instant,
    records: Meter,
    bytes: Meter,
    line: Line,
}

impl Bucket {
    fn full(rates: Rates, now: Instant) -> Self {
        let records = Meter::full(rates.records, rates.record_depth, now);
        let bytes = Meter::full(rates.bytes, rates.byte_depth, now);
        Self { pace: Pace::whole(now), clock: now, records, bytes, line: Line::default() }
    }

    /// When the slot of a record should come that joins the line.
    fn turn(&self, bytes: usize, now: Instant) -> Instant {
        let from = now.max(self.clock);
        let flow = self.pace.flow(self.clock, from);
        let records = self.records.missing_behind(self.line.records, 1, flow);
        from + self.pace.time_for(from, records.max(self.bytes.missing_behind(self.line.bytes, bytes, flow)))
    }

    fn slot(&self, bytes: usize, now: Instant) -> Instant {
        let from = now.max(self.clock);
        let flow = self.pace.flow(self.clock, from);
        let missing = self.records.missing(1, flow).max(self.bytes.missing(bytes, flow));
        from + self.pace.time_for(from, missing)
    }

    fn take(&mut self, bytes: usize, at: Instant) {
        let flow = self.pace.flow(self.clock, at);
        self.records.take(1, flow, at);
        self.bytes.take(bytes, flow, at);
        self.clock = at;
    }

    fn give_back(&mut self, bytes: usize, slot: Instant) {
        self.records.give_back(1, slot, self.clock);
        self.bytes.give_back(bytes, slot, self.clock);
    }

    /// What was promised ahead of `now` stays promised, but costs the time it takes at the lower rate; what was saved
    /// for bursts is gone.
    fn cut(&mut self, now: Instant) {
        let promised = self.pace.flow(now, self.clock);
        if !self.pace.cut(now) {
            return;
        }
        self.clock = now + self.pace.time_for(now, promised);
        self.records.empty(self.clock);
        self.bytes.empty(self.clock);
    }
}

/// Who waits for a slot.
#[derive(Debug, Default)]
struct Line {
    records: usize,
    bytes: usize,
}

impl Line {
    const fn join(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    const fn leave(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// One measure of a bucket, in parts of a [`TOKEN`].
#[derive(Debug)]
struct Meter {
    per_second: u64,
    depth: i128,
    /// Below zero only after something larger than the depth.
    level: i128,
    /// The last moment at which more than half was left.
    roomy_at: Instant,
    /// What was given back for slots before `credited_at`. With `roomy_at` it proves that a refund makes nothing out
    /// of tokens that a full bucket would have spilled: half of the depth and half of it in refunds is never more
    /// than full.
    credit: i128,
    credited_at: Instant,
}

impl Meter {
    fn full(per_second: u64, depth: u64, now: Instant) -> Self {
        let depth = i128::from(depth) * TOKEN;
        Self { per_second, depth, level: depth, roomy_at: now, credit: 0, credited_at: now }
    }

    fn after(&self, flow: u128) -> i128 {
        let gained = i128::try_from(flow.saturating_mul(u128::from(self.per_second))).unwrap_or(i128::MAX);
        self.level.saturating_add(gained).min(self.depth)
    }

    /// The flow that is needed after `flow` until so much may be taken. What is larger than the depth may be taken
    /// from a full bucket, and is paid for afterwards.
    fn missing(&self, cost: usize, flow: u128) -> u128 {
        self.missing_behind(0, cost, flow)
    }

    /// As `missing`, when others take so much before.
    fn missing_behind(&self, others: usize, cost: usize, flow: u128) -> u128 {
        let lacking = tokens(others).saturating_add(tokens(cost).min(self.depth)) - self.after(flow);
        u128::try_from(lacking).unwrap_or(0).div_ceil(u128::from(self.per_second))
    }

    fn take(&mut self, cost: usize, flow: u128, at: Instant) {
        self.level = self.after(flow);
        self.note(at);
        self.level -= tokens(cost);
    }

    fn give_back(&mut self, cost: usize, slot: Instant, clock: Instant) {
        if slot <= self.roomy_at {
            return;
        }
        if slot >= self.credited_at {
            self.credit = 0;
        }
        let given = tokens(cost).min(self.depth / 2 - self.credit).max(0);
        self.credit += given;
        self.level += given;
        self.credited_at = clock;
        self.note(clock);
    }

    fn empty(&mut self, clock: Instant) {
        self.level = self.level.min(0);
        self.roomy_at = clock;
    }

    fn note(&mut self, at: Instant) {
        if self.level > self.depth / 2 {
            self.roomy_at = at;
        }
    }
}

fn tokens(cost: usize) -> i128 {
    // 2⁶³ tokens of 2⁶⁶ parts would not fit; nothing is near that large.
    i128::try_from(cost).unwrap_or(i128::MAX).saturating_mul(TOKEN)
}

#[cfg(test)]
#[path = "tests/limiter.rs"]
mod tests;

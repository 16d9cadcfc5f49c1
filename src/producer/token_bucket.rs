//! The token bucket of one shard, for records and for bytes, and the factor by which throttles lower its rate. Pure.
//!
//! A bucket is stored as the time at which it is full again, as in the generic cell rate algorithm (GCRA): a record moves
//! that time on by what it costs at the current rate, and may be sent once the bucket holds that amount. The factor follows
//! AIMD: each throttle multiplies it, time adds to it.
//!
//! Invariant: in no window do the slots of a shard hold more than rate × window + depth, of records or of bytes. A factor
//! below 1 only raises the cost of a record.

use std::time::Duration;
use tokio::time::Instant;

/// Throttles within this time count once, as they come from calls that were sent together.
const THROTTLE_WINDOW: Duration = Duration::from_millis(100);
const DECREASE: f64 = 0.7;
const INCREASE_PER_SECOND: f64 = 0.05;
const MIN_FACTOR: f64 = 0.05;

/// The limits of one shard, per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    records: u64,
    bytes: u64,
    max_record_size: u64,
}

impl Rates {
    /// A rate of 0 is taken as 1.
    pub(super) fn new(records: u32, bytes: u32, max_record_size: usize) -> Self {
        let (records, bytes) = (records.max(1).into(), bytes.max(1).into());
        Self { records, bytes, max_record_size: max_record_size as u64 }
    }

    /// Of several shards together.
    pub(super) fn times(self, shards: u32) -> Self {
        let times = |rate: u64| rate.saturating_mul(shards.max(1).into());
        Self { records: times(self.records), bytes: times(self.bytes), ..self }
    }
}

/// What may be sent in one burst: nine tenths of what the service allows in a second. Calls arrive less evenly than they are
/// sent, so with the same bucket size as the service, a call that arrives a little early would be throttled.
const fn depth(per_second: u64) -> u64 {
    per_second - per_second / 10
}

/// The time in which so much flows, rounded up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and exact for all but very large numbers"
)]
fn time_for(amount: u64, per_second: u64, factor: f64) -> Duration {
    let nanos = amount as f64 * 1e9 / (per_second as f64 * factor);
    Duration::from_nanos(nanos.ceil() as u64)
}

/// The records that wait for a token.
#[derive(Debug, Default)]
pub(super) struct Queued {
    records: usize,
    bytes: usize,
}

impl Queued {
    pub(super) const fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub(super) const fn remove(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) queued: Queued,
    factor: Factor,
    /// The last slot; it may be in the future. Slots never run backwards.
    last_slot: Instant,
    records: Meter,
    bytes: Meter,
}

impl Bucket {
    pub(super) fn full(rates: Rates, now: Instant) -> Self {
        let each = time_for(1, rates.records, 1.0);
        // A multiple of the rounded cost, so that just as many records fit.
        let record_burst = each.saturating_mul(u32::try_from(depth(rates.records)).unwrap_or(u32::MAX));
        // The largest record always fits, as it could never be sent otherwise.
        let byte_burst = time_for(depth(rates.bytes).max(rates.max_record_size), rates.bytes, 1.0);
        Self {
            queued: Queued::default(),
            factor: Factor::new(now),
            last_slot: now,
            records: Meter::full(rates.records, record_burst, now),
            bytes: Meter::full(rates.bytes, byte_burst, now),
        }
    }

    /// The part of the rate that is in use.
    pub(super) const fn factor(&self) -> Factor {
        self.factor
    }

    /// When a record that is queued now can expect its slot.
    pub(super) fn expected(&self, bytes: usize, now: Instant) -> Instant {
        self.earliest_behind(&self.queued, bytes, now)
    }

    /// The earliest slot of a record, not before `now`.
    pub(super) fn earliest(&self, bytes: usize, now: Instant) -> Instant {
        self.earliest_behind(&Queued::default(), bytes, now)
    }

    /// Takes the slot that [`Bucket::earliest`] returned.
    pub(super) fn take(&mut self, bytes: usize, slot: Instant) {
        let factor = self.factor.at(self.last_slot.max(slot));
        self.records.take(1, factor, slot);
        self.bytes.take(bytes, factor, slot);
        self.last_slot = slot;
    }

    /// Gives back a slot that is not used.
    pub(super) fn refund(&mut self, bytes: usize, slot: Instant) {
        self.records.refund(1, slot, self.last_slot);
        self.bytes.refund(bytes, slot, self.last_slot);
    }

    /// Lowers the rate and empties the bucket. Slots that were given stay valid, but later ones come after the time that
    /// these would have taken at the lower rate.
    pub(super) fn throttled(&mut self, now: Instant) {
        let before = self.factor.at(now);
        if !self.factor.decrease(now) {
            return;
        }
        let given = self.last_slot.saturating_duration_since(now);
        let slot = now + given.mul_f64(before / self.factor.at(now));
        self.records.empty(self.last_slot, slot);
        self.bytes.empty(self.last_slot, slot);
        self.last_slot = slot;
    }

    fn earliest_behind(&self, queued: &Queued, bytes: usize, now: Instant) -> Instant {
        let from = now.max(self.last_slot);
        let factor = self.factor.at(from);
        let records = self.records.earliest(queued.records, 1, factor, from);
        records.max(self.bytes.earliest(queued.bytes, bytes, factor, from))
    }
}

/// The tokens of one kind: records or bytes.
#[derive(Debug)]
struct Meter {
    per_second: u64,
    /// The time in which an empty bucket becomes full.
    burst: Duration,
    /// When the bucket is full again if nothing more is taken.
    full_at: Instant,
    /// Only later slots are refunded. Since then the bucket was never more than half full, so it lost no tokens that a
    /// refund would bring back.
    refundable_after: Instant,
    /// What was refunded for slots between `refundable_after` and `refunded_at`: at most half of the bucket, so that without
    /// these slots it would not have been full either.
    refunded: Duration,
    refunded_at: Instant,
}

impl Meter {
    const fn full(per_second: u64, burst: Duration, now: Instant) -> Self {
        Self { per_second, burst, full_at: now, refundable_after: now, refunded: Duration::ZERO, refunded_at: now }
    }

    /// When the bucket holds `amount` after others took `queued`. What is larger than the bucket may be taken from a full
    /// one.
    fn earliest(&self, queued: usize, amount: usize, factor: f64, from: Instant) -> Instant {
        let before = self.time_for(queued, factor);
        let cost = self.time_for(queued + amount, factor).min(before + self.burst);
        (self.full_at.max(from) + cost).checked_sub(self.burst).map_or(from, |at| at.max(from))
    }

    fn time_for(&self, amount: usize, factor: f64) -> Duration {
        time_for(amount as u64, self.per_second, factor)
    }

    fn take(&mut self, amount: usize, factor: f64, slot: Instant) {
        self.note_fill(slot);
        self.full_at = self.full_at.max(slot) + self.time_for(amount, factor);
    }

    /// Gives back what the amount costs at the full rate, which is never more than what was taken.
    fn refund(&mut self, amount: usize, slot: Instant, last_slot: Instant) {
        if slot <= self.refundable_after {
            return;
        }
        if slot >= self.refunded_at {
            // A new period with its own half; what was refunded in the earlier one is no longer counted, so it is closed.
            self.refunded = Duration::ZERO;
            self.refundable_after = self.refundable_after.max(self.refunded_at);
        }
        let left = (self.burst / 2).saturating_sub(self.refunded);
        let refund = self.time_for(amount, 1.0).min(left);
        self.refunded += refund;
        self.refunded_at = last_slot;
        self.full_at = self.full_at.checked_sub(refund).unwrap_or(last_slot);
        self.note_fill(last_slot);
    }

    /// Takes all tokens; what was owed beyond them stays owed.
    fn empty(&mut self, last_slot: Instant, slot: Instant) {
        let owed = self.full_at.saturating_duration_since(last_slot);
        self.full_at = slot + owed.max(self.burst);
        self.refundable_after = slot;
    }

    fn note_fill(&mut self, at: Instant) {
        if self.full_at.saturating_duration_since(at) < self.burst / 2 {
            self.refundable_after = at;
        }
    }
}

/// The part of the rate that is in use, 0.05 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor {
    value: f64,
    as_of: Instant,
    decreased_at: Option<Instant>,
}

impl Factor {
    pub(super) const fn new(now: Instant) -> Self {
        Self { value: 1.0, as_of: now, decreased_at: None }
    }

    pub(super) fn at(&self, moment: Instant) -> f64 {
        let passed = moment.saturating_duration_since(self.as_of).as_secs_f64();
        passed.mul_add(INCREASE_PER_SECOND, self.value).min(1.0)
    }

    /// False for a throttle that counts as one with the last.
    fn decrease(&mut self, now: Instant) -> bool {
        if self.decreased_at.is_some_and(|last| now < last + THROTTLE_WINDOW) {
            return false;
        }
        self.value = (self.at(now) * DECREASE).max(MIN_FACTOR);
        (self.as_of, self.decreased_at) = (now, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decrease_recovers_at_five_percent_a_second_and_never_goes_below_the_minimum() {
        let begun = Instant::now();
        let mut factor = Factor::new(begun);
        assert!(factor.decrease(begun));
        assert!(!factor.decrease(begun + Duration::from_millis(99)), "the same throttle");
        let close = |at: Duration, expected: f64| (factor.at(begun + at) - expected).abs() < 1e-9;
        assert!(close(Duration::ZERO, 0.7) && close(Duration::from_secs(2), 0.8) && close(Duration::from_secs(9), 1.0));
        for step in 1..100 {
            assert!(factor.decrease(begun + THROTTLE_WINDOW * step));
        }
        let last = begun + THROTTLE_WINDOW * 99;
        assert!((0.05..0.06).contains(&factor.at(last)), "{}", factor.at(last));
    }
}

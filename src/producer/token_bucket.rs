//! The token bucket of one shard: one meter of records and one of bytes, with a factor that throttles lower and time
//! raises again. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// What one token is made of: [`Pace`] counts twice the nanoseconds, each in parts of [`Pace::FULL`].
const TOKEN: i128 = 2 * Pace::FULL as i128 * 1_000_000_000;

/// Per second, and the depths of the buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
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
    pub(super) fn new(records: u32, bytes: u32, max_record_size: usize) -> Self {
        let (records, bytes) = (u64::from(records.max(1)), u64::from(bytes.max(1)));
        let byte_depth = depth(bytes).max(max_record_size as u64);
        Self { records, record_depth: depth(records), bytes, byte_depth }
    }

    pub(super) fn times(self, shards: u32) -> Self {
        let many = |number: u64| number.saturating_mul(u64::from(shards.max(1)));
        let (records, bytes) = (many(self.records), many(self.bytes));
        Self { records, record_depth: depth(records), bytes, byte_depth: depth(bytes).max(self.byte_depth) }
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    pace: Pace,
    /// The last slot, or the first moment; the meters are as of then.
    clock: Instant,
    records: Meter,
    bytes: Meter,
    pub(super) queued: Queued,
}

impl Bucket {
    pub(super) fn full(rates: Rates, now: Instant) -> Self {
        let records = Meter::full(rates.records, rates.record_depth, now);
        let bytes = Meter::full(rates.bytes, rates.byte_depth, now);
        Self { pace: Pace::whole(now), clock: now, records, bytes, queued: Queued::default() }
    }

    /// When the slot of a record should come that joins the line.
    pub(super) fn expected(&self, bytes: usize, now: Instant) -> Instant {
        let from = now.max(self.clock);
        let flow = self.pace.flow(self.clock, from);
        let records = self.records.missing_behind(self.queued.records, 1, flow);
        from + self.pace.time_for(from, records.max(self.bytes.missing_behind(self.queued.bytes, bytes, flow)))
    }

    pub(super) fn earliest(&self, bytes: usize, now: Instant) -> Instant {
        let from = now.max(self.clock);
        let flow = self.pace.flow(self.clock, from);
        let missing = self.records.missing(1, flow).max(self.bytes.missing(bytes, flow));
        from + self.pace.time_for(from, missing)
    }

    pub(super) fn take(&mut self, bytes: usize, at: Instant) {
        let flow = self.pace.flow(self.clock, at);
        self.records.take(1, flow, at);
        self.bytes.take(bytes, flow, at);
        self.clock = at;
    }

    pub(super) fn refund(&mut self, bytes: usize, slot: Instant) {
        self.records.give_back(1, slot, self.clock);
        self.bytes.give_back(bytes, slot, self.clock);
    }

    /// What was promised ahead of `now` stays promised, but costs the time it takes at the lower rate; what was saved
    /// for bursts is gone.
    pub(super) fn factor(&self, now: Instant) -> f64 {
        self.pace.share(now)
    }

    pub(super) fn throttled(&mut self, now: Instant) {
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

/// A throttle of the same flush counts once.
const ONE_FLUSH: Duration = Duration::from_millis(100);

/// A factor that rises steadily after each cut, from the floor to the whole in 19 s (5 % of the whole a second).
#[derive(Debug)]
struct Pace {
    /// In parts of [`Pace::FULL`].
    factor: u64,
    as_of: Instant,
    cut_at: Option<Instant>,
}

impl Pace {
    /// The whole: as many parts as nanoseconds lie in 20 s, so that the factor rises by one part a nanosecond.
    const FULL: u64 = 20_000_000_000;
    const FLOOR: u64 = Self::FULL / 20;

    /// The whole rate.
    const fn whole(now: Instant) -> Self {
        Self { factor: Self::FULL, as_of: now, cut_at: None }
    }

    /// The part in use at a moment, 0.05 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share for a gauge")]
    fn share(&self, at: Instant) -> f64 {
        self.at(at) as f64 / Self::FULL as f64
    }

    /// What flows at a rate of one between two moments: twice the nanoseconds, each counted in parts of the whole.
    /// Twice, because a triangle is half a square.
    fn flow(&self, from: Instant, to: Instant) -> u128 {
        let time = to.saturating_duration_since(from).as_nanos();
        let factor = u128::from(self.at(from));
        let rising = time.min(u128::from(Self::FULL) - factor);
        rising * (2 * factor + rising) + (time - rising) * 2 * u128::from(Self::FULL)
    }

    /// How long it takes, from a moment on, until so much has flown; the inverse of [`Pace::flow`], rounded up.
    fn time_for(&self, from: Instant, flow: u128) -> Duration {
        let (factor, full) = (u128::from(self.at(from)), u128::from(Self::FULL));
        let rising = full - factor;
        let while_rising = rising * (2 * factor + rising);
        let nanos = if flow >= while_rising {
            rising + (flow - while_rising).div_ceil(2 * full)
        } else {
            // time² + 2 × factor × time = flow
            let square = factor * factor + flow;
            let root = square.isqrt();
            let root = if root * root < square { root + 1 } else { root };
            root - factor
        };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Cuts the rate to 70 %, not below the floor; whether it did, since cuts of one flush count once.
    fn cut(&mut self, now: Instant) -> bool {
        if self.cut_at.is_some_and(|last| now < last + ONE_FLUSH) {
            return false;
        }
        self.factor = (self.at(now) / 10 * 7).max(Self::FLOOR);
        (self.as_of, self.cut_at) = (now, Some(now));
        true
    }

    fn at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.as_of).as_nanos();
        self.factor.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)).min(Self::FULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_heals_at_five_percent_a_second_and_never_goes_below_the_floor() {
        let begun = Instant::now();
        let mut pace = Pace::whole(begun);
        assert!(pace.cut(begun));
        assert!(!pace.cut(begun + Duration::from_millis(99)), "the same flush");
        let close = |at: Duration, expected: f64| (pace.share(begun + at) - expected).abs() < 1e-9;
        assert!(close(Duration::ZERO, 0.7) && close(Duration::from_secs(2), 0.8) && close(Duration::from_secs(9), 1.0));
        for step in 1..100 {
            assert!(pace.cut(begun + ONE_FLUSH * step));
        }
        let last = begun + ONE_FLUSH * 99;
        assert!((0.05..0.06).contains(&pace.share(last)), "{}", pace.share(last));
    }

    proptest! {
        #[test]
        fn the_time_for_a_flow_is_the_least_that_brings_it(cuts in 0_u32..20, wait in 0_u64..30_000, flow in 0_u128..1 << 80) {
            let begun = Instant::now();
            let mut pace = Pace::whole(begun);
            for cut in 0..cuts {
                prop_assert!(pace.cut(begun + ONE_FLUSH * cut));
            }
            let from = begun + ONE_FLUSH * cuts + Duration::from_millis(wait);
            let time = pace.time_for(from, flow);
            prop_assert!(pace.flow(from, from + time) >= flow);
            if let Some(less) = time.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(pace.flow(from, from + less) < flow);
            }
        }

        #[test]
        fn flows_add_up(cuts in 0_u32..20, first in 0_u64..40_000_000_000, second in 0_u64..40_000_000_000) {
            let begun = Instant::now();
            let mut pace = Pace::whole(begun);
            for cut in 0..cuts {
                prop_assert!(pace.cut(begun + ONE_FLUSH * cut));
            }
            let from = begun + ONE_FLUSH * cuts;
            let middle = from + Duration::from_nanos(first);
            let end = middle + Duration::from_nanos(second);
            prop_assert_eq!(pace.flow(from, middle) + pace.flow(middle, end), pace.flow(from, end));
        }
    }
}

//! What one call takes along. Pure.

use super::settings::{Batching, MOST_BYTES, MOST_RECORDS, Ordering};
use crate::domain::ShardId;
use std::collections::HashMap;

/// As much for one shard closes a batch, so that a busy shard is not hit by bursts (the Kinesis Producer Library's
/// collector does the same).
pub(super) const MOST_OF_SHARD: usize = 256 << 10;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Limits {
    /// As set, within what AWS takes. A strict order needs `PutRecord`, which takes one.
    pub(super) fn of(batching: Batching, ordering: Ordering) -> Self {
        let is_shared = batching.is_enabled && ordering != Ordering::Strict;
        let records = if is_shared { batching.max_records.clamp(1, MOST_RECORDS) } else { 1 };
        Self { records, bytes: batching.max_bytes.min(MOST_BYTES) }
    }
}

/// A batch on its way to be full.
#[derive(Debug)]
pub(super) struct Filling {
    limits: Limits,
    records: usize,
    bytes: usize,
    shards: HashMap<ShardId, usize>,
    is_closed: bool,
}

impl Filling {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, records: 0, bytes: 0, shards: HashMap::new(), is_closed: false }
    }

    /// Whether one more record has room. The first always has: it goes alone if it is that large.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.records == 0 || (!self.is_full() && self.grows(bytes))
    }

    /// Whether a record that is already in may become so much larger.
    pub(super) fn grows(&self, bytes: usize) -> bool {
        !self.is_closed && self.bytes.saturating_add(bytes) <= self.limits.bytes
    }

    /// Adds a record.
    pub(super) fn add(&mut self, bytes: usize, shard: Option<&ShardId>) {
        self.records += 1;
        self.grow(bytes, shard);
    }

    /// Makes a record that is already in larger.
    pub(super) fn grow(&mut self, bytes: usize, shard: Option<&ShardId>) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(shard) = shard {
            let of_shard = match self.shards.get_mut(shard) {
                Some(of_shard) => of_shard,
                None => self.shards.entry(shard.clone()).or_default(),
            };
            *of_shard = of_shard.saturating_add(bytes);
            self.is_closed |= *of_shard >= MOST_OF_SHARD;
        }
    }

    /// No more records.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether nothing more may be added.
    pub(super) const fn is_full(&self) -> bool {
        self.is_closed || self.records >= self.limits.records || self.bytes >= self.limits.bytes
    }

    /// What it would weigh.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_batching_a_call_takes_one_record() {
        let limits = Limits::of(Batching { is_enabled: false, ..Batching::default() }, Ordering::None);
        let mut filling = Filling::new(limits);
        filling.add(1, None);
        assert!(!filling.takes(1));
    }

    #[test]
    fn as_much_for_one_shard_closes_the_batch() {
        let shard = ShardId::new("s");
        let mut filling = Filling::new(Limits::of(Batching::default(), Ordering::None));
        filling.add(MOST_OF_SHARD - 1, Some(&shard));
        assert!(filling.takes(10));
        filling.add(10, Some(&shard));
        assert!(!filling.takes(1));
    }

    proptest! {
        #[test]
        fn a_batch_never_breaks_a_limit(
            sizes in prop::collection::vec((1_usize..3_000_000, 0_u8..3), 1..800),
            records in 1_usize..600,
            bytes in 1_usize..12_000_000,
        ) {
            let batching = Batching { max_records: records, max_bytes: bytes, ..Batching::default() };
            let limits = Limits::of(batching, Ordering::None);
            let mut filling = Filling::new(limits);
            let (mut count, mut sum) = (0, 0);
            for (size, shard) in sizes {
                if !filling.takes(size) {
                    break;
                }
                filling.add(size, Some(&ShardId::new(shard.to_string())));
                (count, sum) = (count + 1, sum + size);
            }
            prop_assert!(count >= 1 && count <= records.min(500));
            prop_assert!(count == 1 || sum <= bytes.min(10 << 20));
            prop_assert_eq!(sum, filling.bytes());
        }
    }
}

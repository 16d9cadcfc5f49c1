//! The shard of a partition key, and the rate limit of a shard.

use super::faults::ShardRate;
use md5::{Digest, Md5};
use tokio::time::Instant;

pub(super) fn id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}

/// The hash key of a partition key: its MD5, read as a number (API reference, `PutRecord`).
pub(super) fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// How many hash keys each of `count` shards has; the last one has the remainder too.
fn width(count: usize) -> u128 {
    u128::MAX / (count.max(1) as u128) + u128::from(count.is_power_of_two())
}

/// The shard of a hash key among `count` equal ones.
pub(super) fn index_of(hash_key: u128, count: usize) -> usize {
    if count <= 1 {
        return 0;
    }
    usize::try_from(hash_key / width(count)).map_or(count - 1, |shard| shard.min(count - 1))
}

/// First and last hash key of a shard.
pub(super) fn range(shard: usize, count: usize) -> (u128, u128) {
    if count <= 1 {
        return (0, u128::MAX);
    }
    let first = width(count) * shard as u128;
    let last = if shard + 1 == count { u128::MAX } else { first + width(count) - 1 };
    (first, last)
}

/// The rate limit of one shard: tokens for records and bytes, at most those of one second.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenBucket {
    records: f64,
    bytes: f64,
    filled_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes the tokens of a record of `size` bytes, if there are enough at `now`.
    pub(super) fn try_take(&mut self, rate: ShardRate, size: usize, now: Instant) -> bool {
        let (max_records, max_bytes) = (f64::from(rate.records), f64::from(rate.bytes));
        let elapsed = self.filled_at.map_or(1.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.filled_at = Some(now);
        self.records = elapsed.mul_add(max_records, self.records).min(max_records);
        self.bytes = elapsed.mul_add(max_bytes, self.bytes).min(max_bytes);
        let size = u32::try_from(size).map_or(f64::MAX, f64::from);
        let is_allowed = self.records >= 1.0 && self.bytes >= size;
        if is_allowed {
            self.records -= 1.0;
            self.bytes -= size;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shards_cover_every_hash_key_once() {
        for count in [1, 2, 3, 7, 16, 500] {
            let mut next = 0_u128;
            for shard in 0..count {
                let (first, last) = range(shard, count);
                assert_eq!(first, next, "shard {shard} of {count}");
                assert_eq!((index_of(first, count), index_of(last, count)), (shard, shard), "shard {shard} of {count}");
                next = last.wrapping_add(1);
            }
            assert_eq!(next, 0, "{count} shards end at the last hash key");
        }
    }

    #[test]
    fn a_hash_key_is_the_md5() {
        assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_accepts_its_rate_and_no_more() {
        let (rate, mut bucket) = (ShardRate { records: 10, bytes: 1_000 }, TokenBucket::default());
        let mut taken = |size| (0..100).filter(|_| bucket.try_take(rate, size, Instant::now())).count();
        assert_eq!(taken(10), 10, "records");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(taken(300), 3, "bytes");
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(taken(100), 4, "the rest, and the tokens of 300 ms");
    }
}

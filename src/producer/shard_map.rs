//! Which shard a record belongs to by the last listing of the shards. Pure.

use crate::domain::{HashKeyRange, NewRecord, Shard, ShardId};
use md5::{Digest, Md5};
use std::collections::HashMap;

/// By shard. With a fast hash function, as each record looks up its shard several times and AWS chooses the ids.
pub(super) type ByShard<V> = HashMap<ShardId, V, foldhash::fast::RandomState>;

/// The open shards of a stream by the hash keys they cover. May be out of date: only a receipt is certain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ShardMap {
    /// By the first hash key; ranges of open shards do not overlap.
    ranges: Vec<(HashKeyRange, ShardId)>,
    indexes: ByShard<usize>,
}

impl ShardMap {
    /// The open shards of a listing, those without a hash range left out.
    pub(super) fn from_listing(shards: &[Shard]) -> Self {
        let open = shards.iter().filter(|shard| shard.is_open);
        let mut ranges: Vec<_> = open.filter_map(|shard| Some((shard.hash_range?, shard.id.clone()))).collect();
        ranges.sort_by_key(|(range, _)| range.start);
        let indexes = ranges.iter().enumerate().map(|(index, (_, id))| (id.clone(), index)).collect();
        Self { ranges, indexes }
    }

    /// The shard that covers a hash key, if one is known.
    pub(super) fn shard_of(&self, hash: u128) -> Option<&ShardId> {
        let after = self.ranges.partition_point(|(range, _)| range.start <= hash);
        let (range, id) = self.ranges.get(after.checked_sub(1)?)?;
        (hash <= range.end).then_some(id)
    }

    pub(super) fn range_of(&self, shard: &ShardId) -> Option<HashKeyRange> {
        self.ranges.get(*self.indexes.get(shard)?).map(|(range, _)| *range)
    }

    /// By the first hash key.
    pub(super) fn ranges(&self) -> &[(HashKeyRange, ShardId)] {
        &self.ranges
    }

    /// In the order of their hash keys.
    pub(super) fn shards(&self) -> impl Iterator<Item = &ShardId> {
        self.ranges.iter().map(|(_, id)| id)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// The hash key of a record: its explicit one, else the MD5 of its partition key as a number, most significant byte
/// first (AWS, `PutRecord.PartitionKey` and `ExplicitHashKey`). `None` without both: the stream chooses.
#[must_use]
pub fn hash_key(record: &NewRecord) -> Option<u128> {
    record.explicit_hash_key.or_else(|| {
        let key = record.partition_key.as_ref()?;
        Some(u128::from_be_bytes(Md5::digest(key.as_str()).into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn shard(number: usize, start: u128, end: u128) -> Shard {
        let id = ShardId::new(format!("shardId-{number:012}"));
        Shard { id, parents: Vec::new(), hash_range: Some(HashKeyRange { start, end }), is_open: true }
    }

    fn keyed(key: &str) -> NewRecord {
        NewRecord { data: Bytes::new(), partition_key: Some(key.parse().unwrap()), explicit_hash_key: None }
    }

    #[test]
    fn the_hash_of_a_key_is_its_md5_read_as_a_number() {
        // The test suite of RFC 1321, appendix A.5.
        for (key, md5) in [
            ("a", 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661_u128),
            ("abc", 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72),
            ("message digest", 0xf96b_697d_7cb7_938d_525a_2f31_aaf1_61d0),
        ] {
            assert_eq!(hash_key(&keyed(key)), Some(md5), "{key}");
        }
    }

    #[test]
    fn an_explicit_hash_key_goes_before_the_partition_key() {
        assert_eq!(hash_key(&NewRecord { explicit_hash_key: Some(7), ..keyed("a") }), Some(7));
        assert_eq!(hash_key(&NewRecord { partition_key: None, ..keyed("a") }), None);
    }

    #[test]
    fn a_key_leads_to_the_shard_that_aws_would_choose() {
        let half = 1_u128 << 127;
        let map = ShardMap::from_listing(&[shard(1, half, u128::MAX), shard(0, 0, half - 1)]);
        // 0x0cc1… lies in the lower half, 0x9001… in the upper one.
        for (key, expected) in [("a", "shardId-000000000000"), ("abc", "shardId-000000000001")] {
            let found = hash_key(&keyed(key)).and_then(|hash| map.shard_of(hash));
            assert_eq!(found.map(ShardId::as_str), Some(expected), "{key}");
        }
        assert_eq!(map.shard_of(half - 1).map(ShardId::as_str), Some("shardId-000000000000"));
        assert_eq!(map.shard_of(half).map(ShardId::as_str), Some("shardId-000000000001"));
    }

    #[test]
    fn closed_shards_and_those_without_a_range_are_left_out() {
        let closed = Shard { is_open: false, ..shard(0, 0, u128::MAX) };
        let unknown = Shard { hash_range: None, ..shard(1, 0, 0) };
        let map = ShardMap::from_listing(&[closed, unknown, shard(2, 10, 20)]);
        assert_eq!(map.shards().map(ShardId::as_str).collect::<Vec<_>>(), ["shardId-000000000002"]);
        assert_eq!((map.shard_of(9), map.shard_of(21)), (None, None));
        assert!(!map.is_empty() && ShardMap::default().is_empty());
        assert_eq!(ShardMap::default().shard_of(0), None);
    }

    proptest! {
        #[test]
        fn in_a_covering_map_every_hash_has_exactly_one_shard(
            cuts in prop::collection::btree_set(1_u128.., 0..40), hashes in prop::collection::vec(any::<u128>(), 1..40)
        ) {
            let starts: Vec<u128> = std::iter::once(0).chain(cuts.iter().copied()).collect();
            let ends = cuts.iter().map(|cut| cut - 1).chain(std::iter::once(u128::MAX));
            let mut shards: Vec<Shard> =
                starts.iter().zip(ends).enumerate().map(|(number, (start, end))| shard(number, *start, end)).collect();
            shards.reverse();
            let map = ShardMap::from_listing(&shards);
            prop_assert_eq!(map.shards().count(), shards.len());
            for hash in hashes.into_iter().chain(starts) {
                let covers = |id: &&ShardId| map.range_of(id).is_some_and(|r| (r.start..=r.end).contains(&hash));
                let all: Vec<&ShardId> = map.shards().filter(covers).collect();
                prop_assert_eq!(all.len(), 1);
                prop_assert_eq!(map.shard_of(hash), Some(all[0]));
            }
        }
    }
}

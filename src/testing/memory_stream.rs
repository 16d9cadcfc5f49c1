//! A stream in memory. Its shards can be split, merged, trimmed and expired.

use crate::domain::{
    HashKeyRange, Record, RecordDistribution, RecordPosition, SequenceNumber, Shard, ShardId, ShardListing,
    StreamIdentity, Timestamp,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The start of the stream's clock, in milliseconds since the Unix epoch.
const CLOCK_START: i64 = 1_700_000_000_000;

/// Where a record was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub shard: ShardId,
    pub position: RecordPosition,
}

#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) shard: Shard,
    pub(super) records: Vec<Record>,
    pub(super) children: Vec<ShardId>,
    /// The sequence numbers of the shard are between these, both included.
    pub(super) first: u128,
    pub(super) last: Option<u128>,
    /// Records up to here were trimmed.
    pub(super) trimmed: u128,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) shards: Vec<ShardState>,
    pub(super) next_number: u128,
    next_shard: u64,
    pub(super) exists: bool,
    pub(super) retention: Option<Duration>,
    pub(super) distribution: RecordDistribution,
    created: Timestamp,
    begun: Instant,
}

/// Clones share the stream. Each reader creates its ports with [`MemoryStream::ports`].
#[derive(Debug, Clone)]
pub struct MemoryStream {
    // A lock and not an owner task, because tests change the stream from synchronous code too.
    state: Arc<Mutex<Stream>>,
}

impl MemoryStream {
    /// A stream whose open shards (at least one) share the hash keys evenly.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let created = Timestamp::from_millis(CLOCK_START);
        let mut stream = Stream {
            shards: Vec::new(),
            next_number: 10_u128.pow(20),
            next_shard: 0,
            exists: true,
            retention: None,
            distribution: RecordDistribution::default(),
            created,
            begun: Instant::now(),
        };
        stream.open_evenly(shards);
        Self { state: Arc::new(Mutex::new(stream)) }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Stream) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a record into the open shard of its key; `None` if there is none.
    #[must_use]
    pub fn put(&self, key: &str, data: impl Into<Bytes>) -> Option<Put> {
        self.with(|stream| stream.put(key, data.into()))
    }

    #[must_use]
    pub fn open_shards(&self) -> Vec<ShardId> {
        self.with(|stream| {
            stream.shards.iter().filter(|state| state.shard.is_open).map(|state| state.shard.id.clone()).collect()
        })
    }

    /// The stream's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.with(|stream| stream.now())
    }

    /// The open shard of a key.
    #[must_use]
    pub fn shard_of(&self, key: &str) -> Option<ShardId> {
        self.with(|stream| stream.open_shard(hash_key(key)).map(|index| stream.shards[index].shard.id.clone()))
    }

    /// How many records of a shard can still be read.
    #[must_use]
    pub fn record_count(&self, shard: &ShardId) -> usize {
        self.with(|stream| stream.shard(shard).map_or(0, |state| state.records.len()))
    }

    /// Splits an open shard in the middle and returns its children; `None` if it is not open.
    pub fn split(&self, shard: &ShardId) -> Option<[ShardId; 2]> {
        self.with(|stream| stream.split(shard))
    }

    /// Merges two adjacent open shards and returns the child; `None` if they are not adjacent or not open.
    pub fn merge(&self, left: &ShardId, right: &ShardId) -> Option<ShardId> {
        self.with(|stream| stream.merge(left, right))
    }

    /// Puts one Kinesis record with several user records, as the KPL does, into the open shard of the first key. Returns
    /// where each of them is; none if there is no such shard.
    #[must_use]
    pub fn put_aggregate(&self, records: Vec<(String, Bytes)>) -> Vec<Put> {
        self.with(|stream| stream.put_aggregate(records))
    }

    /// How long the stream reports to keep its records; not known at first. Records are trimmed only by
    /// [`MemoryStream::trim`].
    pub fn set_retention(&self, retention: Duration) {
        self.with(|stream| stream.retention = Some(retention));
    }

    /// Drops the oldest records of a shard, as when they age out, and returns their positions. Records of one aggregate age
    /// out together.
    pub fn trim(&self, shard: &ShardId, count: usize) -> Vec<RecordPosition> {
        self.with(|stream| stream.shard_mut(shard).map(|state| state.trim(count)).unwrap_or_default())
    }

    /// What the stream says of itself; records are still put by their keys.
    pub fn set_distribution(&self, distribution: RecordDistribution) {
        self.with(|stream| stream.distribution = distribution);
    }

    /// Removes a shard, as when a closed one ages out.
    pub fn expire(&self, shard: &ShardId) {
        self.with(|stream| stream.shards.retain(|state| state.shard.id != *shard));
    }

    /// Deletes the stream and creates another of the same name. Shard ids repeat, sequence numbers do not.
    pub fn recreate(&self, shards: u32) {
        self.with(|stream| {
            stream.exists = true;
            stream.created = stream.now();
            stream.shards.clear();
            stream.next_shard = 0;
            stream.next_number += 10_u128.pow(10);
            stream.open_evenly(shards);
        });
    }

    #[must_use]
    pub fn identity(&self) -> StreamIdentity {
        self.with(|stream| StreamIdentity { stream: "orders".into(), created: Some(stream.created) })
    }

    /// Deletes the stream; [`MemoryStream::recreate`] creates one of the same name.
    pub fn delete(&self) {
        self.with(|stream| {
            stream.exists = false;
            stream.shards.clear();
        });
    }

    #[must_use]
    pub fn listing(&self) -> ShardListing {
        self.with(|stream| ShardListing {
            shards: stream.shards.iter().map(|state| state.shard.clone()).collect(),
            listed_at: stream.now(),
        })
    }
}

impl Stream {
    pub(super) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX - CLOCK_START);
        Timestamp::from_millis(CLOCK_START + elapsed)
    }

    pub(super) fn shard(&self, shard: &ShardId) -> Option<&ShardState> {
        self.shards.iter().find(|state| state.shard.id == *shard)
    }

    fn shard_mut(&mut self, shard: &ShardId) -> Option<&mut ShardState> {
        self.shards.iter_mut().find(|state| state.shard.id == *shard)
    }

    fn number(&mut self) -> u128 {
        self.next_number += 1;
        self.next_number
    }

    fn open_evenly(&mut self, shards: u32) {
        let count = u128::from(shards.max(1));
        let width = u128::MAX / count;
        for index in 0..count {
            let end = if index + 1 == count { u128::MAX } else { width * (index + 1) - 1 };
            self.open(width * index, end, Vec::new());
        }
    }

    fn open(&mut self, start: u128, end: u128, parents: Vec<ShardId>) -> ShardId {
        let id = ShardId::new(format!("shardId-{:012}", self.next_shard));
        self.next_shard += 1;
        let first = self.number();
        let shard = Shard { id: id.clone(), parents, hash_range: Some(HashKeyRange { start, end }), is_open: true };
        self.shards.push(ShardState {
            shard,
            records: Vec::new(),
            children: Vec::new(),
            first,
            last: None,
            trimmed: 0,
        });
        id
    }

    fn close(&mut self, shard: &ShardId, children: &[ShardId]) {
        let last = self.number();
        if let Some(state) = self.shard_mut(shard) {
            state.shard.is_open = false;
            state.children = children.to_vec();
            state.last = Some(last);
        }
    }

    /// The index of the open shard of a hash key.
    fn open_shard(&self, hash: u128) -> Option<usize> {
        self.shards.iter().position(|state| {
            state.shard.is_open && state.shard.hash_range.is_some_and(|range| range.start <= hash && hash <= range.end)
        })
    }

    fn open_range(&self, shard: &ShardId) -> Option<HashKeyRange> {
        self.shard(shard).filter(|state| state.shard.is_open).and_then(|state| state.shard.hash_range)
    }

    fn split(&mut self, shard: &ShardId) -> Option<[ShardId; 2]> {
        let range = self.open_range(shard).filter(|range| range.start < range.end)?;
        let middle = range.start + (range.end - range.start) / 2;
        let left = self.open(range.start, middle, vec![shard.clone()]);
        let right = self.open(middle + 1, range.end, vec![shard.clone()]);
        let children = [left, right];
        self.close(shard, &children);
        Some(children)
    }

    fn merge(&mut self, left: &ShardId, right: &ShardId) -> Option<ShardId> {
        let (low, high) = (self.open_range(left)?, self.open_range(right)?);
        if low.end.checked_add(1) != Some(high.start) {
            return None;
        }
        let child = self.open(low.start, high.end, vec![left.clone(), right.clone()]);
        self.close(left, std::slice::from_ref(&child));
        self.close(right, std::slice::from_ref(&child));
        Some(child)
    }

    fn put(&mut self, key: &str, data: Bytes) -> Option<Put> {
        self.put_aggregate(vec![(key.to_owned(), data)]).pop()
    }

    fn put_aggregate(&mut self, records: Vec<(String, Bytes)>) -> Vec<Put> {
        let hash = records.first().map_or(0, |(key, _)| hash_key(key));
        let (number, arrival) = (self.number(), self.now());
        let sequence = number.to_string().parse::<SequenceNumber>().ok();
        let Some((sequence, shard)) = sequence.zip(self.open_shard(hash)) else { return Vec::new() };
        let state = &mut self.shards[shard];
        let mut puts = Vec::with_capacity(records.len());
        for (sub_sequence, (partition_key, data)) in (0..).zip(records) {
            let position = RecordPosition { sequence: sequence.clone(), sub_sequence };
            puts.push(Put { shard: state.shard.id.clone(), position: position.clone() });
            let arrival = Some(arrival);
            state.records.push(Record {
                position,
                partition_key,
                data,
                arrival,
                is_damaged_aggregate: false,
                is_filtered: false,
                decompressed: None,
            });
        }
        puts
    }
}

impl ShardState {
    fn trim(&mut self, count: usize) -> Vec<RecordPosition> {
        let mut end = count.min(self.records.len());
        let is_same =
            |end: usize| end > 0 && self.records[end - 1].position.sequence == self.records[end].position.sequence;
        while end < self.records.len() && is_same(end) {
            end += 1;
        }
        let trimmed: Vec<_> = self.records.drain(..end).map(|record| record.position).collect();
        if let Some(last) = trimmed.last() {
            self.trimmed = last.sequence.as_str().parse().unwrap_or(self.trimmed);
        }
        trimmed
    }
}

/// A hash of 128 bits. Kinesis uses MD5, but no test depends on that.
fn hash_key(key: &str) -> u128 {
    let hash = key.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    hash.rotate_left(64) ^ hash.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

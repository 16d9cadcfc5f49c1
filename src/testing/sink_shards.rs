//! The shards of a [`ModelSink`](super::ModelSink), and the records in them.

use super::SinkSettings;
use super::sink_faults::{Effect, EntryFate, SinkFaults, internal, refused, throttled};
use crate::domain::{BindingError, HashKeyRange, NewRecord, Receipt, SequenceNumber, Shard, ShardId};
use md5::{Digest, Md5};
use tokio::time::Instant;

/// The first sequence number; it has as many digits as those of the service.
const FIRST_NUMBER: u128 = 10_u128.pow(37);
const MAX_OPEN: usize = 8;

/// A record as the stream holds it.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    pub shard: ShardId,
    pub sequence: SequenceNumber,
    pub record: NewRecord,
    pub at: Instant,
    /// Whether the sender got the receipt.
    pub is_confirmed: bool,
}

#[derive(Debug)]
pub(super) struct SinkShards {
    shards: Vec<ModelShard>,
    next_number: u128,
    records_per_second: f64,
    bytes_per_second: f64,
    byte_depth: f64,
    pub(super) stored: Vec<StoredRecord>,
}

#[derive(Debug)]
struct ModelShard {
    shard: Shard,
    range: HashKeyRange,
    records: f64,
    bytes: f64,
    as_of: Instant,
}

impl SinkShards {
    pub(super) fn new(settings: &SinkSettings) -> Self {
        let bytes_per_second = f64::from(settings.bytes_per_second);
        let largest = u32::try_from(settings.max_record_size).unwrap_or(u32::MAX);
        let mut shards = Self {
            shards: Vec::new(),
            next_number: FIRST_NUMBER,
            records_per_second: f64::from(settings.records_per_second),
            bytes_per_second,
            byte_depth: bytes_per_second.max(f64::from(largest)),
            stored: Vec::new(),
        };
        let count = u128::from(settings.shards.max(1));
        let width = u128::MAX / count;
        for index in 0..count {
            let end = if index + 1 == count { u128::MAX } else { width * (index + 1) - 1 };
            shards.open(HashKeyRange { start: width * index, end }, Vec::new());
        }
        shards
    }

    pub(super) fn all(&self) -> Vec<Shard> {
        self.shards.iter().map(|shard_state| shard_state.shard.clone()).collect()
    }

    pub(super) fn has_issued(&self, number: &SequenceNumber) -> bool {
        number.as_str().parse::<u128>().is_ok_and(|number| (FIRST_NUMBER..self.next_number).contains(&number))
    }

    /// One entry of a call.
    pub(super) fn put(
        &mut self,
        record: &NewRecord,
        faults: SinkFaults,
        random: &mut fastrand::Rng,
    ) -> Result<Receipt, BindingError> {
        let fate = faults.entry(random);
        match fate {
            EntryFate::Throttled => return Err(throttled()),
            EntryFate::Refused => return Err(refused()),
            EntryFate::Internal(Effect::None) => return Err(internal()),
            EntryFate::Works | EntryFate::Internal(Effect::Stored) => {}
        }
        let receipt = self.store(record, random)?;
        if fate == EntryFate::Works { Ok(receipt) } else { Err(internal()) }
    }

    fn store(&mut self, record: &NewRecord, random: &mut fastrand::Rng) -> Result<Receipt, BindingError> {
        let key = record.partition_key.as_ref();
        let hash = record.explicit_hash_key.or_else(|| Some(u128::from_be_bytes(Md5::digest(key?.as_str()).into())));
        // Without a key the stream chooses.
        let hash = hash.unwrap_or_else(|| random.u128(..));
        let covers = |shard_state: &&mut ModelShard| {
            shard_state.shard.is_open && (shard_state.range.start..=shard_state.range.end).contains(&hash)
        };
        let Some(shard_state) = self.shards.iter_mut().find(covers) else { return Err(internal()) };
        shard_state.refill(self.records_per_second, self.bytes_per_second, self.byte_depth);
        let size = f64::from(u32::try_from(record.size()).unwrap_or(u32::MAX));
        if shard_state.records < 1.0 || shard_state.bytes < size {
            return Err(throttled());
        }
        shard_state.records -= 1.0;
        shard_state.bytes -= size;
        let shard = shard_state.shard.id.clone();
        let Ok(sequence) = self.next_number.to_string().parse::<SequenceNumber>() else { return Err(internal()) };
        self.next_number += 1 + u128::from(random.u32(0..1_000));
        let (record, at) = (record.clone(), Instant::now());
        let (id, number) = (shard.clone(), sequence.clone());
        self.stored.push(StoredRecord { shard: id, sequence: number, record, at, is_confirmed: false });
        Ok(Receipt { sequence, shard, encryption: None })
    }

    pub(super) fn confirm(&mut self, results: &[Result<Receipt, BindingError>]) {
        for receipt in results.iter().flatten() {
            let place = self.stored.binary_search_by(|stored| stored.sequence.cmp(&receipt.sequence));
            if let Some(stored) = place.ok().and_then(|place| self.stored.get_mut(place)) {
                stored.is_confirmed = true;
            }
        }
    }

    pub(super) fn reshard(&mut self, random: &mut fastrand::Rng) {
        let open: Vec<usize> = (0..self.shards.len()).filter(|at| self.shards[*at].shard.is_open).collect();
        let Some(one) = random.choice(&open).copied() else { return };
        let range = self.shards[one].range;
        let next = range.end.checked_add(1);
        let neighbour = open.iter().copied().find(|other| Some(self.shards[*other].range.start) == next);
        match neighbour {
            Some(other) if random.bool() => {
                let range = HashKeyRange { start: range.start, end: self.shards[other].range.end };
                self.replace(&[one, other], &[range]);
            }
            Some(_) | None if open.len() < MAX_OPEN && range.end - range.start > 1 => {
                let middle = range.start + (range.end - range.start) / 2;
                let halves = [
                    HashKeyRange { start: range.start, end: middle },
                    HashKeyRange { start: middle + 1, end: range.end },
                ];
                self.replace(&[one], &halves);
            }
            Some(_) | None => {}
        }
    }

    fn replace(&mut self, parents: &[usize], children: &[HashKeyRange]) {
        let ids: Vec<ShardId> = parents.iter().map(|at| self.shards[*at].shard.id.clone()).collect();
        for at in parents {
            self.shards[*at].shard.is_open = false;
        }
        for range in children {
            self.open(*range, ids.clone());
        }
    }

    fn open(&mut self, range: HashKeyRange, parents: Vec<ShardId>) {
        let id = ShardId::new(format!("shardId-{:012}", self.shards.len()));
        let shard = Shard { id, parents, hash_range: Some(range), is_open: true };
        let (records, bytes, as_of) = (self.records_per_second, self.byte_depth, Instant::now());
        self.shards.push(ModelShard { shard, range, records, bytes, as_of });
    }
}

impl ModelShard {
    fn refill(&mut self, records_per_second: f64, bytes_per_second: f64, byte_depth: f64) {
        let now = Instant::now();
        let time = (now - self.as_of).as_secs_f64();
        self.records = time.mul_add(records_per_second, self.records).min(records_per_second);
        self.bytes = time.mul_add(bytes_per_second, self.bytes).min(byte_depth);
        self.as_of = now;
    }
}

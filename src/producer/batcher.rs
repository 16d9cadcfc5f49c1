//! Builds a batch of what is ready, and packs records into aggregates where that is configured.

use super::completion::Completion;
use super::errors;
use super::limiter::Slot;
use super::queue::Queue;
use super::record::{Entry, PendingRecord, RecordId};
use super::settings::{Aggregation, Batching, MAX_BYTES, MAX_RECORDS, Ordering, ProducerSettings};
use super::shard_map::ByShard;
use crate::aggregation::{Packer, UserRecord};
use crate::domain::{NewRecord, PartitionKey, ShardId};
use std::collections::HashMap;
use tokio::time::Instant;

/// So many bytes for one shard close a batch, so that a busy shard is not hit by bursts (as in the collector of the
/// Kinesis Producer Library).
pub(super) const MAX_SHARD_BYTES: usize = 256 << 10;
/// The Kinesis Producer Library's `AggregationMaxSize`.
const MAX_PACKED: usize = 51_200;
/// An upper bound of the bytes that the format adds: to each further user record, and to the first two together.
const OVERHEAD: usize = 160;

/// The limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchLimits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl BatchLimits {
    /// As configured, within what AWS accepts. Strict ordering needs `PutRecord`, which takes one record.
    pub(super) fn new(batching: Batching, ordering: Ordering) -> Self {
        let is_shared = batching.is_enabled && ordering != Ordering::Strict;
        let records = if is_shared { batching.max_records.clamp(1, MAX_RECORDS) } else { 1 };
        Self { records, bytes: batching.max_bytes.min(MAX_BYTES) }
    }
}

/// What one call sends: record i belongs to entry i.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
}

/// Takes from the queue what is sent together now. Empty only if no ready record is left.
pub(super) fn build(
    queue: &mut Queue,
    completion: &mut Completion,
    settings: &ProducerSettings,
    limits: BatchLimits,
    now: Instant,
) -> Batch {
    let mut builder = BatchBuilder::new(settings, limits, now);
    while let Some(first) = queue.first() {
        let id = first.id;
        if first.responder.is_gone() {
            completion.withdraw(queue, id, now);
        } else if matches!(first.slot, Slot::Reserved(_)) {
            if !builder.take_first(queue) {
                break;
            }
        } else if let Err(wait) = queue.reserve_first(now) {
            let Some(first) = queue.first() else { break };
            // A failure of the service says more than the limit that prevents another attempt.
            let last = first.attempts.last_error.clone();
            let error = last.unwrap_or_else(|| errors::rate_limited(first.shard.as_ref(), wait));
            completion.fail(queue, id, error, now);
        }
    }
    builder.finish(queue)
}

/// Builds the batch for entries of a call that was refused.
pub(super) fn rebuild(queue: &Queue, entries: Vec<Entry>, aggregation: Aggregation) -> Batch {
    let mut batch = Batch::default();
    for entry in entries {
        let records = entry.ids().iter().filter_map(|id| queue.get(*id));
        let Some(record) = packed(records, aggregation) else { continue };
        batch.bytes += record.size();
        batch.records.push(record);
        batch.entries.push(entry);
    }
    batch
}

fn packed<'a>(mut records: impl Iterator<Item = &'a PendingRecord>, aggregation: Aggregation) -> Option<NewRecord> {
    let first = records.next()?;
    let mut packer: Option<Packer> = None;
    for record in records {
        packer.get_or_insert_with(|| new_packer(first, usize::MAX)).push(user_record(&record.record));
    }
    Some(packer.map_or_else(|| first.record.clone(), |packer| aggregate(packer, first, aggregation)))
}

fn new_packer(first: &PendingRecord, max_size: usize) -> Packer {
    let mut packer = Packer::new(max_size);
    packer.push(user_record(&first.record));
    packer
}

/// The aggregate goes to the shard of its first user record.
fn aggregate(packer: Packer, first: &PendingRecord, aggregation: Aggregation) -> NewRecord {
    let explicit_hash_key = match aggregation {
        // All have the same keys, so the aggregate goes where each of them would go.
        Aggregation::None | Aggregation::Key => first.record.explicit_hash_key,
        // Partition keys differ; a hash key within the range of the shard selects the shard.
        Aggregation::Shard => first.hash,
    };
    NewRecord { data: packer.finish(), partition_key: first.record.partition_key.clone(), explicit_hash_key }
}

fn user_record(record: &NewRecord) -> UserRecord {
    UserRecord {
        partition_key: record.partition_key.as_ref().map(|key| key.as_str().to_owned()).unwrap_or_default(),
        explicit_hash_key: record.explicit_hash_key.map(|hash| hash.to_string()),
        data: record.data.clone(),
    }
}

/// Records with the same value may be packed together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PackGroup {
    Key(PartitionKey, Option<u128>),
    Shard(ShardId),
}

fn pack_group(record: &PendingRecord, aggregation: Aggregation) -> Option<PackGroup> {
    if !record.may_pack || record.options.after.is_some() {
        return None;
    }
    let key = record.record.partition_key.as_ref()?;
    match aggregation {
        Aggregation::None => None,
        Aggregation::Key => Some(PackGroup::Key(key.clone(), record.record.explicit_hash_key)),
        Aggregation::Shard => record.hash.and(record.shard.clone()).map(PackGroup::Shard),
    }
}

/// The size of a batch, against its limits.
#[derive(Debug)]
struct BatchSize {
    limits: BatchLimits,
    records: usize,
    bytes: usize,
    shards: ByShard<usize>,
    is_closed: bool,
}

impl BatchSize {
    fn new(limits: BatchLimits) -> Self {
        Self { limits, records: 0, bytes: 0, shards: ByShard::default(), is_closed: false }
    }

    /// Whether one more record fits. The first always fits: a large one is sent alone.
    fn fits(&self, bytes: usize) -> bool {
        self.records == 0 || (self.records < self.limits.records && self.may_grow(bytes))
    }

    /// Whether a record of the batch may become so much larger.
    fn may_grow(&self, bytes: usize) -> bool {
        !self.is_closed && self.bytes.saturating_add(bytes) <= self.limits.bytes
    }

    fn add(&mut self, bytes: usize, shard: Option<&ShardId>) {
        self.records += 1;
        self.grow(bytes, shard);
    }

    /// Counts bytes by which a record of the batch became larger.
    fn grow(&mut self, bytes: usize, shard: Option<&ShardId>) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(shard) = shard {
            let shard_bytes = match self.shards.get_mut(shard) {
                Some(shard_bytes) => shard_bytes,
                None => self.shards.entry(shard.clone()).or_default(),
            };
            *shard_bytes = shard_bytes.saturating_add(bytes);
            self.is_closed |= *shard_bytes >= MAX_SHARD_BYTES;
        }
    }
}

/// A Kinesis record that may still grow.
#[derive(Debug)]
struct Draft {
    entry: Entry,
    /// Holds the user records, where others may be packed with the first.
    packer: Option<Packer>,
    /// The size so far, partition key included.
    size: usize,
    key_size: usize,
}

struct BatchBuilder {
    aggregation: Aggregation,
    max_packed: usize,
    now: Instant,
    size: BatchSize,
    drafts: Vec<Draft>,
    /// The draft of each group that may grow.
    open: HashMap<PackGroup, usize>,
}

impl BatchBuilder {
    fn new(settings: &ProducerSettings, limits: BatchLimits, now: Instant) -> Self {
        Self {
            aggregation: settings.aggregation,
            max_packed: MAX_PACKED.min(settings.max_record_size),
            now,
            size: BatchSize::new(limits),
            drafts: Vec::new(),
            open: HashMap::new(),
        }
    }

    /// Takes the first ready record; false if it does not fit into this batch.
    fn take_first(&mut self, queue: &mut Queue) -> bool {
        let Some(record) = queue.first() else { return false };
        let group = pack_group(record, self.aggregation);
        let draft = group.as_ref().and_then(|group| self.open.get(group).copied());
        if let Some((draft, user)) = draft.and_then(|draft| Some((draft, self.packable(draft, record)?))) {
            if let Some(id) = queue.take_first() {
                self.pack(draft, id, user, queue);
                self.pack_rest_of_key(draft, id, queue);
            }
            return true;
        }
        // PutRecords has no sequence number to follow, so such a record needs its own call.
        let is_single = record.options.after.is_some();
        if !self.size.fits(record.size) || (is_single && !self.drafts.is_empty()) {
            return false;
        }
        self.begin_draft(group, queue);
        self.size.is_closed |= is_single;
        true
    }

    fn begin_draft(&mut self, group: Option<PackGroup>, queue: &mut Queue) {
        let Some(id) = queue.take_first() else { return };
        let Some(record) = queue.get(id) else { return };
        self.size.add(record.size, record.shard.as_ref());
        let key_size = record.record.partition_key.as_ref().map_or(0, |key| key.as_str().len());
        let packer = group.as_ref().map(|_| new_packer(record, self.max_packed.saturating_sub(key_size)));
        let draft = self.drafts.len();
        self.drafts.push(Draft { entry: Entry::Plain(id), packer, size: record.size, key_size });
        if let Some(group) = group {
            self.open.insert(group, draft);
            self.pack_rest_of_key(draft, id, queue);
        }
    }

    /// The record as a user record of an open aggregate, if it fits there.
    fn packable(&self, draft: usize, record: &PendingRecord) -> Option<UserRecord> {
        let packer = self.drafts.get(draft)?.packer.as_ref()?;
        // The size of the payload excludes most before any key is copied.
        if !self.size.may_grow(record.size + OVERHEAD) || packer.size() + record.record.data.len() > MAX_PACKED {
            return None;
        }
        let user = user_record(&record.record);
        packer.fits(&user).then_some(user)
    }

    fn pack(&mut self, draft: usize, id: RecordId, user: UserRecord, queue: &Queue) {
        let Some(draft) = self.drafts.get_mut(draft) else { return };
        let Some(packer) = draft.packer.as_mut() else { return };
        packer.push(user);
        let size = packer.size() + draft.key_size;
        let growth = size.saturating_sub(draft.size);
        draft.size = size;
        draft.entry.push(id);
        self.size.grow(growth, queue.get(id).and_then(|record| record.shard.as_ref()));
    }

    /// The records behind another of the same key may go in the same aggregate, and in no other.
    fn pack_rest_of_key(&mut self, draft: usize, id: RecordId, queue: &mut Queue) {
        let Some(key) = queue.get(id).and_then(|record| record.key.clone()) else { return };
        while let Some(next) = queue.next_of_key(&key, self.now) {
            let group = pack_group(next, self.aggregation).filter(|_| !next.responder.is_gone());
            let is_same = group.is_some_and(|group| self.open.get(&group) == Some(&draft));
            let Some(user) = self.packable(draft, next).filter(|_| is_same) else { return };
            let Some(id) = queue.take_next_of_key(&key) else { return };
            self.pack(draft, id, user, queue);
        }
    }

    fn finish(self, queue: &Queue) -> Batch {
        let mut batch = Batch { bytes: self.size.bytes, ..Batch::default() };
        for draft in self.drafts {
            let Some(first) = draft.entry.ids().first().and_then(|id| queue.get(*id)) else { continue };
            let record = match draft.packer.filter(|packer| packer.len() > 1) {
                Some(packer) => aggregate(packer, first, self.aggregation),
                None => first.record.clone(),
            };
            batch.records.push(record);
            batch.entries.push(draft.entry);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_batching_a_call_takes_one_record() {
        let limits = BatchLimits::new(Batching { is_enabled: false, ..Batching::default() }, Ordering::None);
        let mut size = BatchSize::new(limits);
        size.add(1, None);
        assert!(!size.fits(1));
    }

    #[test]
    fn a_quarter_of_a_mebibyte_for_one_shard_closes_the_batch() {
        let shard = ShardId::new("s");
        let mut size = BatchSize::new(BatchLimits::new(Batching::default(), Ordering::None));
        size.add(MAX_SHARD_BYTES - 1, Some(&shard));
        assert!(size.fits(10));
        size.add(10, Some(&shard));
        assert!(!size.fits(1));
    }

    proptest! {
        #[test]
        fn a_batch_never_exceeds_a_limit(
            sizes in prop::collection::vec((1_usize..3_000_000, 0_u8..3), 1..800),
            records in 1_usize..600,
            bytes in 1_usize..12_000_000,
        ) {
            let batching = Batching { max_records: records, max_bytes: bytes, ..Batching::default() };
            let mut batch = BatchSize::new(BatchLimits::new(batching, Ordering::None));
            let (mut count, mut sum) = (0, 0);
            for (size, shard) in sizes {
                if !batch.fits(size) {
                    break;
                }
                batch.add(size, Some(&ShardId::new(shard.to_string())));
                (count, sum) = (count + 1, sum + size);
            }
            prop_assert!(count >= 1 && count <= records.min(500));
            prop_assert!(count == 1 || sum <= bytes.min(10 << 20));
            prop_assert_eq!(sum, batch.bytes);
        }
    }
}

//! Builds a batch of what is ready, and packs records into aggregates where that is configured.

use super::combiner::Combiner;
use super::completion::Completion;
use super::errors;
use super::limiter::Slot;
use super::queue::Queue;
use super::record::{Entry, PendingRecord, RecordId};
use super::settings::{Aggregation, Batching, Growth, MAX_BYTES, MAX_RECORDS, Ordering, ProducerSettings};
use super::shard_map::ByShard;
use crate::domain::{NewRecord, PartitionKey, ShardId};
use std::collections::HashMap;
use tokio::time::Instant;

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
    let mut combiner: Option<Combiner> = None;
    for record in records {
        if combiner.is_none() {
            combiner = Combiner::new(&first.record, aggregation, usize::MAX);
        }
        combiner.as_mut()?.push(&record.record);
    }
    Some(combiner.map_or_else(|| first.record.clone(), |combiner| aggregate(combiner, first, aggregation)))
}

/// The aggregate goes to the shard of its first user record.
fn aggregate(combiner: Combiner, first: &PendingRecord, aggregation: Aggregation) -> NewRecord {
    let explicit_hash_key = match aggregation {
        // All have the same keys, so the aggregate goes where each of them would go.
        Aggregation::None | Aggregation::Key | Aggregation::Joined(_) => first.record.explicit_hash_key,
        // Partition keys differ; a hash key within the range of the shard selects the shard.
        Aggregation::Shard => first.hash,
    };
    NewRecord { data: combiner.finish(), partition_key: first.record.partition_key.clone(), explicit_hash_key }
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
        Aggregation::Key | Aggregation::Joined(_) => Some(PackGroup::Key(key.clone(), record.record.explicit_hash_key)),
        Aggregation::Shard => record.hash.and(record.shard.clone()).map(PackGroup::Shard),
    }
}

/// The size of a batch, against its limits.
#[derive(Debug)]
struct BatchSize {
    limits: BatchLimits,
    records: usize,
    bytes: usize,
    max_shard_bytes: usize,
    shards: ByShard<usize>,
    is_closed: bool,
}

impl BatchSize {
    fn new(limits: BatchLimits, max_shard_bytes: usize) -> Self {
        Self { limits, records: 0, bytes: 0, max_shard_bytes, shards: ByShard::default(), is_closed: false }
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
            self.is_closed |= *shard_bytes >= self.max_shard_bytes;
        }
    }
}

/// A Kinesis record that may still grow.
#[derive(Debug)]
struct Draft {
    entry: Entry,
    /// Holds the user records, where others may be packed with the first.
    combiner: Option<Combiner>,
    /// The size so far, partition key included.
    size: usize,
    key_size: usize,
}

struct BatchBuilder {
    aggregation: Aggregation,
    max_packed: usize,
    /// Sizes are counted with it: the limits hold for what the writer sends.
    growth: Growth,
    now: Instant,
    size: BatchSize,
    drafts: Vec<Draft>,
    /// The draft of each group that may grow.
    open: HashMap<PackGroup, usize>,
    /// The record that ends this batch: later ones are for the next.
    last: Option<RecordId>,
}

impl BatchBuilder {
    fn new(settings: &ProducerSettings, limits: BatchLimits, now: Instant) -> Self {
        Self {
            aggregation: settings.aggregation,
            max_packed: settings.max_aggregate_size.min(settings.max_record_size),
            growth: settings.growth,
            now,
            size: BatchSize::new(limits, settings.max_shard_bytes()),
            drafts: Vec::new(),
            open: HashMap::new(),
            last: None,
        }
    }

    /// Takes the first ready record; false if it is not for this batch.
    fn take_first(&mut self, queue: &mut Queue) -> bool {
        let Some(record) = queue.first().filter(|record| self.may_take(record)) else { return false };
        let (id, group) = (record.id, pack_group(record, self.aggregation));
        if let Some(draft) = group.as_ref().and_then(|group| self.open.get(group).copied())
            && self.try_pack(draft, record)
        {
            queue.take_first();
            self.taken(draft, id, group, queue);
            return true;
        }
        // PutRecords has no sequence number to follow, so such a record needs its own call.
        let is_single = record.options.after.is_some();
        if !self.size.fits(self.growth.grown(record.size)) || (is_single && !self.drafts.is_empty()) {
            return false;
        }
        self.begin_draft(group, queue);
        self.size.is_closed |= is_single;
        true
    }

    /// Whether the record did not arrive behind the one that ends the batch.
    fn may_take(&self, record: &PendingRecord) -> bool {
        self.last.is_none_or(|last| record.id < last)
    }

    fn begin_draft(&mut self, group: Option<PackGroup>, queue: &mut Queue) {
        let Some(id) = queue.take_first() else { return };
        let Some(record) = queue.get(id) else { return };
        self.size.add(self.growth.grown(record.size), record.shard.as_ref());
        let key_size = record.record.partition_key.as_ref().map_or(0, |key| key.as_str().len());
        let limit = self.max_packed.saturating_sub(key_size);
        let combiner = group.as_ref().and_then(|_| Combiner::new(&record.record, self.aggregation, limit));
        let draft = self.drafts.len();
        self.drafts.push(Draft { entry: Entry::Plain(id), combiner, size: record.size, key_size });
        if let Some(group) = &group {
            self.open.insert(group.clone(), draft);
        }
        self.taken(draft, id, group, queue);
    }

    /// A record is in a draft now.
    fn taken(&mut self, draft: usize, id: RecordId, group: Option<PackGroup>, queue: &mut Queue) {
        self.end_behind(id, group.as_ref(), queue);
        if let Some(group) = group {
            self.pack_rest_of_key(draft, id, &group, queue);
        }
    }

    /// If the record ends the batch, takes no record that arrived later, and packs none behind it.
    fn end_behind(&mut self, id: RecordId, group: Option<&PackGroup>, queue: &Queue) {
        if queue.get(id).is_some_and(|record| record.options.ends_batch) {
            self.last = Some(self.last.map_or(id, |last| last.min(id)));
            if let Some(group) = group {
                self.open.remove(group);
            }
        }
    }

    /// Adds the record to an open aggregate, if it fits there.
    fn try_pack(&mut self, draft: usize, record: &PendingRecord) -> bool {
        let Some(draft) = self.drafts.get_mut(draft) else { return false };
        let Some(combiner) = draft.combiner.as_mut() else { return false };
        let before = self.growth.grown(draft.size);
        let largest = self.growth.grown(draft.size.saturating_add(combiner.max_growth(record)));
        if !self.size.may_grow(largest - before) || !combiner.try_push(&record.record) {
            return false;
        }
        draft.size = combiner.size() + draft.key_size;
        draft.entry.push(record.id);
        self.size.grow(self.growth.grown(draft.size).saturating_sub(before), record.shard.as_ref());
        true
    }

    /// The records behind another of the same key may go in the same aggregate, and in no other.
    fn pack_rest_of_key(&mut self, draft: usize, id: RecordId, group: &PackGroup, queue: &mut Queue) {
        let Some(key) = queue.get(id).and_then(|record| record.key.clone()) else { return };
        while self.open.get(group) == Some(&draft)
            && let Some(next) = queue.next_of_key(&key, self.now)
        {
            let is_same = pack_group(next, self.aggregation).as_ref() == Some(group);
            if !is_same || next.responder.is_gone() || !self.may_take(next) || !self.try_pack(draft, next) {
                return;
            }
            let Some(id) = queue.take_next_of_key(&key) else { return };
            self.end_behind(id, Some(group), queue);
        }
    }

    fn finish(self, queue: &Queue) -> Batch {
        let mut batch = Batch { bytes: self.size.bytes, ..Batch::default() };
        for draft in self.drafts {
            let Some(first) = draft.entry.ids().first().and_then(|id| queue.get(*id)) else { continue };
            let record = match draft.combiner.filter(|combiner| combiner.count() > 1) {
                Some(combiner) => aggregate(combiner, first, self.aggregation),
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
    use super::super::settings::MAX_SHARD_BYTES;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_batching_a_call_takes_one_record() {
        let limits = BatchLimits::new(Batching { is_enabled: false, ..Batching::default() }, Ordering::None);
        let mut size = BatchSize::new(limits, MAX_SHARD_BYTES);
        size.add(1, None);
        assert!(!size.fits(1));
    }

    #[test]
    fn a_quarter_of_a_mebibyte_for_one_shard_closes_the_batch() {
        let shard = ShardId::new("s");
        let mut size = BatchSize::new(BatchLimits::new(Batching::default(), Ordering::None), MAX_SHARD_BYTES);
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
            let mut batch = BatchSize::new(BatchLimits::new(batching, Ordering::None), MAX_SHARD_BYTES);
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

//! All records that were put, and what became of them.

use bindd::domain::{RecordPosition, ShardId};
use bindd::testing::Put;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Accepted,
    DeadLettered,
    /// Given up where the settings say that such a record is dropped.
    Dropped,
    /// Aged out of the stream before it was accepted.
    AgedOut,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: RecordPosition,
    pub(crate) key: String,
    pub(crate) size: usize,
    /// It must be delivered.
    pub(crate) is_required: bool,
    pub(crate) is_poison: bool,
    pub(crate) fate: Fate,
    accepted: u32,
    /// Deliveries that failed and counted, by any worker.
    pub(crate) failures: u32,
}

#[derive(Debug, Default)]
struct Shard {
    entries: Vec<Entry>,
    /// Required records without a fate.
    pending: BTreeSet<RecordPosition>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    shards: BTreeMap<ShardId, Shard>,
    /// Required records without a fate by key, in the order of the puts.
    keys: BTreeMap<String, VecDeque<(ShardId, RecordPosition)>>,
    required: usize,
    duplicates: usize,
}

/// What is put.
#[derive(Debug, Clone)]
pub(crate) struct NewRecord {
    pub(crate) key: String,
    pub(crate) size: usize,
    pub(crate) is_required: bool,
    pub(crate) is_poison: bool,
}

impl Ledger {
    pub(crate) fn put(&mut self, put: &Put, record: NewRecord) {
        let NewRecord { key, size, is_required, is_poison } = record;
        let shard = self.shards.entry(put.shard.clone()).or_default();
        if is_required {
            self.required += 1;
            shard.pending.insert(put.position.clone());
            self.keys.entry(key.clone()).or_default().push_back((put.shard.clone(), put.position.clone()));
        }
        let position = put.position.clone();
        let entry =
            Entry { position, key, size, is_required, is_poison, fate: Fate::Pending, accepted: 0, failures: 0 };
        shard.entries.push(entry);
    }

    pub(crate) fn entry(&self, shard: &ShardId, position: &RecordPosition) -> Option<&Entry> {
        let entries = &self.shards.get(shard)?.entries;
        entries.binary_search_by(|entry| entry.position.cmp(position)).ok().map(|index| &entries[index])
    }

    fn entry_mut(&mut self, shard: &ShardId, position: &RecordPosition) -> Option<&mut Entry> {
        let entries = &mut self.shards.get_mut(shard)?.entries;
        entries.binary_search_by(|entry| entry.position.cmp(position)).ok().map(|index| &mut entries[index])
    }

    /// Records of a shard between two positions: beyond the first, up to and with the second.
    pub(crate) fn between<'a>(
        &'a self,
        shard: &ShardId,
        after: Option<&RecordPosition>,
        to: &RecordPosition,
    ) -> &'a [Entry] {
        let Some(shard) = self.shards.get(shard) else { return &[] };
        let end = shard.entries.partition_point(|entry| entry.position <= *to);
        let start = after.map_or(0, |after| shard.entries.partition_point(|entry| entry.position <= *after));
        &shard.entries[start.min(end)..end]
    }

    pub(crate) fn failed(&mut self, shard: &ShardId, position: &RecordPosition) {
        if let Some(entry) = self.entry_mut(shard, position) {
            entry.failures += 1;
        }
    }

    /// Gives a record its fate. Returns an earlier record of its key that has none, if the record was accepted for the first
    /// time.
    pub(crate) fn settle(
        &mut self,
        shard: &ShardId,
        position: &RecordPosition,
        fate: Fate,
    ) -> Option<(ShardId, RecordPosition)> {
        let entry = self.entry_mut(shard, position)?;
        let is_first = entry.fate == Fate::Pending;
        if is_first {
            entry.fate = fate;
        }
        if fate == Fate::Accepted {
            entry.accepted += 1;
        }
        let (key, is_repeated) = (entry.key.clone(), entry.accepted == 2 && fate == Fate::Accepted);
        self.duplicates += usize::from(is_repeated);
        if !is_first {
            return None;
        }
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.pending.remove(position);
        }
        let id = (shard.clone(), position.clone());
        let pending = self.keys.get_mut(&key)?;
        // A record that need not arrive is not in the queue, and may pass.
        let index = pending.iter().position(|pending| *pending == id)?;
        pending.remove(index);
        let earlier = if index > 0 { pending.front().cloned() } else { None };
        earlier.filter(|_| fate == Fate::Accepted)
    }

    /// The first required record of a shard without a fate.
    pub(crate) fn first_pending(&self, shard: &ShardId) -> Option<&RecordPosition> {
        self.shards.get(shard)?.pending.first()
    }

    /// The last record of a shard that was accepted.
    pub(crate) fn last_accepted(&self, shard: &ShardId) -> Option<&RecordPosition> {
        let entries = &self.shards.get(shard)?.entries;
        entries.iter().rev().find(|entry| entry.fate == Fate::Accepted).map(|entry| &entry.position)
    }

    /// The first records without a fate, one for each shard.
    pub(crate) fn first_outstanding(&self) -> Vec<(ShardId, RecordPosition)> {
        let firsts = self.shards.iter().filter_map(|(id, shard)| Some((id.clone(), shard.pending.first()?.clone())));
        firsts.collect()
    }

    pub(crate) const fn required(&self) -> usize {
        self.required
    }

    /// Records that were accepted more than once.
    pub(crate) const fn duplicates(&self) -> usize {
        self.duplicates
    }
}

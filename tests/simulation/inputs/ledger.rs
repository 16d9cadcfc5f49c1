//! All records that were put, and what became of them.

use bindd::domain::{Lease, RecordPosition, ShardId, Timestamp};
use bindd::testing::Put;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Accepted,
    DeadLettered,
    /// Given up where the settings say that such a record is dropped.
    Dropped,
    /// Aged out of the stream before it was accepted.
    AgedOut,
    /// Its stream was deleted.
    Deleted,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: RecordPosition,
    pub(crate) key: String,
    pub(crate) size: usize,
    /// It must be delivered.
    pub(crate) is_required: bool,
    pub(crate) is_poison: bool,
    /// The app must not receive it.
    pub(crate) is_filtered: bool,
    pub(crate) fate: Fate,
    pub(crate) put_at: Instant,
    /// When its stream was created; the first one has none.
    pub(crate) stream: Option<Timestamp>,
    /// It is filtered, and progress must pass it.
    must_pass: bool,
    /// It aged out, before or after it was accepted.
    is_gone: bool,
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
    /// When the current stream was created, unless it is the first one.
    stream: Option<Timestamp>,
    required: usize,
    dropped: usize,
}

/// What is put.
#[derive(Debug, Clone)]
pub(crate) struct NewRecord {
    pub(crate) key: String,
    pub(crate) size: usize,
    pub(crate) is_required: bool,
    pub(crate) is_poison: bool,
    pub(crate) is_filtered: bool,
}

impl Ledger {
    pub(crate) fn put(&mut self, put: &Put, record: NewRecord) {
        let NewRecord { key, size, is_required: is_read, is_poison, is_filtered } = record;
        let is_required = is_read && !is_filtered;
        let shard = self.shards.entry(put.shard.clone()).or_default();
        if is_required {
            self.required += 1;
            shard.pending.insert(put.position.clone());
            self.keys.entry(key.clone()).or_default().push_back((put.shard.clone(), put.position.clone()));
        }
        let position = put.position.clone();
        shard.entries.push(Entry {
            position,
            key,
            size,
            is_required,
            is_poison,
            is_filtered,
            must_pass: is_read && is_filtered,
            fate: Fate::Pending,
            put_at: Instant::now(),
            stream: self.stream,
            is_gone: false,
            accepted: 0,
            failures: 0,
        });
    }

    /// Another stream of the same name was created.
    pub(crate) const fn stream_created(&mut self, created: Option<Timestamp>) {
        self.stream = created;
    }

    pub(crate) fn stream_deleted(&mut self) {
        self.keys.clear();
        for shard in self.shards.values_mut() {
            shard.pending.clear();
            for entry in shard.entries.iter_mut().filter(|entry| entry.fate == Fate::Pending) {
                entry.fate = Fate::Deleted;
            }
        }
    }

    /// Whether a row belongs to the current stream, as far as it says.
    pub(crate) fn is_current(&self, row: &Lease) -> bool {
        self.stream.is_none() || row.stream_created.is_none() || row.stream_created == self.stream
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
        entry.is_gone |= fate == Fate::AgedOut;
        let is_dropped = is_first && fate == Fate::Dropped;
        if fate == Fate::Accepted {
            entry.accepted += 1;
        }
        let key = entry.key.clone();
        self.dropped += usize::from(is_dropped);
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

    /// The last record of a shard that was accepted and that a reader may find again.
    pub(crate) fn last_accepted(&self, shard: &ShardId) -> Option<&RecordPosition> {
        let entries = &self.shards.get(shard)?.entries;
        let is_accepted =
            |entry: &&Entry| entry.fate == Fate::Accepted && !entry.is_gone && entry.stream == self.stream;
        entries.iter().rev().find(is_accepted).map(|entry| &entry.position)
    }

    /// The filtered records of a shard that progress must have passed, in their order.
    pub(crate) fn passed(&self, shard: &ShardId) -> impl Iterator<Item = &RecordPosition> {
        let entries = self.shards.get(shard).map_or(&[][..], |shard| &shard.entries);
        let is_left = |entry: &&Entry| entry.fate == Fate::Pending && entry.stream == self.stream;
        entries.iter().filter(|entry| entry.must_pass).filter(is_left).map(|entry| &entry.position)
    }

    /// How many records of all shards are filtered and must be passed.
    pub(crate) fn passed_count(&self) -> usize {
        self.shards.keys().map(|shard| self.passed(shard).count()).sum()
    }

    /// The required records without a fate.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (&ShardId, &RecordPosition)> {
        self.shards.iter().flat_map(|(id, shard)| shard.pending.iter().map(move |position| (id, position)))
    }

    pub(crate) const fn required(&self) -> usize {
        self.required
    }

    pub(crate) fn is_accepted(&self, shard: &ShardId, position: &RecordPosition) -> bool {
        self.entry(shard, position).is_some_and(|entry| entry.accepted > 0)
    }

    /// Records whose fate is [`Fate::Dropped`].
    pub(crate) const fn dropped(&self) -> usize {
        self.dropped
    }
}

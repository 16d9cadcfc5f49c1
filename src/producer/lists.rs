//! The lists of the queue. Pure.

use super::record::{PendingRecord, RecordId, Records, State};
use super::shard_map::ByShard;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

/// An ordered list from which any record can be removed by the position that `push` returned.
#[derive(Debug, Default)]
pub(super) struct RecordList(BTreeMap<i64, RecordId>);

impl RecordList {
    /// Returns the position.
    pub(super) fn push(&mut self, id: RecordId, end: End) -> i64 {
        let position = match end {
            End::Front => self.0.first_key_value().map_or(0, |(first, _)| first - 1),
            End::Back => self.0.last_key_value().map_or(0, |(last, _)| last + 1),
        };
        self.0.insert(position, id);
        position
    }

    pub(super) fn first(&self) -> Option<RecordId> {
        self.0.first_key_value().map(|(_, id)| *id)
    }

    pub(super) fn pop_first(&mut self) -> Option<RecordId> {
        self.0.pop_first().map(|(_, id)| id)
    }

    pub(super) fn remove(&mut self, position: i64) {
        self.0.remove(&position);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.0.values().copied()
    }
}

/// The records of one key.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    pub(super) blocked: RecordList,
    /// How many of the blocked records end their batch.
    pub(super) blocked_ends: usize,
    /// How many are delayed, ready or in flight.
    pub(super) active: usize,
    /// The record that was last delayed or ready.
    pub(super) head: RecordId,
}

impl KeyQueue {
    pub(super) fn block(&mut self, record: &mut PendingRecord, end: End) {
        (record.state, record.position) = (State::Blocked, self.blocked.push(record.id, end));
        self.blocked_ends += usize::from(record.options.ends_batch);
    }

    pub(super) fn pop_first(&mut self, records: &Records) -> Option<RecordId> {
        let id = self.blocked.pop_first()?;
        self.blocked_ends -= usize::from(records.get(id).is_some_and(|record| record.options.ends_batch));
        Some(id)
    }

    pub(super) fn remove(&mut self, record: &PendingRecord) {
        self.blocked.remove(record.position);
        self.blocked_ends -= usize::from(record.options.ends_batch);
    }
}

/// Sums over the records that are ready.
#[derive(Debug, Default)]
pub(super) struct ReadyTotals {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// Shards for which `max_shard_bytes` or more are ready.
    pub(super) full_shards: usize,
    /// Records that are sent without linger.
    pub(super) urgent: usize,
    /// Ready bytes. An entry stays when they are 0, as more of the shard will come soon.
    shards: ByShard<usize>,
    max_shard_bytes: usize,
}

impl ReadyTotals {
    pub(super) fn new(max_shard_bytes: usize) -> Self {
        Self { max_shard_bytes, ..Self::default() }
    }

    pub(super) fn add(&mut self, record: &PendingRecord) {
        self.records += 1;
        self.bytes += record.size;
        self.urgent += usize::from(record.is_urgent);
        if let Some(shard) = &record.shard {
            let bytes = match self.shards.get_mut(shard) {
                Some(bytes) => bytes,
                None => self.shards.entry(shard.clone()).or_default(),
            };
            let was_full = *bytes >= self.max_shard_bytes;
            *bytes += record.size;
            self.full_shards += usize::from(!was_full && *bytes >= self.max_shard_bytes);
        }
    }

    pub(super) fn subtract(&mut self, record: &PendingRecord) {
        self.records -= 1;
        self.bytes -= record.size;
        self.urgent -= usize::from(record.is_urgent);
        if let Some(bytes) = record.shard.as_ref().and_then(|shard| self.shards.get_mut(shard)) {
            let was_full = *bytes >= self.max_shard_bytes;
            *bytes = bytes.saturating_sub(record.size);
            self.full_shards -= usize::from(was_full && *bytes < self.max_shard_bytes);
        }
    }

    /// Forgets the shards without ready records.
    pub(super) fn shrink(&mut self) {
        self.shards.retain(|_, bytes| *bytes > 0);
    }
}

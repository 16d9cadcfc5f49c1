//! State of shards that outlives their sources: rate limits and pauses hold for a shard, however often it is opened.

use crate::domain::ShardId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The map is not searched for unused entries before it has this many.
const MIN_PRUNED: usize = 64;

/// One `T` for each shard. Entries of shards that are no longer read are removed when the map has doubled.
#[derive(Debug)]
pub(super) struct PerShard<T>(Mutex<Entries<T>>);

#[derive(Debug)]
struct Entries<T> {
    by_shard: HashMap<ShardId, Arc<Mutex<T>>>,
    prune_at: usize,
}

impl<T> Default for PerShard<T> {
    fn default() -> Self {
        Self(Mutex::new(Entries { by_shard: HashMap::new(), prune_at: MIN_PRUNED }))
    }
}

impl<T> PerShard<T> {
    /// The state of a shard, made by `new` unless it is there.
    pub(super) fn open(&self, shard: &ShardId, new: impl FnOnce() -> T) -> ShardState<T> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.by_shard.len() >= entries.prune_at {
            entries.by_shard.retain(|_, state| Arc::strong_count(state) > 1);
            entries.prune_at = MIN_PRUNED.max(2 * entries.by_shard.len());
        }
        let state = entries.by_shard.entry(shard.clone()).or_insert_with(|| Arc::new(Mutex::new(new())));
        ShardState(Arc::clone(state))
    }
}

/// The state of one shard. A shard has one source at a time, so the lock is free.
#[derive(Debug)]
pub(super) struct ShardState<T>(Arc<Mutex<T>>);

impl<T> ShardState<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_outlives_its_source_and_unused_entries_are_removed() {
        let shards = PerShard::<u32>::default();
        let kept = shards.open(&ShardId::new("kept"), || 1);
        *kept.lock() = 7;
        drop(shards.open(&ShardId::new("closed"), || 2));
        assert_eq!(*shards.open(&ShardId::new("closed"), || 3).lock(), 2);
        for number in 0..10 * MIN_PRUNED {
            drop(shards.open(&ShardId::new(format!("shard-{number}")), || 0));
        }
        assert!(shards.0.lock().unwrap().by_shard.len() <= MIN_PRUNED + 1);
        assert_eq!(*shards.open(&ShardId::new("kept"), || 1).lock(), 7);
    }
}

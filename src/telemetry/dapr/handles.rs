//! Series that were looked up once, by what tells them apart.

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

type Map<K, V> = HashMap<K, V, RandomState>;

/// A map that is read without a lock. Keys are few and stay, so a new one copies the map.
#[derive(Debug)]
pub(super) struct Handles<K, V> {
    map: ArcSwap<Map<K, V>>,
    writing: Mutex<()>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Handles<K, V> {
    /// Holds at most `capacity` keys.
    pub(super) fn new(capacity: usize) -> Self {
        Self { map: ArcSwap::default(), writing: Mutex::new(()), capacity }
    }

    /// Calls `record` with the series of a key, which `create` looks up the first time. At the capacity, a new key stands
    /// for `overflow`.
    pub(super) fn with(&self, key: &K, overflow: &K, create: impl Fn(&K) -> V, record: impl FnOnce(&V)) {
        if let Some(handle) = self.map.load().get(key) {
            return record(handle);
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.map.load_full();
        let key = if known.len() < self.capacity || known.contains_key(key) { key } else { overflow };
        if let Some(handle) = known.get(key) {
            return record(handle);
        }
        let handle = create(key);
        record(&handle);
        let mut map = Map::clone(&known);
        map.insert(key.clone(), handle);
        self.map.store(map.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_series_is_looked_up_once_and_their_number_is_bounded() {
        let handles = Handles::new(2);
        let created = Cell::new(0);
        let create = |key: &u32| {
            created.set(created.get() + 1);
            *key
        };
        let get = |key| {
            let mut seen = None;
            handles.with(&key, &0, create, |handle| seen = Some(*handle));
            seen.unwrap()
        };
        assert_eq!([1, 1, 2, 2].map(get), [1, 1, 2, 2]);
        assert_eq!(created.get(), 2);
        assert_eq!([3, 4, 1].map(get), [0, 0, 1]);
        assert_eq!(created.get(), 3);
    }
}

//! Keeps the order of keys while a producer is replaced: the new one begins to send when the old one has ended, and goes on
//! with what that remembered of the keys.

use super::record::OrderingKey;
use crate::domain::SequenceNumber;
use lru::LruCache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The producers of the process by component. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct Successions(Arc<Mutex<HashMap<String, Vec<Weak<End>>>>>);

/// The place of a producer behind those of the same component that have not ended. Dropping it ends the producer.
#[derive(Debug, Default)]
pub struct Turn {
    own: Arc<End>,
    before: Vec<Arc<End>>,
}

#[derive(Debug, Default)]
struct End {
    ended: CancellationToken,
    memory: Mutex<Option<KeyMemory>>,
}

/// What a producer remembers of keys.
#[derive(Debug)]
pub(super) struct KeyMemory {
    /// The last sequence number, where the order is strict.
    pub(super) last_numbers: LruCache<OrderingKey, SequenceNumber>,
    /// Until when a key is stopped.
    pub(super) stopped: LruCache<OrderingKey, Instant>,
}

impl Successions {
    /// A place for a new producer of this component.
    #[must_use]
    pub fn enter(&self, component: &str) -> Turn {
        let mut components = lock(&self.0);
        components.retain(|_, ends| {
            ends.retain(|end| end.strong_count() > 0);
            !ends.is_empty()
        });
        let ends = components.entry(component.to_owned()).or_default();
        let before = ends.iter().filter_map(Weak::upgrade).collect();
        let turn = Turn { own: Arc::default(), before };
        ends.push(Arc::downgrade(&turn.own));
        turn
    }
}

impl Turn {
    /// Whether there are producers before this one, which may have ended meanwhile.
    pub(super) const fn has_predecessors(&self) -> bool {
        !self.before.is_empty()
    }

    /// Resolves when all producers before this one have ended. Cancel-safe.
    pub(super) async fn predecessors_ended(&self) {
        for end in &self.before {
            end.ended.cancelled().await;
        }
    }

    /// What the producers before this one remembered, the oldest first. They are not waited for any more.
    pub(super) fn take_memories(&mut self) -> Vec<KeyMemory> {
        self.before.drain(..).filter_map(|end| lock(&end.memory).take()).collect()
    }

    /// The producer sends nothing any more.
    pub(super) fn end(self, memory: KeyMemory) {
        // For a successor that waits already; one that comes later finds nothing.
        *lock(&self.own.memory) = Some(memory);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.own.ended.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Memory for what filters and transforms of inputs make of records.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which memory is reserved.
const UNIT: usize = 1 << 10;

/// Memory of all inputs for decompressed records and for outputs that are being sent. Clones share it.
#[derive(Debug, Clone)]
pub struct ShapingMemory(Arc<Semaphore>);

/// Memory that is reserved as long as this, or data that it holds, lives.
#[derive(Debug, Clone, Default)]
pub(super) struct ReservedShaping(Option<Arc<OwnedSemaphorePermit>>);

impl Default for ShapingMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(Self::TOTAL / UNIT)))
    }
}

impl ShapingMemory {
    /// In bytes.
    pub(super) const TOTAL: usize = 128 << 20;

    /// Reserves memory, at most [`Self::TOTAL`]. `None` if it is not free at once and the caller may not wait. Waiting callers
    /// must hold none; the first to ask gets it first.
    pub(super) async fn reserve(&self, bytes: usize, may_wait: bool) -> Option<ReservedShaping> {
        let units = u32::try_from(bytes.min(Self::TOTAL).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.0);
        // The semaphore is never closed.
        let permit = if may_wait {
            memory.acquire_many_owned(units).await.ok()
        } else {
            memory.try_acquire_many_owned(units).ok()
        };
        permit.map(|permit| ReservedShaping(Some(Arc::new(permit))))
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.available_permits() * UNIT
    }
}

impl ReservedShaping {
    pub(super) const fn is_reserved(&self) -> bool {
        self.0.is_some()
    }

    /// Gives back what is more than `bytes`. Only before data are held.
    #[must_use]
    pub(super) fn shrunk_to(self, bytes: usize) -> Self {
        let Some(mut permit) = self.0.and_then(Arc::into_inner) else { return Self(None) };
        drop(permit.split(permit.num_permits().saturating_sub(bytes.div_ceil(UNIT))));
        Self(Some(Arc::new(permit)))
    }

    /// The data, whose last slice gives the memory back.
    pub(super) fn hold(&self, data: Bytes) -> Bytes {
        match &self.0 {
            Some(memory) => Bytes::from_owner(Held { data, _memory: Arc::clone(memory) }),
            None => data,
        }
    }
}

struct Held {
    data: Bytes,
    _memory: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_comes_back_with_the_last_of_the_data() {
        let memory = ShapingMemory::default();
        let reserved = memory.reserve(10 << 10, true).await.unwrap().shrunk_to(3 << 10);
        assert!(memory.reserve(ShapingMemory::TOTAL, false).await.is_none());
        assert_eq!(ShapingMemory::TOTAL - memory.free(), 3 << 10);
        let data = [b"one", b"two"].map(|data| reserved.hold(Bytes::from_static(data)));
        drop(reserved);
        let [one, two] = data;
        drop(one);
        assert_eq!((ShapingMemory::TOTAL - memory.free(), &two[..]), (3 << 10, &b"two"[..]));
        drop(two.slice(1..));
        drop(two);
        assert_eq!(memory.free(), ShapingMemory::TOTAL);
    }
}

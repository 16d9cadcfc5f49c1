//! Memory for records that were fetched and are not accepted yet: one budget for the process, shared fairly by its shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The least that a shard may hold, however many shards share the budget.
const MIN_SHARE: usize = 64 << 10;

/// The budget of the process, in bytes. Shards that wait for memory get it in the order in which they asked.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    free: Arc<Semaphore>,
    total: usize,
    shards: AtomicUsize,
}

impl MemoryBudget {
    pub(super) fn new(total: usize) -> Self {
        let total = total.clamp(MIN_SHARE, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { free: Arc::new(Semaphore::new(total)), total, shards: AtomicUsize::new(0) }
    }

    /// What a shard may hold now: an equal part of the budget, so that no shard starves another.
    fn share(&self) -> usize {
        (self.total / self.shards.load(Ordering::Relaxed).max(1)).max(MIN_SHARE)
    }

    /// Reserves memory before records are fetched. Cancel-safe, but a caller that drops the future loses its place.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()
    }
}

/// What one shard holds. Dropping it returns everything.
#[derive(Debug)]
pub(super) struct ShardBudget {
    budget: Arc<MemoryBudget>,
    max: usize,
    held: Option<OwnedSemaphorePermit>,
    /// Bytes beyond what could be reserved, since a read may return more than was requested. They are paid back first.
    debt: usize,
}

impl ShardBudget {
    /// `max`: what the shard may hold even if the process has more.
    pub(super) fn new(budget: Arc<MemoryBudget>, max: usize) -> Self {
        budget.shards.fetch_add(1, Ordering::Relaxed);
        Self { budget, max, held: None, debt: 0 }
    }

    pub(super) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) + self.debt
    }

    /// How many bytes may be fetched now; 0 while the shard holds its share.
    pub(super) fn allowance(&self) -> usize {
        self.budget.share().min(self.max).saturating_sub(self.held())
    }

    /// Keeps `bytes` of a reservation and returns the rest.
    pub(super) fn keep(&mut self, reserved: Option<OwnedSemaphorePermit>, bytes: usize) {
        let mut kept = reserved;
        let count = kept.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if count > bytes {
            // Dropping the part returns it.
            drop(kept.as_mut().and_then(|permit| permit.split(count - bytes)));
        } else {
            let missing = bytes - count;
            let more = u32::try_from(missing).ok();
            match more.and_then(|more| Arc::clone(&self.budget.free).try_acquire_many_owned(more).ok()) {
                Some(permit) => merge(&mut kept, permit),
                None => self.debt += missing,
            }
        }
        if let Some(permit) = kept {
            merge(&mut self.held, permit);
        }
    }

    /// Returns memory of records that left.
    pub(super) fn release(&mut self, bytes: usize) {
        let repaid = bytes.min(self.debt);
        self.debt -= repaid;
        drop(self.held.as_mut().and_then(|held| held.split((bytes - repaid).min(held.num_permits()))));
    }
}

impl Drop for ShardBudget {
    fn drop(&mut self) {
        self.budget.shards.fetch_sub(1, Ordering::Relaxed);
    }
}

fn merge(to: &mut Option<OwnedSemaphorePermit>, permit: OwnedSemaphorePermit) {
    match to {
        Some(held) => held.merge(permit),
        None => *to = Some(permit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    fn reserve(budget: &MemoryBudget, bytes: usize) -> Option<OwnedSemaphorePermit> {
        budget.reserve(bytes).now_or_never().flatten()
    }

    proptest! {
        #[test]
        fn everything_that_was_kept_comes_back(
            steps in proptest::collection::vec((0_usize..200_000, 0_usize..400_000, any::<bool>()), 1..40),
        ) {
            let budget = Arc::new(MemoryBudget::new(1 << 20));
            let mut shard = ShardBudget::new(Arc::clone(&budget), usize::MAX);
            let mut kept = Vec::new();
            for (reserved, actual, leaves) in steps {
                let Some(permit) = reserve(&budget, reserved) else { continue };
                shard.keep(Some(permit), actual);
                kept.push(actual);
                if leaves {
                    shard.release(kept.swap_remove(0));
                }
                prop_assert_eq!(shard.held(), kept.iter().sum::<usize>());
            }
            kept.drain(..).for_each(|bytes| shard.release(bytes));
            prop_assert_eq!(shard.held(), 0);
            prop_assert_eq!(budget.free.available_permits(), 1 << 20);
        }
    }

    #[test]
    fn shards_have_equal_shares_and_a_shard_that_ends_returns_its_own() {
        let budget = Arc::new(MemoryBudget::new(1 << 20));
        let mut first = ShardBudget::new(Arc::clone(&budget), usize::MAX);
        assert_eq!(first.allowance(), 1 << 20);
        let second = ShardBudget::new(Arc::clone(&budget), 1 << 10);
        assert_eq!((first.allowance(), second.allowance()), (1 << 19, 1 << 10));
        first.keep(reserve(&budget, 1 << 19), 1 << 19);
        assert_eq!(first.allowance(), 0);
        drop(first);
        assert_eq!(budget.free.available_permits(), 1 << 20);
    }

    #[test]
    fn memory_is_given_in_the_order_of_the_requests() {
        let budget = Arc::new(MemoryBudget::new(1 << 20));
        let all = reserve(&budget, 1 << 20);
        let (mut large, mut small) = (Box::pin(budget.reserve(1 << 20)), Box::pin(budget.reserve(1)));
        assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
        drop(all);
        assert!(small.as_mut().now_or_never().is_none(), "a small request does not overtake a large one");
        drop(large.as_mut().now_or_never().flatten());
        assert!(small.as_mut().now_or_never().flatten().is_some());
    }
}

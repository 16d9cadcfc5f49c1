//! Memory for records that were fetched and are not accepted yet: one budget for the process, shared fairly by its shards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The least that a shard may hold, however many shards share the budget and whatever they hold.
pub(super) const MIN_SHARE: usize = 64 << 10;

/// The budget of the process, in bytes. Shards that wait for memory get it in the order in which they asked.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    free: Arc<Semaphore>,
    total: usize,
    shards: AtomicUsize,
    /// Bytes that shards hold without a permit, since a read may return more than was requested. Permits that come back
    /// pay for them first.
    // A lock and not an owner task: held for a few additions, never across a wait.
    overdraft: Mutex<usize>,
    share_grew: Notify,
}

impl MemoryBudget {
    pub(super) fn new(total: usize) -> Self {
        let total = total.clamp(MIN_SHARE, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            shards: AtomicUsize::new(0),
            overdraft: Mutex::new(0),
            share_grew: Notify::new(),
        }
    }

    /// What a shard may hold now: an equal part of the budget, so that no shard starves another.
    fn share(&self) -> usize {
        (self.total / self.shards.load(Ordering::Relaxed).max(1)).max(MIN_SHARE)
    }

    /// Waits until shards may hold more because one of them has ended.
    pub(super) async fn share_grew(&self) {
        self.share_grew.notified().await;
    }

    /// Reserves memory before records are fetched. Cancel-safe, but a caller that drops the future loses its place.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()
    }

    fn overdraft(&self) -> MutexGuard<'_, usize> {
        self.overdraft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes memory that is used already.
    fn take_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).ok();
        let permit = permits.and_then(|permits| Arc::clone(&self.free).try_acquire_many_owned(permits).ok());
        if permit.is_none() {
            *self.overdraft() += bytes;
        }
        permit
    }

    fn give_back(&self, permit: Option<OwnedSemaphorePermit>) {
        let Some(mut permit) = permit else { return };
        let mut overdraft = self.overdraft();
        let paid = (*overdraft).min(permit.num_permits());
        *overdraft -= paid;
        if let Some(paid) = permit.split(paid) {
            paid.forget();
        }
    }

    /// Memory that was taken without a permit is free again.
    fn give_back_overdrawn(&self, bytes: usize) {
        let mut overdraft = self.overdraft();
        let unpaid = (*overdraft).min(bytes);
        *overdraft -= unpaid;
        // Permits of others have paid for the rest.
        self.free.add_permits(bytes - unpaid);
    }
}

/// What one shard holds. Dropping it returns everything.
#[derive(Debug)]
pub(super) struct ShardBudget {
    budget: Arc<MemoryBudget>,
    max: usize,
    held: Option<OwnedSemaphorePermit>,
    /// Bytes that are held without a permit. They leave first.
    overdrawn: usize,
}

impl ShardBudget {
    /// `max`: what the shard may hold even if the process has more.
    pub(super) fn new(budget: Arc<MemoryBudget>, max: usize) -> Self {
        budget.shards.fetch_add(1, Ordering::Relaxed);
        Self { budget, max, held: None, overdrawn: 0 }
    }

    pub(super) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) + self.overdrawn
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
            self.budget.give_back(kept.as_mut().and_then(|permit| permit.split(count - bytes)));
        } else {
            match self.budget.take_now(bytes - count) {
                Some(permit) => merge(&mut kept, permit),
                None => self.overdrawn += bytes - count,
            }
        }
        if let Some(permit) = kept {
            merge(&mut self.held, permit);
        }
    }

    /// Returns memory of records that left.
    pub(super) fn release(&mut self, bytes: usize) {
        let overdrawn = bytes.min(self.overdrawn);
        self.overdrawn -= overdrawn;
        self.budget.give_back_overdrawn(overdrawn);
        let rest = bytes - overdrawn;
        self.budget.give_back(self.held.as_mut().and_then(|held| held.split(rest.min(held.num_permits()))));
    }
}

impl Drop for ShardBudget {
    fn drop(&mut self) {
        self.release(self.held());
        self.budget.shards.fetch_sub(1, Ordering::Relaxed);
        self.budget.share_grew.notify_waiters();
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
            let mut shards = [(); 2].map(|()| (ShardBudget::new(Arc::clone(&budget), usize::MAX), Vec::new()));
            for (step, (reserved, actual, leaves)) in steps.into_iter().enumerate() {
                let (shard, kept) = &mut shards[step % 2];
                shard.keep(reserve(&budget, reserved), actual);
                kept.push(actual);
                if leaves {
                    shard.release(kept.swap_remove(0));
                }
                prop_assert_eq!(shard.held(), kept.iter().sum::<usize>());
                let held: usize = shards.iter().map(|(shard, _)| shard.held()).sum();
                // No more is free than what is not held.
                prop_assert_eq!(budget.free.available_permits() + held, (1 << 20) + *budget.overdraft());
            }
            let [(mut first, kept), (second, _)] = shards;
            kept.into_iter().for_each(|bytes| first.release(bytes));
            prop_assert_eq!(first.held(), 0);
            drop((first, second));
            prop_assert_eq!((budget.free.available_permits(), *budget.overdraft()), (1 << 20, 0));
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
    fn what_a_read_returns_too_much_is_paid_by_what_others_give_back() {
        let budget = Arc::new(MemoryBudget::new(1 << 20));
        let [mut first, mut second] = [(); 2].map(|()| ShardBudget::new(Arc::clone(&budget), usize::MAX));
        first.keep(reserve(&budget, 1 << 20), 1 << 20);
        second.keep(None, 1 << 19);
        first.release(1 << 19);
        assert_eq!(budget.free.available_permits(), 0);
        first.release(1 << 19);
        assert_eq!(budget.free.available_permits(), 1 << 19);
        second.release(1 << 19);
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

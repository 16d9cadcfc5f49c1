//! A lease store whose calls fail at random, before or after they took effect.

use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, SentinelCheckpoint, ShardId,
    WorkerId,
};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Wraps a store. While faults are enabled, each call may take up to a second, and some calls fail, either without effect or
/// after they took effect. Checkpoints fail without effect only: [`LeaseStore`] demands that a store which lost a reply
/// finds out whether its write was done.
#[derive(Debug)]
pub struct FaultyLeaseStore {
    inner: Arc<dyn LeaseStore>,
    random: Mutex<fastrand::Rng>,
    is_on: AtomicBool,
    partitioned_until: Mutex<Option<Instant>>,
    one_in: u32,
}

impl FaultyLeaseStore {
    /// Faults are enabled; one call in `one_in` fails.
    #[must_use]
    pub fn new(inner: Arc<dyn LeaseStore>, one_in: u32, seed: u64) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        Self { inner, random, is_on: AtomicBool::new(true), partitioned_until: Mutex::new(None), one_in: one_in.max(1) }
    }

    /// Simulates a network partition: for `duration`, calls hang for two seconds and then fail without effect.
    pub fn partition(&self, duration: Duration) {
        *self.partitioned_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + duration);
    }

    fn is_partitioned(&self) -> bool {
        let until = *self.partitioned_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// From now on no call fails or is delayed.
    pub fn disable(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }

    fn draw(&self, below: u32) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(0..below)
    }

    async fn fail_or_delay<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        if !self.is_on.load(Ordering::Relaxed) {
            return call.await;
        }
        if self.is_partitioned() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Err(failed(doing));
        }
        tokio::time::sleep(Duration::from_millis(u64::from(self.draw(self.draw(1_000) + 1)))).await;
        if self.draw(self.one_in) == 0 { Err(failed(doing)) } else { call.await }
    }

    async fn lose_reply<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        let result = self.fail_or_delay(doing, call).await;
        let is_lost = self.is_on.load(Ordering::Relaxed) && self.draw(self.one_in) == 0;
        if is_lost { Err(failed(doing)) } else { result }
    }
}

#[async_trait]
impl LeaseStore for FaultyLeaseStore {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.fail_or_delay("preparing", self.inner.prepare()).await
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.fail_or_delay("listing", self.inner.list()).await
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        // Some leases may be created and the rest not.
        let part = &leases[..leases.len().min(1)];
        self.fail_or_delay("creating", self.inner.create_missing(part)).await?;
        self.lose_reply("creating", self.inner.create_missing(leases)).await
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        self.lose_reply("taking", self.inner.take(seen, worker)).await
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.lose_reply("requesting a handoff of", self.inner.request_handoff(seen, worker)).await
    }

    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.lose_reply("withdrawing a handoff of", self.inner.withdraw(seen, worker)).await
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        self.lose_reply("renewing", self.inner.renew(grant)).await
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.fail_or_delay("checkpointing", self.inner.checkpoint(grant, checkpoint)).await
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: SentinelCheckpoint) -> Result<(), LeaseError> {
        self.fail_or_delay("resetting", self.inner.reset(grant, start)).await
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        self.lose_reply("storing children of", self.inner.store_children(grant, children)).await
    }

    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        self.lose_reply("releasing", self.inner.release(grant)).await
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.lose_reply("removing", self.inner.remove(seen)).await
    }
}

fn failed(doing: &str) -> LeaseError {
    let source = "injected fault".into();
    LeaseError::Unavailable { doing: format!("{doing} leases"), kind: FailureKind::Transient, source }
}

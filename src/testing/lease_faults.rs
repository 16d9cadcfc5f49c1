//! A lease store whose calls fail now and then, before or after they took effect.

use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ShardId, WorkerId,
};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Wraps a store. While faults are on, each call may take up to a second, and some fail: either without effect, or,
/// for calls without a grant, after they took effect. (With a grant the port's law lets a store say so only when it
/// could not find out; a lost reply would then cost the grant, which `Lost` shows as well.)
#[derive(Debug)]
pub struct FaultyLeaseStore {
    inner: Arc<dyn LeaseStore>,
    random: Mutex<fastrand::Rng>,
    is_on: AtomicBool,
    cut_until: Mutex<Option<Instant>>,
    one_in: u32,
}

impl FaultyLeaseStore {
    /// Faults are on; one call in `one_in` fails.
    #[must_use]
    pub fn new(inner: Arc<dyn LeaseStore>, one_in: u32, seed: u64) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        Self { inner, random, is_on: AtomicBool::new(true), cut_until: Mutex::new(None), one_in: one_in.max(1) }
    }

    /// Cuts the way to the store for a while: calls hang for two seconds, then fail without effect.
    pub fn cut(&self, duration: Duration) {
        *self.cut_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + duration);
    }

    fn is_cut(&self) -> bool {
        let until = *self.cut_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// From now on every call does what it should, at once.
    pub fn heal(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }

    fn draw(&self, below: u32) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(0..below)
    }

    async fn faulty<T>(&self, doing: &str, call: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        if !self.is_on.load(Ordering::Relaxed) {
            return call.await;
        }
        if self.is_cut() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Err(failed(doing));
        }
        tokio::time::sleep(Duration::from_millis(u64::from(self.draw(self.draw(1_000) + 1)))).await;
        if self.draw(self.one_in) == 0 { Err(failed(doing)) } else { call.await }
    }

    async fn lossy<T>(&self, doing: &str, call: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        let result = self.faulty(doing, call).await;
        let is_lost = self.is_on.load(Ordering::Relaxed) && self.draw(self.one_in) == 0;
        if is_lost { Err(failed(doing)) } else { result }
    }
}

#[async_trait]
impl LeaseStore for FaultyLeaseStore {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.faulty("preparing", self.inner.prepare()).await
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.faulty("listing", self.inner.list()).await
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        // A part may be created and the rest not.
        let part = &leases[..leases.len().min(1)];
        self.faulty("creating", self.inner.create_missing(part)).await?;
        self.lossy("creating", self.inner.create_missing(leases)).await
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        self.lossy("taking", self.inner.take(seen, worker)).await
    }

    async fn ask_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.lossy("asking for", self.inner.ask_handoff(seen, worker)).await
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        self.lossy("renewing", self.inner.renew(grant)).await
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.faulty("checkpointing", self.inner.checkpoint(grant, checkpoint)).await
    }

    async fn note_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        self.lossy("noting children of", self.inner.note_children(grant, children)).await
    }

    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        self.lossy("releasing", self.inner.release(grant)).await
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.lossy("removing", self.inner.remove(seen)).await
    }
}

fn failed(doing: &str) -> LeaseError {
    let source = "fault on purpose".into();
    LeaseError::Unavailable { doing: format!("{doing} leases"), kind: FailureKind::Transient, source }
}

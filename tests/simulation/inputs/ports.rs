//! The app of one worker, and a lease store that reports every checkpoint to the checker.

use super::invariants::Checker;
use async_trait::async_trait;
use bindd::domain::{
    Accepted, Checkpoint, DeliveryError, EventBatch, EventHandler, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease,
    Renewed, SentinelCheckpoint, ShardId, WorkerId,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// While it is faulty it rejects events, hangs, or loses responses.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) checker: Checker,
    pub(crate) worker: WorkerId,
    pub(crate) is_faulty: Arc<AtomicBool>,
    pub(crate) random: Arc<Mutex<fastrand::Rng>>,
}

impl App {
    fn draw(&self, below: u64) -> u64 {
        self.random.lock().unwrap().u64(0..below)
    }
}

#[async_trait]
impl EventHandler for App {
    async fn is_reachable(&self) -> bool {
        true
    }

    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let [event] = batch.events.as_slice() else { return Err(refused(400, "a batch".to_owned(), None)) };
        let (shard, position) = (&event.origin.shard, &event.origin.position);
        self.checker.delivery_started(&self.worker, shard, position);
        let target = "POST /events".to_owned();
        let is_faulty = self.is_faulty.load(Ordering::Relaxed);
        let reaction = if is_faulty { self.draw(20) } else { 19 };
        let wait = match reaction {
            0 => 8_000,
            _ if is_faulty => self.draw(150),
            _ => self.draw(30),
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        match reaction {
            1 => return Err(refused(500, target, None)),
            2 => {
                return Err(refused(503, target, Some(Duration::from_secs(1))));
            }
            _ => self.checker.accepted(shard, position),
        }
        if reaction == 3 {
            // Accepted, but the response is lost.
            return Err(DeliveryError::TimedOut { target, limit: Duration::from_secs(1), option: "--app-timeout" });
        }
        Ok(Accepted::All)
    }
}

fn refused(status: u16, target: String, retry_after: Option<Duration>) -> DeliveryError {
    DeliveryError::Refused { status, target, retry_after, location: None, excerpt: None }
}

#[derive(Debug)]
pub(crate) struct CheckedLeases(pub(crate) Checker);

#[async_trait]
impl LeaseStore for CheckedLeases {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.0.leases.prepare().await
    }
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.0.leases.list().await
    }
    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        self.0.leases.create_missing(leases).await
    }
    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        self.0.leases.take(seen, worker).await
    }
    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.0.leases.request_handoff(seen, worker).await
    }
    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.0.leases.withdraw(seen, worker).await
    }
    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        self.0.leases.renew(grant).await
    }
    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.0.leases.checkpoint(grant, checkpoint).await?;
        self.0.checkpointed(grant.shard(), checkpoint);
        Ok(())
    }
    async fn reset(&self, grant: &mut LeaseGrant, start: SentinelCheckpoint) -> Result<(), LeaseError> {
        self.0.leases.reset(grant, start).await
    }
    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        self.0.leases.store_children(grant, children).await
    }
    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        self.0.leases.release(grant).await
    }
    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.0.leases.remove(seen).await
    }
}

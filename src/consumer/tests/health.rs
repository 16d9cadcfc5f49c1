//! Health, and why a worker ended: an input that cannot read for longer than a minute reports why, also if the failure may
//! be over soon.

use super::super::ConsumerError;
use super::{Bench, Ports, Renewers, lease};
use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition, ShardId,
    WorkerId,
};
use crate::testing::{MemoryLeaseStore, StreamFaults};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A lease store that cannot be prepared or listed for a while, or whose takes never return.
#[derive(Debug)]
struct Leases {
    inner: MemoryLeaseStore,
    prepare_fails: AtomicBool,
    list_fails: AtomicBool,
    take_hangs: AtomicBool,
}

impl Leases {
    fn new(bench: &Bench) -> Arc<Self> {
        let no = || AtomicBool::new(false);
        Arc::new(Self { inner: bench.leases.clone(), prepare_fails: no(), list_fails: no(), take_hangs: no() })
    }

    fn ports(self: &Arc<Self>, bench: &Bench) -> Ports {
        let (directory, retrieval) = bench.stream.ports(&StreamFaults::none());
        let leases: Arc<dyn LeaseStore> = Arc::<Self>::clone(self);
        Ports {
            directory,
            retrieval,
            renewers: Renewers::here(Arc::clone(&leases)),
            leases,
            handler: Arc::new(bench.app.clone()),
            dead_letters: None,
        }
    }
}

fn failure(fails: &AtomicBool) -> Result<(), LeaseError> {
    let error = || LeaseError::Unavailable {
        doing: "calling DynamoDB".to_owned(),
        kind: FailureKind::Throttled,
        source: "throttled".into(),
    };
    if fails.load(Ordering::Relaxed) { Err(error()) } else { Ok(()) }
}

#[async_trait]
impl LeaseStore for Leases {
    async fn prepare(&self) -> Result<(), LeaseError> {
        failure(&self.prepare_fails)
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        failure(&self.list_fails)?;
        self.inner.list().await
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        self.inner.create_missing(leases).await
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        if self.take_hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.take(seen, worker).await
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.inner.request_handoff(seen, worker).await
    }

    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.inner.withdraw(seen, worker).await
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        self.inner.renew(grant).await
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.inner.checkpoint(grant, checkpoint).await
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError> {
        self.inner.reset(grant, start).await
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        self.inner.store_children(grant, children).await
    }

    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        self.inner.release(grant).await
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.inner.remove(seen).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_table_that_is_throttled_for_a_minute_makes_the_input_unhealthy() {
    let bench = Bench::new(1);
    let leases = Leases::new(&bench);
    leases.prepare_fails.store(true, Ordering::Relaxed);
    let settings = Bench::settings("a");
    let status = settings.status.clone();
    let (_stop, _worker) = bench.start_on(settings, leases.ports(&bench));
    let refusal_after = |seconds| {
        let status = status.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            status.refusal(Instant::now())
        }
    };
    assert_eq!(refusal_after(55).await, None);
    let why = refusal_after(20).await.unwrap();
    assert!(why.starts_with("lease table could not be prepared for 7"), "{why}");
    leases.prepare_fails.store(false, Ordering::Relaxed);
    bench.put(1);
    bench.app.until_accepted(1).await;
    assert_eq!(refusal_after(5).await, None);
    leases.list_fails.store(true, Ordering::Relaxed);
    assert_eq!(refusal_after(55).await, None);
    let why = refusal_after(20).await.unwrap();
    assert!(why.starts_with("leases could not be scanned for") && why.ends_with("throttled"), "{why}");
    leases.list_fails.store(false, Ordering::Relaxed);
    assert_eq!(refusal_after(20).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_must_be_aborted_still_reports_why_it_stopped() {
    let bench = Bench::new(2);
    let leases = Leases::new(&bench);
    bench.put(2);
    let (_stop, mut worker) = bench.start_on(Bench::settings("a"), leases.ports(&bench));
    bench.app.until_accepted(2).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    leases.take_hangs.store(true, Ordering::Relaxed);
    bench.leases.put(lease(7, None, 0));
    tokio::time::sleep(Duration::from_secs(5)).await;
    bench.stream.recreate(2);
    let error = worker.next().await.unwrap().result.unwrap().unwrap_err();
    assert!(matches!(error, ConsumerError::StreamReplaced { .. }), "{error}");
}

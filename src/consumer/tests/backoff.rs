//! A call that keeps failing is repeated with growing pauses, and stops nothing else.

use super::{Bench, ConsumerSettings, Ports, Renewers, lease, shard};
use crate::domain::{
    Checkpoint, FailureKind, HashKeyRange, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition,
    Retrieval, RetrievalError, SentinelCheckpoint, ShardDirectory, ShardId, ShardListing, Stop, StreamDirectory,
    StreamIdentity, WorkerId,
};
use crate::testing::{MemoryLeaseStore, StreamFaults};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The directory of a stream, some of whose calls fail, and the holes in its listings.
#[derive(Debug)]
struct Directory {
    inner: Arc<dyn StreamDirectory>,
    list_fails: AtomicBool,
    identify_fails: AtomicBool,
    lists: AtomicU32,
    identifies: AtomicU32,
    /// Lists only these shards.
    only: Mutex<Option<Vec<ShardId>>>,
}

impl Directory {
    fn new(bench: &Bench) -> (Arc<Self>, Arc<dyn Retrieval>) {
        let (inner, retrieval) = bench.stream.ports(&StreamFaults::none());
        let flags = || AtomicBool::new(false);
        let directory = Self {
            inner,
            list_fails: flags(),
            identify_fails: flags(),
            lists: AtomicU32::new(0),
            identifies: AtomicU32::new(0),
            only: Mutex::default(),
        };
        (Arc::new(directory), retrieval)
    }

    fn counts(&self) -> (u32, u32) {
        (self.lists.swap(0, Ordering::Relaxed), self.identifies.swap(0, Ordering::Relaxed))
    }
}

fn failed(doing: &str) -> RetrievalError {
    let source = "injected fault".into();
    RetrievalError::Unavailable { doing: doing.to_owned(), kind: FailureKind::Throttled, source }
}

#[async_trait]
impl ShardDirectory for Directory {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        if self.list_fails.load(Ordering::Relaxed) {
            return Err(failed("listing"));
        }
        let mut listing = self.inner.list().await?;
        if let Some(only) = &*self.only.lock().unwrap() {
            listing.shards.retain(|shard| only.contains(&shard.id));
        }
        Ok(listing)
    }
}

#[async_trait]
impl StreamDirectory for Directory {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        self.identifies.fetch_add(1, Ordering::Relaxed);
        if self.identify_fails.load(Ordering::Relaxed) {
            Err(failed("describing"))
        } else {
            self.inner.identify().await
        }
    }
}

/// A store that denies one kind of write.
#[derive(Debug)]
struct Denied {
    inner: MemoryLeaseStore,
    writes: &'static str,
    tries: AtomicU32,
    scans: AtomicU32,
}

impl Denied {
    fn new(bench: &Bench, writes: &'static str) -> Arc<Self> {
        let (tries, scans) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { inner: bench.leases.clone(), writes, tries, scans })
    }

    fn allow(&self, write: &'static str) -> Result<(), LeaseError> {
        if write != self.writes {
            return Ok(());
        }
        self.tries.fetch_add(1, Ordering::Relaxed);
        let (doing, source) = (format!("{write} leases"), "injected denial".into());
        Err(LeaseError::Unavailable { doing, kind: FailureKind::Denied, source })
    }
}

#[async_trait]
impl LeaseStore for Denied {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.inner.prepare().await
    }
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.inner.list().await
    }
    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        self.allow("create")?;
        self.inner.create_missing(leases).await
    }
    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        self.allow("take")?;
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
        self.allow("remove")?;
        self.inner.remove(seen).await
    }
}

fn start(
    bench: &Bench,
    settings: ConsumerSettings,
    ports: (Arc<Directory>, Arc<dyn Retrieval>),
    leases: Arc<dyn LeaseStore>,
) -> (Stop, super::Running) {
    let (directory, retrieval) = ports;
    bench.start_on(
        settings,
        Ports {
            directory,
            retrieval,
            renewers: Renewers::here(Arc::clone(&leases)),
            leases,
            handler: Arc::new(bench.app.clone()),
            dead_letters: None,
        },
    )
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_for_a_minute_is_repeated_with_growing_pauses_and_stops_no_take() {
    let bench = Bench::new(2);
    let (directory, retrieval) = Directory::new(&bench);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let ports = (Arc::clone(&directory), retrieval);
    let (_stop, _worker) = start(&bench, Bench::settings("a"), ports.clone(), Arc::clone(&leases));
    bench.put(1);
    bench.app.until_accepted(1).await;
    directory.list_fails.store(true, Ordering::Relaxed);
    tokio::time::sleep(MINUTE).await;
    directory.counts();
    let (stop_b, mut b) = start(&bench, Bench::settings("b"), ports, leases);
    tokio::time::sleep(MINUTE).await;
    let (lists, _) = directory.counts();
    assert!(lists < 40, "{lists} listings of two workers in a minute");
    let owned =
        |name: &str| bench.leases.leases().iter().filter(|lease| lease.owner == Some(WorkerId::new(name))).count();
    assert_eq!((owned("a"), owned("b")), (1, 1), "a new worker takes its share without a listing");
    stop_b.finish();
    b.next().await.unwrap().result.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_at_latest_without_a_starting_time_waits_for_the_first_listing() {
    let bench = Bench::new(1);
    let latest = Checkpoint::NotStarted(SentinelCheckpoint::Latest);
    bench.leases.put(Lease { checkpoint: latest, ..lease(0, None, 0) });
    let (directory, retrieval) = Directory::new(&bench);
    directory.list_fails.store(true, Ordering::Relaxed);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), leases);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.leases.lease(&shard(0)).unwrap().owner, None, "the KCL writes rows without a moment");
    directory.list_fails.store(false, Ordering::Relaxed);
    bench.put(1);
    bench.app.until_accepted(1).await;
    assert!(bench.leases.lease(&shard(0)).unwrap().start_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_first_start_during_a_failing_listing_waits_with_backoff() {
    let bench = Bench::new(1);
    let (directory, retrieval) = Directory::new(&bench);
    directory.list_fails.store(true, Ordering::Relaxed);
    let leases = Denied::new(&bench, "nothing");
    let store: Arc<dyn LeaseStore> = Arc::<Denied>::clone(&leases);
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), store);
    bench.put(1);
    tokio::time::sleep(MINUTE).await;
    let (lists, identifies) = directory.counts();
    assert!(lists < 30 && identifies < 30, "{lists} {identifies}");
    assert!(leases.scans.load(Ordering::Relaxed) < 60, "{leases:?}");
    directory.list_fails.store(false, Ordering::Relaxed);
    bench.app.until_accepted(1).await;
}

#[tokio::test(start_paused = true)]
async fn describing_that_is_throttled_fails_no_listing_once_the_stream_is_known() {
    let bench = Bench::new(1);
    let (directory, retrieval) = Directory::new(&bench);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), leases);
    bench.put(1);
    bench.app.until_accepted(1).await;
    directory.identify_fails.store(true, Ordering::Relaxed);
    // The first reading of the children needs a call; their leases do not.
    let [left, right] = bench.stream.split(&shard(0)).unwrap();
    tokio::time::sleep(MINUTE * 20).await;
    assert!(bench.leases.lease(&left).is_some() && bench.leases.lease(&right).is_some());
    directory.identify_fails.store(false, Ordering::Relaxed);
    bench.put(3);
    bench.app.until_accepted(4).await;
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_described_rarely_while_nothing_fails() {
    let bench = Bench::new(4);
    let (directory, retrieval) = Directory::new(&bench);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), leases);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let (lists, identifies) = directory.counts();
    assert!(lists <= 65 && identifies <= 8, "{lists} {identifies}");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_never_allowed_is_repeated_with_growing_pauses() {
    let bench = Bench::new(1);
    bench.put(1);
    let [left, right] = bench.stream.split(&shard(0)).unwrap();
    // A parent stays until its children have begun.
    bench.put_texts("of a child", 20);
    let ended = Lease { checkpoint: Checkpoint::Ended, children: vec![left, right], ..lease(0, None, 3) };
    bench.leases.put(ended);
    let child = |number| Lease { parents: vec![shard(0)], ..lease(number, None, 0) };
    [1, 2].into_iter().for_each(|number| bench.leases.put(child(number)));
    let ports = Directory::new(&bench);
    let leases = Denied::new(&bench, "remove");
    let (_stop, _worker) = start(&bench, Bench::settings("a"), ports, Arc::<Denied>::clone(&leases));
    tokio::time::sleep(MINUTE * 5).await;
    let tries = leases.tries.load(Ordering::Relaxed);
    assert!((5..40).contains(&tries), "{tries} removals in five minutes");
    assert!(leases.scans.load(Ordering::Relaxed) < 250, "{leases:?}");
    assert!(bench.leases.leases().iter().filter(|lease| lease.owner.is_some()).count() == 2, "the others are read");
}

#[tokio::test(start_paused = true)]
async fn creations_and_takes_that_are_never_allowed_are_repeated_with_growing_pauses() {
    for (write, rows) in [("create", 0), ("take", 1)] {
        let bench = Bench::new(1);
        (0..rows).for_each(|number| bench.leases.put(lease(number, None, 0)));
        let ports = Directory::new(&bench);
        let leases = Denied::new(&bench, write);
        let (_stop, _worker) = start(&bench, Bench::settings("a"), ports, Arc::<Denied>::clone(&leases));
        tokio::time::sleep(MINUTE * 5).await;
        let (tries, scans) = (leases.tries.load(Ordering::Relaxed), leases.scans.load(Ordering::Relaxed));
        assert!((5..90).contains(&tries) && scans < 300, "{write}: {tries} tries, {scans} scans in five minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_with_a_hole_is_used_after_a_while() {
    let bench = Bench::new(3);
    let (directory, retrieval) = Directory::new(&bench);
    *directory.only.lock().unwrap() = Some(vec![shard(0), shard(2)]);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), leases);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(bench.leases.leases().is_empty(), "a reshard may be under way");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let owned = |bench: &Bench| bench.leases.leases().iter().filter(|lease| lease.owner.is_some()).count();
    assert_eq!(owned(&bench), 2);
    *directory.only.lock().unwrap() = None;
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(owned(&bench), 3, "a hole that closes later is read too");
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_closes_soon_is_waited_for() {
    let bench = Bench::new(2);
    let (directory, retrieval) = Directory::new(&bench);
    *directory.only.lock().unwrap() = Some(Vec::new());
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (_stop, _worker) = start(&bench, Bench::settings("a"), (Arc::clone(&directory), retrieval), leases);
    tokio::time::sleep(Duration::from_secs(3)).await;
    *directory.only.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ranges: Vec<Option<HashKeyRange>> = bench.leases.leases().iter().map(|lease| lease.hash_range).collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
}

//! The end of a shard, signalled correctly and falsely.

use super::{Bench, Ports, Renewers, shard};
use crate::domain::{
    FailureKind, LeaseStore, RetrievalError, ShardDirectory, ShardListing, StreamDirectory, StreamIdentity,
};
use crate::testing::{MemoryStream, StreamFaults};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Counts listings. Can fail, and can change the stream during a listing.
#[derive(Debug)]
struct Directory {
    stream: MemoryStream,
    calls: AtomicUsize,
    fails: AtomicBool,
    /// Puts records and splits the shard during this call.
    splits_at: Option<usize>,
}

impl Directory {
    fn new(bench: &Bench) -> Self {
        let stream = bench.stream.clone();
        Self { stream, calls: AtomicUsize::new(0), fails: AtomicBool::new(false), splits_at: None }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ShardDirectory for Directory {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.splits_at == Some(call) {
            (0..3).for_each(|number| assert!(self.stream.put("key", format!("late-{number}")).is_some()));
            self.stream.split(&shard(0)).unwrap();
        }
        if self.fails.load(Ordering::SeqCst) {
            let (doing, source) = ("listing shards".to_owned(), "injected fault".into());
            return Err(RetrievalError::Unavailable { doing, kind: FailureKind::Transient, source });
        }
        Ok(self.stream.listing())
    }
}

#[async_trait]
impl StreamDirectory for Directory {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        Ok(self.stream.identity())
    }
}

fn ports(bench: &Bench, directory: &Arc<Directory>, faults: &StreamFaults) -> Ports {
    let (_, retrieval) = bench.stream.ports(faults);
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    Ports {
        directory: Arc::<Directory>::clone(directory),
        retrieval,
        renewers: Renewers::here(Arc::clone(&leases)),
        leases,
        handler: Arc::new(bench.app.clone()),
        dead_letters: None,
    }
}

fn is_ended(bench: &Bench) -> bool {
    bench.leases.lease(&shard(0)).is_some_and(|lease| lease.checkpoint.is_ended())
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_open_is_read_on_however_often_its_end_is_signalled() {
    let bench = Bench::new(1);
    bench.put(2);
    let directory = Arc::new(Directory::new(&bench));
    let ports = ports(&bench, &directory, &StreamFaults::without_end_fields());
    let (_stop, _worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(2).await;
    sleep(Duration::from_secs(300)).await;
    assert!(!is_ended(&bench));
    // Mean pause of 5 s, and the listings that are due each minute.
    assert!(directory.calls() < 120, "{}", directory.calls());
    bench.put(1);
    bench.app.until_accepted(3).await;
    assert_eq!(bench.accepted(), ["0", "1", "0"]);
    assert!(!bench.counted("retention_gaps") && !bench.counted("position_resets"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_ends_without_children_being_named() {
    let bench = Bench::new(1);
    bench.put(25);
    let [left, right] = bench.stream.split(&shard(0)).unwrap();
    bench.put(2);
    let directory = Arc::new(Directory::new(&bench));
    let ports = ports(&bench, &directory, &StreamFaults::without_end_fields());
    let (_stop, _worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(27).await;
    assert_eq!(bench.app.calls().len(), 27);
    assert!(bench.leases.lease(&left).is_some() && bench.leases.lease(&right).is_some());
}

#[tokio::test(start_paused = true)]
async fn records_put_between_a_false_end_and_the_close_of_the_shard_are_read() {
    let bench = Bench::new(1);
    bench.put(1);
    // The first call is that of the worker's start, the second checks whether the shard has ended.
    let directory = Arc::new(Directory { splits_at: Some(1), ..Directory::new(&bench) });
    let ports = ports(&bench, &directory, &StreamFaults::without_end_fields());
    let (_stop, _worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(4).await;
    assert_eq!(bench.accepted(), ["0", "late-0", "late-1", "late-2"]);
    while !is_ended(&bench) {
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_shard_ends_while_shards_cannot_be_listed() {
    let bench = Bench::new(1);
    bench.put(1);
    let directory = Arc::new(Directory::new(&bench));
    let ports = ports(&bench, &directory, &StreamFaults::without_end_fields());
    let (_stop, _worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(1).await;
    directory.fails.store(true, Ordering::SeqCst);
    let [_, right] = bench.stream.split(&shard(0)).unwrap();
    sleep(Duration::from_secs(120)).await;
    assert!(!is_ended(&bench));
    directory.fails.store(false, Ordering::SeqCst);
    while !is_ended(&bench) || bench.leases.lease(&right).is_none() {
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_gone_after_its_end_was_signalled_counts_as_ended() {
    let bench = Bench::new(1);
    bench.put(1);
    let directory = Arc::new(Directory::new(&bench));
    let ports = ports(&bench, &directory, &StreamFaults::without_end_fields());
    let (_stop, _worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(1).await;
    let [left, _] = bench.stream.split(&shard(0)).unwrap();
    bench.stream.expire(&shard(0));
    while bench.leases.lease(&left).is_none() {
        sleep(Duration::from_secs(1)).await;
    }
}

/// Puts records into all shards, starts a worker, and waits until the first shard has ended. Returns the directory, and what
/// keeps the worker.
async fn after_a_split(bench: &Bench) -> (Arc<Directory>, impl Sized) {
    bench.put(1);
    bench.stream.split(&shard(0)).unwrap();
    let directory = Arc::new(Directory::new(bench));
    let worker = bench.start_on(Bench::settings("a"), ports(bench, &directory, &StreamFaults::none()));
    while !is_ended(bench) {
        sleep(Duration::from_millis(100)).await;
    }
    (directory, worker)
}

/// The default lease duration.
const LEASE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn the_row_of_an_ended_shard_is_removed_after_two_lease_durations_and_the_next_listing() {
    let bench = Bench::new(1);
    let (_directory, _worker) = after_a_split(&bench).await;
    let ended = Instant::now();
    bench.put_texts("child", 20);
    bench.app.until_accepted(21).await;
    while bench.leases.lease(&shard(0)).is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    let kept = ended.elapsed();
    // Listings are six lease durations apart, and the next scan makes the change.
    assert!(kept >= 2 * LEASE && kept <= 2 * LEASE + 6 * LEASE + LEASE, "{kept:?}");
    assert_eq!(bench.leases.leases().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_row_of_a_shard_with_a_quiet_child_stays_at_no_cost() {
    let bench = Bench::new(1);
    let (directory, _worker) = after_a_split(&bench).await;
    // The listing that the end requested.
    sleep(LEASE).await;
    let before = directory.calls();
    sleep(60 * LEASE).await;
    assert!(bench.leases.lease(&shard(0)).is_some(), "a child without progress needs the row of its parent");
    assert!(directory.calls() <= before + 10, "{} regular listings were expected", directory.calls() - before);
    bench.put_texts("child", 20);
    while bench.leases.lease(&shard(0)).is_some() {
        sleep(Duration::from_secs(1)).await;
    }
}

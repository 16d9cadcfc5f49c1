use super::*;
use crate::consumer::tests::{after, lease, shard};
use crate::domain::{LeaseStore, WorkerId};
use crate::telemetry::Metrics;
use crate::testing::MemoryLeaseStore;

const D: Duration = Duration::from_secs(10);

struct Bench {
    leases: MemoryLeaseStore,
}

impl Bench {
    fn new() -> Self {
        let leases = MemoryLeaseStore::new();
        leases.put(lease(0, None, 0));
        Self { leases }
    }

    async fn keep(&self) -> RenewerHandle {
        let begun = Instant::now();
        let grant = self.leases.take(&self.row(), &WorkerId::new("a")).await.unwrap();
        let settings = RenewerSettings { lease_duration: D, checkpoint_interval: Duration::from_secs(1), seed: 1 };
        Renewers::here(Arc::new(self.leases.clone())).start(grant, begun, &settings, Metrics::new().input("orders"))
    }

    fn row(&self) -> Lease {
        self.leases.lease(&shard(0)).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_and_its_fence_moves() {
    let bench = Bench::new();
    let handle = bench.keep().await;
    let (fence, counter) = (handle.fence(), bench.row().counter);
    assert_eq!((handle.epoch(), handle.lease().counter), (counter, counter));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(bench.row().counter.value() >= counter.value() + 18, "{:?}", bench.row().counter);
    assert!(handle.fence() > fence + Duration::from_secs(55));
    assert!(handle.fence() > Instant::now());
}

#[tokio::test(start_paused = true)]
async fn progress_is_stored_once_a_second_and_reported() {
    let bench = Bench::new();
    let mut handle = bench.keep().await;
    let counter = bench.row().counter.value();
    for number in 1..=1_500 {
        handle.progress(after(number));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The first report is of the checkpoint after a second; the second interval ends within the next.
    let RenewerEvent::Stored(first) = handle.next().await else { panic!("progress was stored") };
    assert!(first != after(1_500) && bench.row().checkpoint == first, "{first:?}");
    assert_eq!(handle.next().await, RenewerEvent::Stored(after(1_500)));
    assert_eq!(bench.row().counter.value(), counter + 2);
}

#[tokio::test(start_paused = true)]
async fn a_handoff_is_seen_from_a_checkpoint_and_the_release_completes_it() {
    let bench = Bench::new();
    let mut handle = bench.keep().await;
    bench.leases.request_handoff(&bench.row(), &WorkerId::new("b")).await.unwrap();
    handle.progress(after(7));
    let seen = [handle.next().await, handle.next().await];
    assert_eq!(seen, [RenewerEvent::HandoffRequested, RenewerEvent::Stored(after(7))]);
    handle.progress(after(8));
    handle.release(Instant::now() + Duration::from_secs(5));
    let seen = [handle.next().await, handle.next().await];
    assert_eq!(seen, [RenewerEvent::Stored(after(8)), RenewerEvent::Ended(RenewerEnd::Released)]);
    let row = bench.row();
    assert_eq!((row.owner, row.handoff_from, row.checkpoint), (Some(WorkerId::new("b")), None, after(8)));
}

#[tokio::test(start_paused = true)]
async fn an_ended_shard_is_finished() {
    let bench = Bench::new();
    let mut handle = bench.keep().await;
    handle.finish(vec![shard(1)]);
    let seen = [handle.next().await, handle.next().await];
    assert_eq!(seen, [RenewerEvent::Stored(Checkpoint::Ended), RenewerEvent::Ended(RenewerEnd::ShardEnded)]);
    let row = bench.row();
    assert_eq!((row.owner, row.children, row.checkpoint), (None, vec![shard(1)], Checkpoint::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_is_lost_and_its_progress_is_not_stored() {
    let bench = Bench::new();
    let mut handle = bench.keep().await;
    handle.progress(after(3));
    bench.leases.take(&bench.row(), &WorkerId::new("b")).await.unwrap();
    assert_eq!(handle.next().await, RenewerEvent::Ended(RenewerEnd::Lost));
    assert_eq!(bench.row().checkpoint, lease(0, None, 0).checkpoint);
    let more = tokio::time::timeout(Duration::from_secs(60), handle.next()).await;
    assert!(more.is_err(), "nothing follows the end");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_stops_the_renewer_at_once() {
    let bench = Bench::new();
    let handle = bench.keep().await;
    handle.progress(after(3));
    let before = bench.row();
    drop(handle);
    tokio::time::sleep(D * 2).await;
    assert_eq!(bench.row(), before, "nothing was written after the drop");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_event_may_be_cancelled() {
    let bench = Bench::new();
    let mut handle = bench.keep().await;
    handle.progress(after(3));
    handle.release(Instant::now() + Duration::from_secs(5));
    let mut seen = Vec::new();
    while seen.last() != Some(&RenewerEvent::Ended(RenewerEnd::Released)) {
        // Polled once, then dropped.
        if let Some(event) = futures_util::FutureExt::now_or_never(handle.next()) {
            seen.push(event);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, [RenewerEvent::Stored(after(3)), RenewerEvent::Ended(RenewerEnd::Released)]);
}

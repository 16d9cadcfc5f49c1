use super::super::ConsumerError;
use super::{Bench, shard};
use crate::domain::{Checkpoint, LeaseStore, WorkerId};
use crate::testing::Reply;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_record_in_flight_and_releases() {
    let bench = Bench::new(1);
    bench.put(3);
    bench.app.always(Reply::Accept(Duration::from_secs(5)));
    let (stop, mut worker) = bench.start(Bench::settings("a"));
    while bench.app.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.finish();
    worker.next().await.unwrap().result.unwrap().unwrap();
    assert_eq!((bench.accepted().len(), bench.app.calls().len()), (1, 1));
    let lease = bench.leases.lease(&shard(0)).unwrap();
    assert_eq!((lease.owner, lease.checkpoint), (None, Checkpoint::After(bench.app.calls()[0].position.clone())));
}

#[tokio::test(start_paused = true)]
async fn an_app_that_hangs_does_not_hold_a_stop_beyond_the_drain_limit() {
    let bench = Bench::new(1);
    bench.put(1);
    bench.app.always(Reply::Stall);
    let (stop, mut worker) = bench.start(Bench::settings("a"));
    // Long enough to show that a hanging app does not starve the renewals.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.app.calls().len(), 1);
    let stopped_at = Instant::now();
    stop.finish();
    assert!(
        matches!(worker.next().await.unwrap().result.unwrap(), Err(ConsumerError::Aborted)),
        "an abort is reported"
    );
    assert!(stopped_at.elapsed() <= Duration::from_secs(20));
    assert_eq!(bench.leases.lease(&shard(0)).unwrap().owner, None);
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_ends_at_once() {
    let bench = Bench::new(2);
    bench.put(1);
    bench.app.always(Reply::Stall);
    let (stop, mut worker) = bench.start(Bench::settings("a"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped_at = Instant::now();
    stop.now();
    assert!(
        matches!(worker.next().await.unwrap().result.unwrap(), Err(ConsumerError::Aborted)),
        "an abort is reported"
    );
    assert_eq!(stopped_at.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_delivery_and_checkpoints_nothing() {
    let bench = Bench::new(1);
    bench.put(2);
    bench.app.always(Reply::Accept(Duration::from_secs(4)));
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    while bench.app.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = bench.leases.lease(&shard(0)).unwrap();
    let mut other = bench.leases.take(&seen, &WorkerId::new("other")).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        bench.leases.renew(&mut other).await.unwrap();
    }
    assert_eq!(bench.app.calls().len(), 1);
    assert!(matches!(bench.leases.lease(&shard(0)).unwrap().checkpoint, Checkpoint::NotStarted(_)));
}

#[tokio::test(start_paused = true)]
async fn two_workers_share_leases_and_the_remaining_one_takes_over_within_a_scan() {
    let bench = Bench::new(4);
    let (_stop_a, _a) = bench.start(Bench::settings("a"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (stop_b, mut b) = bench.start(Bench::settings("b"));
    let of = |name: &str| {
        let worker = Some(WorkerId::new(name));
        bench.leases.leases().iter().filter(|lease| lease.owner == worker && lease.handoff_from.is_none()).count()
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((of("a"), of("b")), (2, 2));
    stop_b.finish();
    b.next().await.unwrap().result.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(of("a"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_re_created_stream_ends_the_worker_with_a_reason() {
    let bench = Bench::new(1);
    let (stop, mut worker) = bench.start(Bench::settings("a"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.finish();
    worker.next().await.unwrap().result.unwrap().unwrap();
    bench.stream.recreate(1);
    let (_stop, mut worker) = bench.start(Bench::settings("a"));
    let error = worker.next().await.unwrap().result.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("the stream was deleted and created again"), "{error}");
}

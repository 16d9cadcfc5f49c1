use super::super::ConsumerError;
use super::{Bench, shard};
use crate::consumer::{Ports, Renewers};
use crate::domain::{Checkpoint, LeaseStore, WorkerId};
use crate::testing::{FaultyLeaseStore, Network, Partition, Reply, StreamFaults};
use std::sync::Arc;
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
async fn an_input_that_is_retired_waits_for_a_slow_app_until_the_retirement_becomes_urgent() {
    for (answers_after, urgent_after, ended_by, accepted) in [(50, 90, 45, 1), (70, 90, 65, 0), (50, 10, 30, 0)] {
        let bench = Bench::new(1);
        bench.put(1);
        bench.app.always(Reply::Accept(Duration::from_secs(answers_after)));
        let (stop, mut worker) = bench.start(Bench::settings("a"));
        while bench.app.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let stopped_at = Instant::now();
        stop.retire();
        let ended = tokio::time::timeout(Duration::from_secs(urgent_after), worker.next()).await;
        let ended = match ended {
            Ok(ended) => ended,
            Err(_) => {
                stop.finish();
                worker.next().await
            }
        };
        assert_eq!(ended.unwrap().result.unwrap().is_ok(), accepted == 1);
        let took = stopped_at.elapsed();
        assert!(took <= Duration::from_secs(ended_by) + Duration::from_secs(1), "{took:?}");
        assert_eq!((bench.accepted().len(), bench.app.calls().len()), (accepted, 1));
        assert_eq!(bench.leases.lease(&shard(0)).unwrap().owner, None);
    }
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
    assert!(bench.leases.leases().iter().all(|lease| lease.owner.is_none()), "the leases are released");
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_stores_progress_and_releases_without_waiting_for_the_app() {
    let bench = Bench::new(1);
    bench.put(2);
    bench.app.plan([Reply::Accept(Duration::ZERO)]);
    bench.app.always(Reply::Stall);
    let (stop, mut worker) = bench.start(Bench::settings("a"));
    while bench.app.calls().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.finish();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let forced_at = Instant::now();
    stop.now();
    assert!(worker.next().await.unwrap().result.unwrap().is_err(), "an abort is reported");
    assert!(forced_at.elapsed() < Duration::from_secs(1));
    let lease = bench.leases.lease(&shard(0)).unwrap();
    assert_eq!((lease.owner, lease.checkpoint), (None, Checkpoint::After(bench.app.calls()[0].position.clone())));
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_waits_two_seconds_at_most_for_a_lease_table_that_hangs() {
    let bench = Bench::new(1);
    let (network, _task) = Network::new();
    let inner = Arc::new(bench.leases.clone());
    let leases = Arc::new(FaultyLeaseStore::new(inner, network, Duration::from_secs(10), (u32::MAX, 1)));
    let (directory, retrieval) = bench.stream.ports(&StreamFaults::none());
    let renewers = Renewers::here(Arc::clone(&leases) as Arc<dyn LeaseStore>);
    let handler = Arc::new(bench.app.clone());
    let ports = Ports { directory, retrieval, renewers, leases: leases.clone(), handler, dead_letters: None };
    let (stop, mut worker) = bench.start_on(Bench::settings("a"), ports);
    bench.put(1);
    bench.app.until_accepted(1).await;
    leases.partition(Partition::Requests, Duration::from_secs(60));
    let forced_at = Instant::now();
    stop.now();
    assert!(worker.next().await.unwrap().result.unwrap().is_err(), "an abort is reported");
    assert!(forced_at.elapsed() <= Duration::from_secs(2), "{:?}", forced_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn leases_are_released_while_the_app_is_down_and_taken_when_it_answers() {
    let bench = Bench::new(2);
    let mut settings = Bench::settings("a");
    settings.delivery.app_down_release = Some(Duration::from_secs(30));
    bench.app.always(Reply::Down);
    let (_stop, _worker) = bench.start(settings);
    bench.put(1);
    let held = || bench.leases.leases().iter().filter(|lease| lease.owner.is_some()).count();
    tokio::time::sleep(Duration::from_secs(28)).await;
    assert_eq!(held(), 2);
    tokio::time::sleep(Duration::from_secs(8)).await;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(held(), 0, "none is taken while the app is down");
    }
    bench.app.always(Reply::Accept(Duration::ZERO));
    bench.app.until_accepted(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((held(), bench.accepted()), (2, vec!["0".to_owned()]));
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

use super::{Bench, after, lease, shard};
use crate::consumer::{OnInvalidCheckpoint, Ports, Renewers};
use crate::domain::{Checkpoint, Lease, LeaseStore, SentinelCheckpoint};
use crate::testing::{Reply, StreamFaults};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_restart_continues_after_the_last_accepted_record() {
    let bench = Bench::new(1);
    bench.put(3);
    bench.accept_and_stop("a", 3).await;
    bench.put(5);
    bench.accept_and_stop("b", 8).await;
    assert_eq!(bench.accepted(), ["0", "1", "2", "0", "1", "2", "3", "4"]);
    assert!(!bench.counted("retention_gaps") && !bench.counted("position_resets"));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_aged_out_is_counted_as_a_gap() {
    let bench = Bench::new(1);
    bench.put(2);
    bench.accept_and_stop("a", 2).await;
    bench.put(4);
    bench.stream.trim(&shard(0), 3);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(5).await;
    assert_eq!(bench.accepted(), ["0", "1", "1", "2", "3"]);
    assert!(bench.counted("retention_gaps"));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_closed_shard_that_aged_out_is_counted_as_a_gap() {
    let bench = Bench::new(1);
    bench.put(2);
    bench.accept_and_stop("a", 2).await;
    bench.put(2);
    bench.stream.split(&shard(0)).unwrap();
    bench.stream.trim(&shard(0), 4);
    bench.put(1);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(3).await;
    assert!(bench.counted("retention_gaps"));
}

#[tokio::test(start_paused = true)]
async fn a_listed_shard_that_is_not_found_for_a_while_does_not_stop_the_others() {
    let bench = Bench::new(2);
    let faults = StreamFaults::none();
    let (directory, retrieval) = bench.stream.ports(&faults);
    faults.set_unknown(&shard(0), true);
    // How many of 20 records are in the other shard.
    let put = || (0..20).filter(|key| bench.stream.put(&format!("key-{key}"), "x").unwrap().shard == shard(1)).count();
    let mut readable = put();
    assert!((1..20).contains(&readable));
    let leases: Arc<dyn LeaseStore> = Arc::new(bench.leases.clone());
    let (renewers, handler) = (Renewers::here(Arc::clone(&leases)), Arc::new(bench.app.clone()));
    let ports = Ports { directory, retrieval, renewers, leases, handler, dead_letters: None };
    let (_stop, mut worker) = bench.start_on(Bench::settings("a"), ports);
    bench.app.until_accepted(readable).await;
    tokio::select! {
        ended = worker.next() => panic!("{ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
    readable += put();
    bench.app.until_accepted(readable).await;
    faults.set_unknown(&shard(0), false);
    bench.app.until_accepted(40).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_position_is_reset_to_trim_horizon_and_counted() {
    let bench = Bench::new(1);
    bench.leases.put(Lease { checkpoint: after(5), ..lease(0, None, 0) });
    bench.put(2);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(2).await;
    assert!(bench.counted("position_resets"));
}

#[tokio::test(start_paused = true)]
async fn progress_after_a_reset_is_stored_even_if_it_is_before_the_stored_position() {
    let bench = Bench::new(1);
    bench.leases.put(Lease { checkpoint: after(10_u128.pow(30)), ..lease(0, None, 0) });
    bench.put(2);
    bench.accept_and_stop("a", 2).await;
    let (_stop, _worker) = bench.start(Bench::settings("b"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.accepted(), ["0", "1"], "nothing is repeated");
}

#[tokio::test(start_paused = true)]
async fn records_put_after_a_reset_to_latest_are_delivered_by_a_later_owner() {
    let bench = Bench::new(1);
    bench.leases.put(Lease { checkpoint: after(10_u128.pow(30)), ..lease(0, None, 0) });
    let settings = |name: &str| super::ConsumerSettings {
        on_invalid_checkpoint: OnInvalidCheckpoint::Latest,
        ..Bench::settings(name)
    };
    bench.put_texts("before", 2);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (_stop, crashed) = bench.start(settings("a"));
    while bench.leases.lease(&shard(0)).unwrap().checkpoint != Checkpoint::NotStarted(SentinelCheckpoint::Latest) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(crashed);
    bench.put_texts("after", 2);
    // The next owner is another process, and starts long after the reset.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let (_stop, _worker) = bench.start(settings("b"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.accepted(), ["after-0", "after-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_aged_out_counts_as_ended() {
    let bench = Bench::new(1);
    let [left, right] = bench.stream.split(&shard(0)).unwrap();
    bench.stream.expire(&shard(0));
    bench.leases.put(lease(0, None, 0));
    bench.put(1);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(1).await;
    assert!(bench.leases.lease(&shard(0)).is_none_or(|lease| lease.checkpoint.is_ended()));
    assert!(bench.leases.lease(&left).is_some() && bench.leases.lease(&right).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_repeated_in_order_and_retry_after_is_obeyed() {
    let bench = Bench::new(1);
    bench.put(3);
    bench.app.plan([
        Reply::Accept(Duration::ZERO),
        Reply::Refuse(500, None),
        Reply::Refuse(503, Some(Duration::from_secs(42))),
    ]);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(3).await;
    assert_eq!(bench.accepted(), ["0", "1", "2"]);
    let calls = bench.app.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 1, 2, 3, 1]);
    assert!(calls[3].begun - calls[2].begun >= Duration::from_secs(42));
}

#[tokio::test(start_paused = true)]
async fn children_follow_their_parents_and_ended_leases_are_removed() {
    let bench = Bench::new(1);
    bench.put(2);
    let [left, right] = bench.stream.split(&shard(0)).unwrap();
    let merged = bench.stream.merge(&left, &right).unwrap();
    bench.put(2);
    let (_stop, _worker) = bench.start(Bench::settings("a"));
    bench.app.until_accepted(4).await;
    assert_eq!(bench.accepted(), ["0", "1", "0", "1"]);
    while bench.leases.leases().len() > 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let last = bench.leases.lease(&merged).unwrap();
    assert_ne!(last.checkpoint, Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon));
}

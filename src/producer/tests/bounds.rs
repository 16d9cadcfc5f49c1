//! Refusals, cancelled callers, rate limits and closing.

use super::super::{ProducerSettings, QueueBounds, RateLimit};
use super::script::{LATENCY, Listing, Reaction, Rig, Script, failure, record, shard, within};
use crate::domain::{FailureKind, Outcome};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_with_a_retry_after() {
    let script = Script::storing();
    let queue = QueueBounds { records: 2, bytes: 1_000 };
    let rig = Rig::new(ProducerSettings { queue, ..ProducerSettings::default() }, &script);
    let answers = join_all((0..3).map(|_| rig.put("k", "x"))).await;
    assert!(answers[0].is_ok() && answers[1].is_ok());
    let error = answers[2].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert!(rig.put("k", "x").await.is_ok(), "the queue is not full any more");
}

#[tokio::test(start_paused = true)]
async fn a_record_above_the_limit_is_refused_with_both_numbers() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings { max_record_size: 10, ..ProducerSettings::default() }, &script);
    assert!(rig.put("k", "123456789").await.is_ok());
    let error = rig.put("k", "1234567890").await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::TooLarge);
    assert_eq!(error.details(), [("size", "11".to_owned()), ("limit", "10".to_owned())]);
    assert!(error.message().contains("11") && error.message().contains("10"));
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_cancelled_caller_is_not_sent() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let first = rig.put("k", "a");
    let second = async {
        tokio::time::sleep(LATENCY / 2).await;
        let left = tokio::time::timeout(LATENCY / 5, rig.put("k", "b")).await;
        assert!(left.is_err());
        tokio::time::sleep(LATENCY / 5).await;
        rig.counts("queue_records", "", 1);
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(first.is_ok() && rig.put("k", "c").await.is_ok());
    assert_eq!(super::script::texts(&script.stored()), ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_continues_without_its_caller_and_is_not_retried() {
    let script = Script::new(|call, _| match call {
        0 => Reaction::Store,
        _ => Reaction::Refuse(failure(FailureKind::Throttled)),
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    for text in ["a", "b"] {
        assert!(tokio::time::timeout(LATENCY / 2, rig.put("k", text)).await.is_err());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(script.seen().len(), 2);
    rig.counts("records_total", ",state=\"orphaned\"", 2);
    rig.counts("queue_records", "", 0);
}

#[tokio::test(start_paused = true)]
async fn a_shard_gets_no_more_than_its_limit_and_records_that_would_be_late_are_refused_at_once() {
    let script = Script::storing();
    let shards = Arc::new(Listing(Mutex::new(vec![shard("shardId-0", 0, u128::MAX)])));
    let rate_limit = RateLimit { records_per_second: 10, ..RateLimit::default() };
    let rig = Rig::listed(ProducerSettings { rate_limit, ..ProducerSettings::default() }, &script, Some(shards));
    assert!(rig.put("k", "first, to learn the shards").await.is_ok());
    let begun = Instant::now();
    let answers = join_all((0..35).map(async |_| rig.producer.put(record("k", "x"), within(2_000)).await)).await;
    let (stored, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    // Nine tenths of a second's worth at once, then ten a second for two seconds.
    assert_eq!((stored.len(), refused.len()), (28, 7));
    assert!(begun.elapsed() < Duration::from_secs(2) + LATENCY);
    for refusal in refused {
        let error = refusal.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone));
        assert!(error.retry_after() >= Some(Duration::from_secs(1)));
        assert_eq!(error.details(), [("shardId", "shardId-0".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_new_records_and_retries_stay_within_the_limit() {
    let (begun, outage) = (Instant::now(), Duration::from_secs(3));
    let script = Script::new(move |call, _| match call > 0 && begun.elapsed() < outage {
        true => Reaction::Refuse(failure(FailureKind::Transient)),
        false => Reaction::Store,
    });
    let shards = Arc::new(Listing(Mutex::new(vec![shard("shardId-0", 0, u128::MAX)])));
    let rate_limit = RateLimit { records_per_second: 10, ..RateLimit::default() };
    let rig = Rig::listed(ProducerSettings { rate_limit, ..ProducerSettings::default() }, &script, Some(shards));
    assert!(rig.put("k", "first, to learn the shards").await.is_ok());
    let answers = join_all((0..30).map(|_| rig.producer.put(record("k", "x"), within(20_000)))).await;
    assert!(answers.iter().all(Result::is_ok));
    let calls = script.seen();
    for first in &calls[1..] {
        let window = first.at..first.at + Duration::from_secs(1);
        let sent: usize =
            calls[1..].iter().filter(|call| window.contains(&call.at)).map(|call| call.records.len()).sum();
        assert!(sent <= 20, "{sent} records within a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hot_shard_does_not_delay_another() {
    let script = Script::storing();
    let half = u128::MAX / 2;
    let shards = Arc::new(Listing(Mutex::new(vec![shard("low", 0, half), shard("high", half + 1, u128::MAX)])));
    let rate_limit = RateLimit { records_per_second: 10, ..RateLimit::default() };
    let rig = Rig::listed(ProducerSettings { rate_limit, ..ProducerSettings::default() }, &script, Some(shards));
    let put = |hash: u128| {
        let record = crate::domain::NewRecord { explicit_hash_key: Some(hash), ..record("k", "x") };
        rig.producer.put(record, within(5_000))
    };
    assert!(put(0).await.is_ok());
    let hot = join_all((0..30).map(|_| put(0)));
    let other = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        assert!(put(u128::MAX).await.is_ok());
        begun.elapsed()
    };
    let (_, took) = tokio::join!(hot, other);
    assert_eq!(took, LATENCY);
}

#[tokio::test(start_paused = true)]
async fn records_are_written_without_permission_to_list_shards() {
    let script = Script::storing();
    let rig = Rig::listed(ProducerSettings::default(), &script, Some(Arc::new(Listing(Mutex::new(Vec::new())))));
    assert!(join_all((0..100).map(|_| rig.put("k", "x"))).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn closing_sends_waiting_records_and_refuses_later_ones() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let puts = join_all((0..1_200).map(|_| rig.put("k", "x")));
    let close = async {
        tokio::task::yield_now().await;
        rig.producer.close().await;
        let error = rig.put("k", "late").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Closed, Outcome::NotDone));
    };
    let (answers, ()) = tokio::join!(puts, close);
    assert!(answers.iter().all(Result::is_ok));
    rig.producer.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_close_answers_every_caller_with_the_right_outcome() {
    let script = Script::new(|_, _| Reaction::Never);
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let in_flight = rig.put("k", "a");
    let waiting = async {
        tokio::time::sleep(LATENCY).await;
        rig.put("k", "b").await
    };
    let force = async {
        tokio::time::sleep(2 * LATENCY).await;
        assert!(tokio::time::timeout(LATENCY, rig.producer.close()).await.is_err());
    };
    let (in_flight, waiting, ()) = tokio::join!(in_flight, waiting, force);
    let (in_flight, waiting) = (in_flight.unwrap_err(), waiting.unwrap_err());
    assert_eq!((in_flight.kind(), in_flight.outcome()), (FailureKind::Closed, Outcome::Unknown));
    assert_eq!((waiting.kind(), waiting.outcome()), (FailureKind::Closed, Outcome::NotDone));
    assert!(rig.put("k", "c").now_or_never().is_some_and(|answer| answer.is_err()));
}

#[tokio::test(start_paused = true)]
async fn after_a_dropped_close_the_next_one_ends_when_every_caller_is_answered() {
    let script = Script::new(|_, _| Reaction::Never);
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let (mut in_flight, mut waiting) = (Box::pin(rig.put("k", "a")), Box::pin(rig.put("k", "b")));
    assert!(futures_util::poll!(&mut in_flight).is_pending());
    tokio::time::sleep(LATENCY).await;
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(tokio::time::timeout(LATENCY, rig.producer.close()).await.is_err());
    rig.producer.close().await;
    let answers =
        [in_flight.now_or_never(), waiting.now_or_never()].map(|answer| answer.unwrap().unwrap_err().outcome());
    assert_eq!(answers, [Outcome::Unknown, Outcome::NotDone]);
}

#[tokio::test(start_paused = true)]
async fn after_calls_that_hung_a_waiting_record_is_sent_if_its_deadline_allows() {
    let script = Script::new(|call, _| if (1..=7).contains(&call) { Reaction::Never } else { Reaction::Store });
    let shards = Arc::new(Listing(Mutex::new(vec![shard("shardId-0", 0, u128::MAX)])));
    let settings =
        ProducerSettings { max_in_flight: 1, attempt_timeout: Duration::from_secs(7), ..ProducerSettings::default() };
    let rig = Rig::listed(settings, &script, Some(shards));
    assert!(rig.put("k", "first, to learn the shards").await.is_ok());
    let hung = rig.producer.put(record("k", "hung"), within(120_000));
    let behind = async {
        // By then calls are known to take seconds, and the last one that hangs has just begun.
        while script.seen().len() < 8 {
            tokio::time::sleep(LATENCY).await;
        }
        rig.producer.put(record("k", "behind"), within(10_000)).await
    };
    let (hung, behind) = futures_util::join!(hung, behind);
    assert_eq!((hung.unwrap().attempts, behind.unwrap().attempts), (8, 1), "there were three seconds left");
}

#[tokio::test(start_paused = true)]
async fn after_a_shard_split_delayed_records_use_the_limits_of_the_new_shards() {
    let script = Script::storing();
    let half = u128::MAX / 2;
    let listing = Arc::new(Listing(Mutex::new(vec![shard("both", 0, u128::MAX)])));
    let rate_limit =
        RateLimit { records_per_second: 10, refresh_every: Duration::from_secs(1), ..RateLimit::default() };
    let settings = ProducerSettings { rate_limit, ..ProducerSettings::default() };
    let rig = Rig::listed(settings, &script, Some(Arc::clone(&listing)));
    let put = |hash: u128| {
        let record = crate::domain::NewRecord { explicit_hash_key: Some(hash), ..record("k", "x") };
        rig.producer.put(record, within(20_000))
    };
    assert!(put(0).await.is_ok());
    *listing.0.lock().unwrap() = vec![shard("low", 0, half), shard("high", half + 1, u128::MAX)];
    let begun = Instant::now();
    let answers = join_all((0..50_u128).map(|n| put(if n % 2 == 0 { 0 } else { u128::MAX }))).await;
    assert!(answers.iter().all(Result::is_ok));
    // One shard of ten a second would need four seconds for fifty; two that begin full after a second need less.
    assert!(begun.elapsed() < Duration::from_millis(3_000), "{:?}", begun.elapsed());
}

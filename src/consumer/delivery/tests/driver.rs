use super::*;
use crate::domain::GiveUpReason;

#[path = "app.rs"]
mod app;
#[path = "transform.rs"]
mod transform;

use crate::consumer::settings::{OnPoison, Order, Partial};
use crate::consumer::{InputStatus, StreamState};
use crate::domain::{Checkpoint, SentinelCheckpoint, WorkerId};
use app::{Act, Bench};
use std::sync::atomic::Ordering;

fn settings() -> DeliverySettings {
    DeliverySettings::default()
}

/// Delivers one record. Returns the attempts and the pauses between them.
async fn delivered(acts: impl IntoIterator<Item = Act>) -> (Vec<u32>, Vec<Duration>) {
    let mut bench = Bench::new(settings(), acts, Act::Accept);
    bench.push("a");
    assert_eq!(bench.done(1).await, [0]);
    (bench.seen().iter().map(|seen| seen.attempts[0]).collect(), bench.pauses())
}

#[tokio::test(start_paused = true)]
async fn a_record_that_failed_on_a_closed_idle_connection_is_sent_again_at_once_but_once_in_a_row() {
    let (attempts, pauses) = delivered(vec![Act::IdleClosed; 4]).await;
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    let at_once: Vec<bool> = pauses.iter().map(Duration::is_zero).collect();
    assert_eq!(at_once, [true, false, true, false]);
    let (_, pauses) = delivered([Act::Broken, Act::IdleClosed]).await;
    assert!(!pauses[0].is_zero() && pauses[1].is_zero(), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_makes_pauses_longer_but_never_shorter() {
    let (_, without) = delivered(vec![Act::Refuse(503, None); 12]).await;
    let (_, with) = delivered(vec![Act::Refuse(503, Some(Duration::ZERO)); 12]).await;
    assert_eq!(with, without);
    assert!(without.iter().any(|pause| *pause > Duration::from_secs(10)), "pauses grow: {without:?}");
    let requested = Duration::from_secs(42);
    let (_, with) = delivered(vec![Act::Refuse(503, Some(requested)); 3]).await;
    assert!(with.iter().all(|pause| *pause >= requested), "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_down_is_called_often_by_one_request_and_costs_no_attempts() {
    let settings = DeliverySettings { max_attempts: Some(2), ..settings() };
    let mut bench = Bench::new(settings, vec![Act::Down; 30], Act::Accept);
    bench.push("abcdefgh");
    assert_eq!(bench.done(8).await.len(), 8);
    assert!(bench.letters.stored.lock().unwrap().is_empty());
    let pauses = bench.pauses();
    let probes: Vec<Duration> = pauses.into_iter().filter(|pause| !pause.is_zero()).collect();
    assert!(probes.len() >= 20 && probes.iter().all(|pause| *pause <= Duration::from_secs(2)), "{probes:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_delivered_in_parallel_up_to_the_limit() {
    let settings = DeliverySettings { concurrency_per_shard: 3, ..settings() };
    let mut bench = Bench::new(settings, [], Act::Slow(Duration::from_secs(1)));
    bench.push("abcdaaaa");
    assert_eq!(bench.done(8).await.len(), 8);
    let at: Vec<u64> = bench.seen().iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!((bench.keys().concat().as_str(), at), ("abcdaaaa", vec![0, 0, 0, 1, 1, 2, 3, 4]));
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_waits_with_its_followers_and_the_others_go_on() {
    let mut bench = Bench::new(settings(), [], Act::RefuseBatchesWith("a0"));
    bench.push("abaab");
    assert_eq!(bench.done(2).await, [1, 4]);
    assert_eq!(bench.delivery.lanes.parked(), 1);
    assert!(bench.done_at_most().await.is_empty());
    assert!(bench.seen().iter().all(|seen| seen.texts != ["a2"]));
    assert!(bench.counter("records_retried") > 300, "retried every half a minute");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_given_up_after_its_attempts_and_its_followers_go_on_after_the_dead_letter() {
    let settings = DeliverySettings { max_attempts: Some(3), ..settings() };
    let mut bench = Bench::new(settings, [], Act::RefuseBatchesWith("a0"));
    *bench.letters.failures.lock().unwrap() = 5;
    bench.push("aab");
    assert_eq!(bench.done(3).await, [2, 0, 1]);
    assert_eq!(bench.keys().concat(), "abaaa");
    let letters = bench.letters.stored.lock().unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.reason, letter.event.attempt, letter.status), (GiveUpReason::Attempts, 3, Some(500)));
    assert_eq!(&letter.event.data[..], b"a0");
    assert!(letter.first_attempt < letter.last_attempt);
    assert!(letter.error.as_ref().unwrap().contains("500"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_has_what_the_app_said_and_the_memory_for_it_is_counted() {
    let said = "no such product, ".repeat(50);
    for has_letters in [true, false] {
        let settings = DeliverySettings { max_attempts: Some(2), batch_size: 4, ..settings() };
        let act = Act::RefuseSaying(422, said.clone());
        let mut bench = Bench::with_letters(settings, [act.clone()], act, has_letters);
        bench.push("abc");
        let before = bench.delivery.budget().held();
        while bench.delivery.lanes.parked() == 0 {
            assert!(tokio::time::timeout(Duration::from_millis(1), bench.delivery.next()).await.is_err());
        }
        let more = bench.delivery.budget().held() - before;
        assert_eq!(more, if has_letters { said.len() } else { 0 }, "shared by the records of the request");
        if has_letters {
            assert_eq!(bench.done(3).await.len(), 3);
            assert_eq!(bench.delivery.budget().held(), 0);
        }
        for letter in bench.letters.stored.lock().unwrap().iter() {
            assert_eq!((letter.status, letter.response.as_deref()), (Some(422), Some(said.as_str())));
            assert!(letter.error.as_ref().unwrap().len() < 300, "the line for logs and pages stays short");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memory_for_requests_is_counted_with_their_records_and_fewer_are_fetched() {
    let mut bench = Bench::new(settings(), [], Act::Accept);
    assert_eq!(bench.delivery.fetchable(1_000), 1_000);
    bench.push("a");
    let plain = bench.delivery.budget().held();
    bench.app.body_size.store(3 * plain, Ordering::Relaxed);
    bench.push("bc");
    assert_eq!(bench.delivery.budget().held(), plain + 2 * 4 * plain);
    assert_eq!(bench.delivery.fetchable(1_000), 250);
    assert_eq!(bench.done(3).await.len(), 3);
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_and_a_record_that_is_too_old_are_given_up_at_once() {
    let settings =
        DeliverySettings { permanent_statuses: vec![422], max_record_age: Some(Duration::from_secs(60)), ..settings() };
    let mut bench = Bench::new(settings, [Act::Refuse(422, None)], Act::Refuse(500, None));
    bench.push("ab");
    assert_eq!(bench.done(2).await, [0, 1]);
    let letters = bench.letters.stored.lock().unwrap();
    let reasons: Vec<GiveUpReason> = letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [GiveUpReason::PermanentStatus, GiveUpReason::Age]);
}

#[tokio::test(start_paused = true)]
async fn without_a_destination_the_key_the_shard_or_nothing_halts() {
    for (on_poison, expected) in
        [(OnPoison::HaltKey, vec![1, 3, 4]), (OnPoison::HaltShard, vec![1, 3]), (OnPoison::Drop, vec![1, 0, 2, 3, 4])]
    {
        let settings = DeliverySettings { max_attempts: Some(1), on_poison, concurrency_per_shard: 2, ..settings() };
        let mut bench = Bench::with_letters(settings, [], Act::RefuseBatchesWith("a0"), false);
        bench.push("abab");
        let mut done = bench.done(1).await;
        bench.push("b");
        done.extend(bench.done_at_most().await);
        done.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(done, expected, "{on_poison:?}");
        assert_eq!(bench.counter("records_dropped"), u64::from(on_poison == OnPoison::Drop));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_halved_until_the_record_that_fails_is_alone() {
    let settings = DeliverySettings { batch_size: 8, bisect_on_error: true, max_attempts: Some(1), ..settings() };
    let mut bench = Bench::new(settings, [], Act::RefuseBatchesWith("f5"));
    bench.push("abcdefgh");
    let mut done = bench.done(8).await;
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4, 5, 6, 7]);
    let sizes: Vec<usize> = bench.seen().iter().map(|seen| seen.texts.len()).collect();
    assert_eq!(sizes.iter().filter(|size| **size == 8).count(), 1, "{sizes:?}");
    assert_eq!(bench.letters.stored.lock().unwrap().len(), 1, "halving costs no attempts");
}

#[tokio::test(start_paused = true)]
async fn without_bisect_a_failing_batch_is_repeated_for_ever_or_halved_at_the_limit_of_attempts() {
    for (max_attempts, done, letters) in [(Some(3), 4, 1), (None, 0, 0)] {
        let settings = DeliverySettings { batch_size: 4, max_attempts, permanent_statuses: vec![422], ..settings() };
        let mut bench = Bench::new(settings, [], Act::RefuseBatchesWith("b1"));
        bench.push("abcd");
        assert_eq!(bench.done_at_most().await.len(), done);
        assert_eq!(bench.letters.stored.lock().unwrap().len(), letters);
        let sizes: Vec<usize> = bench.seen().iter().map(|seen| seen.texts.len()).collect();
        assert!(sizes.iter().take(3).all(|size| *size == 4), "{sizes:?}");
        assert_eq!(sizes.iter().all(|size| *size == 4), max_attempts.is_none(), "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partly_accepted_batch_repeats_from_the_lowest_or_what_failed_and_what_must_not_pass_it() {
    let after_b1 = vec!["b1", "c2", "b3", "d4"];
    for (partial, order, failed, done_first, repeated) in [
        (Partial::Lowest, Order::Key, vec![3, 1], vec![0], after_b1.clone()),
        (Partial::Exact, Order::Key, vec![3, 1], vec![0, 2, 4], vec!["b1", "b3"]),
        (Partial::Exact, Order::Key, vec![1], vec![0, 2, 4], vec!["b1", "b3"]),
        (Partial::Exact, Order::Shard, vec![1], vec![0], after_b1),
    ] {
        let settings = DeliverySettings { batch_size: 5, partial, order, concurrency_per_shard: 1, ..settings() };
        let mut bench = Bench::new(settings, [Act::Partly(failed)], Act::Accept);
        bench.push("abcbd");
        assert_eq!(bench.done(1).await, done_first);
        bench.done(5 - done_first.len()).await;
        let mut texts: Vec<String> = bench.seen().into_iter().skip(1).flat_map(|seen| seen.texts).collect();
        let of_b: Vec<String> = texts.iter().filter(|text| text.starts_with('b')).cloned().collect();
        assert_eq!(of_b, ["b1", "b3"], "{partial:?}");
        texts.sort_by_key(|text| text[1..].to_owned());
        assert_eq!(texts, repeated, "{partial:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_what_is_in_flight_fills_the_holes_and_begins_nothing_else() {
    let slow = Act::Slow(Duration::from_secs(3));
    let mut bench = Bench::new(settings(), [slow.clone(), slow], Act::Accept);
    bench.push("aabcb");
    assert_eq!(bench.done(1).await, [3]);
    bench.push("de");
    bench.delivery.drain(Instant::now() + Duration::from_secs(10));
    let mut done = bench.done(3).await;
    done.sort_unstable();
    // The second record of `a` is before one of `c` that was accepted; the second of `b` and `d` and `e` are behind it.
    assert_eq!((done, bench.keys().concat().as_str()), (vec![0, 1, 2], "abca"));
    assert_eq!(bench.delivery.next().await, Delivered::Drained);
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_record_that_failed() {
    let mut bench = Bench::new(settings(), [], Act::RefuseBatchesWith("a0"));
    bench.push("aba");
    bench.done(1).await;
    bench.delivery.drain(Instant::now() + Duration::from_secs(10));
    assert_eq!(bench.delivery.next().await, Delivered::Drained);
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_at_the_fence_and_a_fence_that_moves_is_followed() {
    let mut bench = Bench::new(settings(), [Act::Slow(Duration::from_secs(5))], Act::Accept);
    bench.fence.set(Instant::now() + Duration::from_secs(2));
    bench.push("aa");
    bench.done(1).await;
    assert!(bench.done_at_most().await.is_empty());
    bench.fence.set(Instant::now() + Duration::from_secs(2));
    assert_eq!(bench.done(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_delivery_drops_its_calls() {
    let mut bench = Bench::new(settings(), [], Act::Hang);
    bench.push("ab");
    assert!(tokio::time::timeout(Duration::from_secs(1), bench.delivery.next()).await.is_err());
    assert_eq!(bench.delivery.calls.len(), 2);
    bench.delivery.abort();
    assert_eq!(bench.delivery.calls.len(), 0);
    assert!(bench.done_at_most().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_shows_in_the_status_although_nothing_is_done() {
    let mut bench = Bench::new(settings(), [], Act::RefuseBatchesWith("a0"));
    let (status, state, worker) = (InputStatus::default(), StreamState::default(), WorkerId::new("me"));
    let start = Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
    let cell = status.add(&ShardId::new("shardId-0"), LeaseCounter::new(1), &start);
    bench.delivery.report_to(cell.delivery());
    bench.push("aa");
    assert!(bench.done_at_most().await.is_empty());
    let shards = status.shards(&state, &worker, Instant::now());
    let held = shards[0].held.as_ref().unwrap();
    assert_eq!((held.parked, held.in_flight), (1, 0));
    assert!(held.buffered_bytes > 0);
    assert_eq!(&*held.last_error.as_ref().unwrap().message, "the app answered 500 to POST /orders");
}

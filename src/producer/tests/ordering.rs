//! The order of records of one key, also after failures.

use super::super::{Ordering, OrderingOnFailure, Producer, ProducerSettings, Successions, Written};
use super::script::{LATENCY, Reaction, Rig, Script, failure, record, texts, within};
use crate::domain::{BindingError, FailureKind, NewRecord, Outcome};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

fn ordered(ordering: Ordering) -> ProducerSettings {
    ProducerSettings { ordering, ..ProducerSettings::default() }
}

fn is(record: &NewRecord, text: &str) -> bool {
    record.data == text.as_bytes()
}

#[tokio::test(start_paused = true)]
async fn with_ordering_by_key_only_one_record_of_a_key_is_in_flight() {
    let script = Script::storing();
    let rig = Rig::new(ordered(Ordering::Key), &script);
    let puts = ["a1", "b1", "a2", "b2", "a3"].map(|text| rig.put(&text[..1], text));
    join_all(puts).await;
    let calls: Vec<_> = script.seen().iter().map(|call| texts(&call.records)).collect();
    assert_eq!(calls, [vec!["a1", "b1"], vec!["a2", "b2"], vec!["a3"]]);
}

#[tokio::test(start_paused = true)]
async fn a_retried_record_keeps_its_place_in_its_key() {
    let script = Script::new(|call, records| match call {
        0..3 => Reaction::Each(
            records.iter().map(|record| is(record, "a1").then(|| failure(FailureKind::Throttled))).collect(),
        ),
        _ => Reaction::Store,
    });
    let rig = Rig::new(ordered(Ordering::Key), &script);
    let puts = ["a1", "a2", "b1", "b2", "a3"].map(|text| rig.put(&text[..1], text));
    assert!(join_all(puts).await.iter().all(Result::is_ok));
    let stored = texts(&script.stored());
    let of = |key: &str| stored.iter().filter(|text| text.starts_with(key)).cloned().collect::<Vec<_>>();
    assert_eq!((of("a"), of("b")), (vec!["a1".into(), "a2".into(), "a3".into()], vec!["b1".into(), "b2".into()]));
}

#[tokio::test(start_paused = true)]
async fn records_of_one_explicit_hash_key_are_sent_in_order() {
    let script = Script::storing();
    let rig = Rig::new(ordered(Ordering::Key), &script);
    let put = |key: &str, text: &str| {
        let record = NewRecord { explicit_hash_key: Some(7), ..record(key, text) };
        rig.producer.put(record, within(1_000))
    };
    join_all([put("x", "1"), put("y", "2")]).await;
    assert_eq!(script.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_strict_ordering_each_put_record_has_the_sequence_number_of_the_record_before() {
    let script = Script::storing();
    let rig = Rig::new(ordered(Ordering::Strict), &script);
    join_all(["a1", "a2", "b1", "a3"].map(|text| rig.put(&text[..1], text))).await;
    let seen = script.seen();
    assert!(seen.iter().all(|call| call.is_put_record));
    let stored = texts(&script.stored());
    let number = |text: &str| (stored.iter().position(|stored| stored == text).unwrap() + 1).to_string();
    let after = |text: &str| {
        let call = seen.iter().find(|call| is(&call.records[0], text)).unwrap();
        call.after.as_ref().map(|after| after.as_str().to_owned())
    };
    assert_eq!(after("a1"), None);
    assert_eq!(after("b1"), None);
    assert_eq!((after("a2"), after("a3")), (Some(number("a1")), Some(number("a2"))));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_its_key_is_stopped_for_the_window_and_other_keys_are_not() {
    let script = Script::new(|_, records| {
        let fails = |record: &NewRecord| is(record, "a1").then(|| failure(FailureKind::Permanent));
        Reaction::Each(records.iter().map(fails).collect())
    });
    let window = Duration::from_secs(30);
    let settings = ProducerSettings { ordering_on_failure: OrderingOnFailure::Stop(window), ..ordered(Ordering::Key) };
    let rig = Rig::new(settings, &script);
    let answers = join_all(["a1", "a2", "b1", "a3"].map(|text| rig.put(&text[..1], text))).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), FailureKind::Permanent);
    assert!(answers[2].is_ok());
    let late = rig.put("a", "a4").await;
    for stopped in [&answers[1], &answers[3], &late] {
        let error = stopped.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.reason()), (FailureKind::Conflict, Some("ORDERING_STOPPED")));
        assert!(error.retry_after().is_some_and(|wait| wait <= window));
    }
    tokio::time::sleep(window).await;
    assert!(rig.put("a", "a5").await.is_ok());
    assert_eq!(texts(&script.stored()), ["b1", "a5"]);
}

fn stopping() -> ProducerSettings {
    let stop = OrderingOnFailure::Stop(Duration::from_secs(30));
    ProducerSettings { ordering_on_failure: stop, ..ordered(Ordering::Key) }
}

fn refusing_first(error: BindingError) -> Script {
    Script::new(move |call, _| match call {
        0 => Reaction::Refuse(error.clone()),
        _ => Reaction::Store,
    })
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_sent_and_failed_stops_its_key_though_its_caller_left() {
    let script = refusing_first(failure(FailureKind::Permanent));
    let rig = Rig::new(stopping(), &script);
    assert!(tokio::time::timeout(LATENCY / 2, rig.put("a", "a1")).await.is_err());
    assert_eq!(rig.put("a", "a2").await.unwrap_err().reason(), Some("ORDERING_STOPPED"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_sent_again_because_its_caller_left_stops_its_key() {
    let script = refusing_first(failure(FailureKind::Throttled).with_retry_after(Duration::from_secs(1)));
    let rig = Rig::new(stopping(), &script);
    let first = tokio::time::timeout(3 * LATENCY, rig.put("a", "a1"));
    let second = async {
        tokio::time::sleep(2 * LATENCY).await;
        rig.put("a", "a2").await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err());
    assert_eq!(second.unwrap_err().reason(), Some("ORDERING_STOPPED"));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_the_record_is_sent_does_not_stop_the_key() {
    let script = Script::storing();
    let rig = Rig::new(stopping(), &script);
    let first = rig.put("a", "a1");
    let second = tokio::time::timeout(LATENCY / 2, rig.put("a", "a2"));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_err());
    assert!(rig.put("a", "a3").await.is_ok());
    assert_eq!(texts(&script.stored()), ["a1", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_stored_after_its_caller_left_and_its_deadline_passed_does_not_stop_its_key() {
    let script = Script::storing();
    let rig = Rig::new(stopping(), &script);
    let first = rig.producer.put(record("a", "a1"), within(4));
    assert!(tokio::time::timeout(LATENCY / 2, first).await.is_err());
    assert!(rig.put("a", "a2").await.is_ok());
    rig.counts("records_total", ",state=\"orphaned\"", 1);
}

#[tokio::test(start_paused = true)]
async fn with_ordering_on_failure_continue_later_records_are_sent() {
    let script = Script::new(|_, records| {
        let fails = |record: &NewRecord| is(record, "a1").then(|| failure(FailureKind::Permanent));
        Reaction::Each(records.iter().map(fails).collect())
    });
    let rig = Rig::new(ordered(Ordering::Key), &script);
    let answers = join_all(["a1", "a2"].map(|text| rig.put("a", text))).await;
    assert!(answers[0].is_err() && answers[1].is_ok());
}

fn put(producer: &Arc<Producer>, text: &'static str) -> JoinSet<Result<Written, BindingError>> {
    let (producer, record) = (Arc::clone(producer), record(&text[..1], text));
    let mut task = JoinSet::new();
    task.spawn(async move { producer.put(record, within(60_000)).await });
    task
}

async fn answer(mut task: JoinSet<Result<Written, BindingError>>) -> Result<Written, BindingError> {
    task.join_next().await.unwrap().unwrap()
}

/// The one before, which has the turn, and the one that replaces it.
fn successors(settings: &ProducerSettings, script: &Script, turns: &Successions) -> [Arc<Producer>; 2] {
    [(); 2].map(|()| Rig::after(settings.clone(), script, turns.enter("out")).producer)
}

/// Waits until a call was made, or for a while.
async fn seen(script: &Script, count: usize) -> usize {
    let enough = async {
        while script.seen().len() < count {
            tokio::time::sleep(LATENCY / 5).await
        }
    };
    tokio::time::timeout(Duration::from_secs(5), enough).await.ok();
    script.seen().len()
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_replaces_another_sends_after_its_last_record() {
    for ordering in [Ordering::Key, Ordering::Strict] {
        let script = Script::new(|call, _| if call == 0 { Reaction::Never } else { Reaction::Store });
        let [old, new] = successors(&ordered(ordering), &script, &Successions::default());
        let _first = put(&old, "a1");
        assert_eq!(seen(&script, 1).await, 1);
        let second = put(&new, "a2");
        assert_eq!(seen(&script, 2).await, 1, "the old one is not finished");
        // Its record is in flight until the call times out, and then repeated.
        old.finish();
        assert_eq!(answer(second).await.unwrap().attempts, 1);
        assert_eq!(texts(&script.stored()), ["a1", "a2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_order_a_producer_that_replaces_another_does_not_wait() {
    let script = Script::storing();
    let [_old, new] = successors(&ordered(Ordering::None), &script, &Successions::default());
    assert!(answer(put(&new, "a1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_was_never_used_is_passed_over() {
    let (script, turns) = (Script::storing(), Successions::default());
    let [first, failed] = successors(&ordered(Ordering::Key), &script, &turns);
    drop(failed);
    let [third, fourth] = successors(&ordered(Ordering::Key), &script, &turns);
    let waiting = put(&third, "a1");
    assert_eq!(seen(&script, 1).await, 0);
    drop(first);
    answer(waiting).await.unwrap();
    third.close().await;
    assert!(answer(put(&fourth, "a2")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_successor_begins_after_a_limit_and_keeps_the_deadlines_meanwhile() {
    let script = Script::storing();
    let [_old, new] = successors(&ordered(Ordering::Key), &script, &Successions::default());
    let begun = Instant::now();
    let waiting = put(&new, "a1");
    let late = new.put(record("b", "b1"), within(2_000)).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome(), begun.elapsed().as_secs()), (FailureKind::TimedOut, Outcome::NotDone, 2));
    answer(waiting).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_stopped_stays_stopped_when_the_producer_is_replaced() {
    let script = Script::refusing_first(failure(FailureKind::Caller));
    let stop = OrderingOnFailure::Stop(Duration::from_secs(600));
    let settings = ProducerSettings { ordering_on_failure: stop, ..ordered(Ordering::Key) };
    let [old, new] = successors(&settings, &script, &Successions::default());
    answer(put(&old, "a1")).await.unwrap_err();
    let accepted = ["a2", "a3", "b1"].map(|text| put(&new, text));
    assert_eq!(seen(&script, 2).await, 1);
    old.finish();
    let results = join_all(accepted.map(answer)).await.into_iter().map(|result| result.map_err(|error| error.kind()));
    let is_stopped: Vec<bool> = results.map(|result| result == Err(FailureKind::Conflict)).collect();
    assert_eq!(is_stopped, [true, true, false]);
    let later = answer(put(&new, "a4")).await.unwrap_err();
    assert_eq!((later.kind(), texts(&script.stored())), (FailureKind::Conflict, vec!["b1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn strict_sequence_numbers_go_on_when_the_producer_is_replaced() {
    let script = Script::storing();
    let [old, new] = successors(&ordered(Ordering::Strict), &script, &Successions::default());
    let first = answer(put(&old, "a1")).await.unwrap();
    let second = put(&new, "a2");
    old.finish();
    answer(second).await.unwrap();
    assert_eq!(script.seen()[1].after, Some(first.receipt.sequence));
}

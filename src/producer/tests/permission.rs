//! A stream whose policy allows calls with one record only.

use super::super::{Aggregation, Ordering, OrderingOnFailure, OutgoingRecord, ProducerSettings};
use super::script::{Reaction, Rig, Script, failure, record, texts, within};
use crate::domain::{BindingError, FailureKind, Outcome};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::time::Duration;

fn denied() -> BindingError {
    failure(FailureKind::Denied).lacking_permission()
}

/// Calls with several records are denied until they are allowed.
fn single_only() -> (Script, Arc<AtomicBool>) {
    let may_batch = Arc::new(AtomicBool::new(false));
    let allowed = Arc::clone(&may_batch);
    let script = Script::new(move |_, records| match records.len() > 1 && !allowed.load(Memory::SeqCst) {
        true => Reaction::Refuse(denied()),
        false => Reaction::Store,
    });
    (script, may_batch)
}

async fn put_many(rig: &Rig, count: usize) -> Vec<super::super::types::Answer> {
    join_all((0..count).map(async |n| rig.put(&format!("k{n}"), &n.to_string()).await)).await
}

fn batches(script: &Script) -> usize {
    script.seen().iter().filter(|call| !call.is_put_record).count()
}

#[tokio::test(start_paused = true)]
async fn each_record_of_a_denied_batch_is_sent_once_by_its_own_call() {
    let (script, _) = single_only();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 700).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let mut stored = texts(&script.stored());
    stored.sort_unstable();
    stored.dedup();
    assert_eq!((stored.len(), script.stored().len()), (700, 700), "each once");
    assert!(batches(&script) <= 2, "{}", batches(&script));
    assert!(script.max_open() <= ProducerSettings::default().max_in_flight);
    let before = batches(&script);
    assert!(put_many(&rig, 50).await.iter().all(|answer| answer.as_ref().unwrap().attempts == 1));
    assert_eq!(batches(&script), before, "later records are not tried in batches");
    rig.counts("duplicates_possible_total", "", 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_tried_again_rarely_and_batches_come_back() {
    let (script, may_batch) = single_only();
    let rig = Rig::new(ProducerSettings::default(), &script);
    put_many(&rig, 20).await;
    for _ in 0..3 {
        let before = batches(&script);
        tokio::time::advance(Duration::from_secs(301)).await;
        for _ in 0..5 {
            assert!(put_many(&rig, 20).await.iter().all(Result::is_ok));
        }
        assert_eq!(batches(&script) - before, 1, "one batch in five minutes");
    }
    may_batch.store(true, Memory::SeqCst);
    tokio::time::advance(Duration::from_secs(301)).await;
    put_many(&rig, 20).await;
    let singles = script.seen().len() - batches(&script);
    assert!(put_many(&rig, 200).await.iter().all(Result::is_ok));
    assert_eq!(script.seen().len() - batches(&script), singles, "all in batches again");
}

#[tokio::test(start_paused = true)]
async fn where_both_calls_are_denied_each_caller_gets_the_error_and_calls_are_not_repeated() {
    let script = Script::new(|_, _| Reaction::Refuse(denied()));
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 500).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Denied, Outcome::NotDone));
    }
    let first = script.seen().len();
    assert!(first <= 2 * ProducerSettings::default().max_in_flight, "not one call for each record: {first}");
    for round in 1..=4 {
        assert!(put_many(&rig, 500).await.iter().all(Result::is_err));
        assert_eq!(script.seen().len(), first + round, "one call for a batch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_denied_for_another_reason_fails_without_single_calls() {
    // A key that may not be used, or unknown credentials, are refused to every call.
    let script = Script::new(|_, records| match records.len() > 1 {
        true => Reaction::Refuse(failure(FailureKind::Denied)),
        false => Reaction::Store,
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    assert!(put_many(&rig, 20).await.iter().all(Result::is_err));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_within_each_key() {
    let (script, _) = single_only();
    let settings = ProducerSettings {
        ordering: Ordering::Key,
        ordering_on_failure: OrderingOnFailure::Stop(Duration::from_secs(30)),
        ..ProducerSettings::default()
    };
    let rig = Rig::new(settings, &script);
    let records: Vec<OutgoingRecord> = (0..90).map(|n| record(&format!("k{}", n % 3), &n.to_string()).into()).collect();
    let answers = rig.producer.put_all(records, within(60_000)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for key in 0..3 {
        let of_key: Vec<usize> =
            texts(&script.stored()).iter().map(|text| text.parse().unwrap()).filter(|n| n % 3 == key).collect();
        assert!(of_key.is_sorted() && of_key.len() == 30, "{of_key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_of_a_denied_batch_is_sent_by_one_call() {
    let (script, _) = single_only();
    let rig = Rig::new(ProducerSettings { aggregation: Aggregation::Key, ..ProducerSettings::default() }, &script);
    let records: Vec<OutgoingRecord> =
        (0..200).map(|n| record(&format!("k{}", n % 4), &n.to_string()).into()).collect();
    let answers = rig.producer.put_all(records, within(60_000)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.as_ref().unwrap().sub_sequence.is_some_and(|index| index > 0)));
    assert!(script.stored().len() < 100, "packed: {}", script.stored().len());
    assert!(batches(&script) <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_of_a_denied_batch_fails_alone() {
    let script = Script::new(|_, records| {
        if records.iter().any(|record| record.data == "13") {
            return Reaction::Refuse(failure(FailureKind::Caller));
        }
        if records.len() > 1 { Reaction::Refuse(denied()) } else { Reaction::Store }
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 40).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), number != 13, "{number}: {answer:?}");
    }
    assert_eq!(script.stored().len(), 39);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_denied_batch_whose_deadline_passes_is_not_stored() {
    let (script, _) = single_only();
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let records: Vec<OutgoingRecord> = (0..40).map(|n| record(&format!("k{n}"), &n.to_string()).into()).collect();
    // Time for the batch and for some of the single calls.
    let answers = rig.producer.put_all(records, within(63)).await;
    let (stored, late): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!stored.is_empty() && !late.is_empty(), "{} and {}", stored.len(), late.len());
    let not_done = late.iter().filter(|answer| answer.as_ref().unwrap_err().outcome() == Outcome::NotDone).count();
    assert!(not_done + 1 >= late.len(), "only the one in flight has an unknown outcome");
    assert!(late.iter().all(|answer| answer.as_ref().unwrap_err().kind() == FailureKind::TimedOut), "{late:?}");
    assert!(script.stored().len() <= stored.len() + 1);
}

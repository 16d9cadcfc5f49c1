//! What a failure means for each record of a call.

use super::super::{Batching, ProducerSettings, RetryPolicy};
use super::script::{LATENCY, Listing, Reaction, Rig, Script, failure, record, shard, texts, within};
use crate::domain::{FailureKind, NewRecord, Outcome};
use futures_util::future::join_all;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

async fn put_many(rig: &Rig, count: usize) -> Vec<super::super::types::Answer> {
    join_all((0..count).map(async |n| rig.put("k", &n.to_string()).await)).await
}

#[tokio::test(start_paused = true)]
async fn only_the_failed_entries_are_sent_again() {
    let script = Script::new(|call, records| match call {
        0 => {
            let fails = |n: usize| (n % 3 == 1).then(|| failure(FailureKind::Throttled));
            Reaction::Each((0..records.len()).map(fails).collect())
        }
        _ => Reaction::Store,
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 9).await;
    let attempts: Vec<u32> = answers.into_iter().map(|answer| answer.unwrap().attempts).collect();
    assert_eq!(attempts, [1, 2, 1, 1, 2, 1, 1, 2, 1]);
    assert_eq!(texts(&script.seen()[1].records), ["1", "4", "7"]);
    assert_eq!(script.stored().len(), 9);
    rig.counts("retries_total", "", 1);
    rig.counts("duplicates_possible_total", "", 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_entry_after_an_entry_with_another_failure_is_counted() {
    let script = Script::new(|call, _| match call {
        0 => Reaction::Each([FailureKind::Transient, FailureKind::Throttled].map(|kind| Some(failure(kind))).into()),
        _ => Reaction::Store,
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    assert!(put_many(&rig, 2).await.iter().all(Result::is_ok));
    rig.counts("shard_throttles_total", ",shard=\"unknown\"", 1);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_counts_for_the_shard_that_the_service_names() {
    let script = Script::new(|call, _| match call {
        1 => Reaction::Refuse(failure(FailureKind::Throttled).with_detail("shardId", "shardId-0")),
        _ => Reaction::Store,
    });
    let shards = Arc::new(Listing(Mutex::new(vec![shard("shardId-0", 0, u128::MAX)])));
    let rig = Rig::listed(ProducerSettings::default(), &script, Some(shards));
    assert!(rig.put("k", "to learn the shards").await.is_ok());
    let keyless = NewRecord { partition_key: None, ..record("k", "x") };
    assert_eq!(rig.producer.put(keyless, within(10_000)).await.unwrap().attempts, 2);
    rig.counts("shard_throttles_total", ",shard=\"shardId-0\"", 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_with_a_permanent_failure_is_answered_at_once_and_the_others_are_stored() {
    let script = Script::new(|_, records| {
        let fails = |n: usize| (n == 1).then(|| failure(FailureKind::Permanent));
        Reaction::Each((0..records.len()).map(fails).collect())
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 3).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Permanent, Outcome::NotDone));
    assert!(error.details().contains(&("attempts", "1".to_owned())));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_fails_alone() {
    let is_bad = |record: &NewRecord| record.data == "13";
    let script = Script::new(move |_, records| match records.iter().any(is_bad) {
        true => Reaction::Refuse(failure(FailureKind::Caller)),
        false => Reaction::Store,
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    let answers = put_many(&rig, 50).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 13, "{n}");
    }
    assert_eq!(answers[13].as_ref().unwrap_err().kind(), FailureKind::Caller);
    assert!(script.seen().len() <= 13, "each step of the bisection makes two calls");
    assert_eq!(script.stored().len(), 49);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_reply_the_retry_is_counted_as_a_possible_duplicate() {
    let script = Script::new(|call, _| if call == 0 { Reaction::StoreAndLose } else { Reaction::Store });
    let rig = Rig::new(ProducerSettings::default(), &script);
    assert_eq!(rig.put("k", "a").await.unwrap().attempts, 2);
    assert_eq!(script.stored().len(), 2);
    rig.counts("duplicates_possible_total", "", 1);
    rig.counts("ambiguous_total", "", 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_stays_unknown() {
    let script = Script::new(|call, _| match call {
        0 => Reaction::StoreAndLose,
        _ => Reaction::Refuse(failure(FailureKind::Denied)),
    });
    let rig = Rig::new(ProducerSettings::default(), &script);
    let error = rig.put("k", "a").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Denied, Outcome::Unknown));
    rig.counts("ambiguous_total", "", 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_stream_is_not_retried() {
    let script = Script::new(|_, _| Reaction::Refuse(failure(FailureKind::NotFound)));
    let rig = Rig::new(ProducerSettings::default(), &script);
    for answer in put_many(&rig, 20).await {
        assert_eq!(answer.unwrap_err().kind(), FailureKind::NotFound);
    }
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_of_the_whole_call_is_retried_as_often_as_allowed() {
    let script = Script::new(|_, _| Reaction::Refuse(failure(FailureKind::Transient)));
    let retry = RetryPolicy { max_retries: Some(2), ..RetryPolicy::default() };
    let rig = Rig::new(ProducerSettings { retry, ..ProducerSettings::default() }, &script);
    for answer in put_many(&rig, 3).await {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Transient, Outcome::NotDone));
        assert!(error.details().contains(&("attempts", "3".to_owned())), "{:?}", error.details());
    }
    assert_eq!(script.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_gets_no_more_retries_than_the_budget() {
    let script = Script::new(|_, _| Reaction::Refuse(failure(FailureKind::Transient)));
    let batching = Batching { is_enabled: false, ..Batching::default() };
    let rig = Rig::new(ProducerSettings { batching, ..ProducerSettings::default() }, &script);
    // Each record is sent by its own call, so each retry is one more call.
    join_all((0..2_000).map(|_| rig.put("k", "x"))).await;
    let calls = script.seen().len();
    // Each attempt, retries too, earns a fifth of a retry; 10 a second; and one burst.
    assert!(calls <= 2_000 * 5 / 4 + 10 * 10 * 5 / 4 + 5_000 * 5 / 4, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn with_fail_if_throttled_the_first_throttle_is_returned() {
    let script = Script::new(|_, _| Reaction::Refuse(failure(FailureKind::Throttled)));
    let rig = Rig::new(ProducerSettings::default(), &script);
    let options = super::super::PutOptions { fail_if_throttled: true, ..within(10_000) };
    let error = rig.producer.put(record("k", "a"), options).await.unwrap_err();
    assert_eq!((error.kind(), script.seen().len()), (FailureKind::Throttled, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_in_a_call_at_its_deadline_is_answered_then_with_an_unknown_outcome() {
    let script = Script::new(|_, _| Reaction::Never);
    let rig = Rig::new(ProducerSettings::default(), &script);
    let begun = Instant::now();
    let error = rig.producer.put(record("k", "a"), within(300)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::Unknown));
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_times_out_and_is_retried_within_the_deadline() {
    let script = Script::new(|call, _| if call == 0 { Reaction::Never } else { Reaction::Store });
    let attempt_timeout = Duration::from_secs(1);
    let rig = Rig::new(ProducerSettings { attempt_timeout, ..ProducerSettings::default() }, &script);
    let begun = Instant::now();
    assert_eq!(rig.put("k", "a").await.unwrap().attempts, 2);
    assert!(begun.elapsed() >= attempt_timeout && begun.elapsed() < attempt_timeout + Duration::from_millis(70));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_not_be_sent_by_its_deadline_was_not_stored() {
    let script = Script::new(|_, _| Reaction::Never);
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() }, &script);
    let first = rig.producer.put(record("k", "a"), within(2_000));
    let second = async {
        tokio::time::sleep(LATENCY).await;
        let begun = Instant::now();
        let error = rig.producer.put(record("k", "b"), within(500)).await.unwrap_err();
        (error, begun.elapsed())
    };
    let (_, (error, took)) = tokio::join!(first, second);
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
    assert_eq!(took, Duration::from_millis(500));
    rig.counts("records_total", ",state=\"refused\"", 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_has_an_unknown_outcome() {
    let script = Script::new(|call, _| if call == 0 { Reaction::Panic } else { Reaction::Store });
    let rig = Rig::new(ProducerSettings::default(), &script);
    assert_eq!(rig.put("k", "a").await.unwrap().attempts, 2);
    rig.counts("duplicates_possible_total", "", 1);
}

#[tokio::test(start_paused = true)]
async fn bisecting_for_a_bad_record_uses_up_no_retry_of_the_others() {
    let is_bad = |record: &NewRecord| record.data == "3";
    let mut throttled = false;
    let script = Script::new(move |_, records| {
        if records.iter().any(is_bad) {
            return Reaction::Refuse(failure(FailureKind::Caller));
        }
        if records.iter().any(|record| record.data == "2") && !std::mem::replace(&mut throttled, true) {
            return Reaction::Refuse(failure(FailureKind::Throttled));
        }
        Reaction::Store
    });
    let retry = RetryPolicy { max_retries: Some(1), ..RetryPolicy::default() };
    let rig = Rig::new(ProducerSettings { retry, ..ProducerSettings::default() }, &script);
    let answers = put_many(&rig, 16).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 3, "{n}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_half_of_a_refused_call_that_waits_at_its_deadline_was_not_stored() {
    let script = Script::new(|call, _| match call {
        0 => Reaction::Refuse(failure(FailureKind::Caller)),
        _ => Reaction::Never,
    });
    let settings =
        ProducerSettings { max_in_flight: 1, attempt_timeout: Duration::from_secs(60), ..ProducerSettings::default() };
    let rig = Rig::new(settings, &script);
    let answers = put_many(&rig, 4).await;
    let outcomes: Vec<Outcome> = answers.into_iter().map(|answer| answer.unwrap_err().outcome()).collect();
    let unknown = outcomes.iter().filter(|outcome| **outcome == Outcome::Unknown).count();
    assert_eq!(unknown, 2, "one half is in flight forever, the other was never sent: {outcomes:?}");
    rig.counts("ambiguous_total", "", 2);
}

//! Records in aggregates.

use super::super::{Aggregation, Ordering, OrderingOnFailure, ProducerSettings, PutOptions};
use super::script::{Listing, Reaction, Rig, Script, failure, record, shard, texts, within};
use crate::aggregation::unpack;
use crate::domain::{FailureKind, NewRecord, Outcome};
use futures_util::future::join_all;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn packing(aggregation: Aggregation, ordering: Ordering) -> ProducerSettings {
    ProducerSettings { aggregation, ordering, ..ProducerSettings::default() }
}

/// The data of the user records in an aggregate, or that of a plain record.
fn user_records(record: &NewRecord) -> Vec<String> {
    match unpack(&record.data).unwrap() {
        Some(user_records) => {
            user_records.into_iter().map(|user| String::from_utf8(user.data.to_vec()).unwrap()).collect()
        }
        None => texts(std::slice::from_ref(record)),
    }
}

#[tokio::test(start_paused = true)]
async fn records_of_one_key_become_one_aggregate_and_each_gets_its_sub_sequence_number() {
    for ordering in [Ordering::None, Ordering::Key] {
        let script = Script::storing();
        let rig = Rig::new(packing(Aggregation::Key, ordering), &script);
        let written = join_all(["a1", "b1", "a2", "a3"].map(|text| rig.put(&text[..1], text))).await;
        let seen = script.seen();
        assert_eq!(seen.len(), 1, "{ordering:?}");
        assert_eq!(seen[0].records.iter().map(user_records).collect::<Vec<_>>(), [vec!["a1", "a2", "a3"], vec!["b1"]]);
        assert!(seen[0].records.iter().all(|record| record.explicit_hash_key.is_none()));
        let keys: Vec<_> =
            seen[0].records.iter().map(|record| record.partition_key.as_ref().unwrap().as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        let places: Vec<_> = written.into_iter().map(|written| written.unwrap()).collect();
        assert_eq!(
            places.iter().map(|place| place.sub_sequence).collect::<Vec<_>>(),
            [Some(0), None, Some(1), Some(2)]
        );
        assert_eq!(places[0].receipt, places[3].receipt);
    }
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_stays_within_its_limit_and_a_larger_record_is_plain() {
    let script = Script::storing();
    let rig = Rig::new(packing(Aggregation::Key, Ordering::Key), &script);
    let sizes = [20_000, 20_000, 20_000, 100_000, 10];
    let written = join_all(sizes.map(async |size: usize| rig.put("k", &"x".repeat(size)).await)).await;
    assert!(written.iter().all(Result::is_ok));
    let stored = script.stored();
    let counts: Vec<usize> = stored.iter().map(|record| user_records(record).len()).collect();
    assert_eq!(counts, [2, 1, 1, 1]);
    assert!(stored.iter().all(|record| record.size() <= 51_200 || user_records(record).len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_aggregate_is_sent_again_before_later_records_of_its_key() {
    let script = Script::refusing_first(failure(FailureKind::Throttled));
    let rig = Rig::new(packing(Aggregation::Key, Ordering::Key), &script);
    let (first, later) = rig.put_three_and_one().await;
    assert!(first.iter().all(Result::is_ok) && later.is_ok());
    assert_eq!(script.stored().iter().flat_map(user_records).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_of_an_aggregate_fails_alone() {
    let script = Script::new(|_, records| match records.iter().flat_map(user_records).any(|user| user == "3") {
        true => Reaction::Refuse(failure(FailureKind::Caller)),
        false => Reaction::Store,
    });
    let rig = Rig::new(packing(Aggregation::Key, Ordering::None), &script);
    let answers = join_all((0..8).map(async |n| rig.put("a", &n.to_string()).await)).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 3, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn user_records_of_a_refused_aggregate_are_sent_one_after_another_with_ordering_by_key() {
    let script = Script::new(|_, records| match records.iter().flat_map(user_records).any(|user| user == "3") {
        true => Reaction::Refuse(failure(FailureKind::Caller)),
        false => Reaction::Store,
    });
    let rig = Rig::new(packing(Aggregation::Key, Ordering::Key), &script);
    let answers = join_all((0..8).map(async |n| rig.put("a", &n.to_string()).await)).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 3, "{n}");
    }
    assert_eq!(script.max_open(), 1, "two calls had records of one key in flight");
    assert_eq!(texts(&script.stored()), ["0", "1", "2", "4", "5", "6", "7"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_key_refuses_the_later_user_records_of_the_same_aggregate() {
    let script = Script::refusing_first(failure(FailureKind::Throttled));
    let stop = OrderingOnFailure::Stop(Duration::from_secs(30));
    let settings = ProducerSettings { ordering_on_failure: stop, ..packing(Aggregation::Key, Ordering::Key) };
    let rig = Rig::new(settings, &script);
    let impatient = PutOptions { fail_if_throttled: true, ..within(10_000) };
    let (first, second) = tokio::join!(rig.producer.put(record("a", "1"), impatient), rig.put("a", "2"));
    assert_eq!(first.unwrap_err().kind(), FailureKind::Throttled);
    assert_eq!(second.unwrap_err().reason(), Some("ORDERING_STOPPED"));
    assert_eq!(script.seen().len(), 1);
}

fn two_shards() -> Arc<Listing> {
    let half = u128::MAX / 2;
    Arc::new(Listing(Mutex::new(vec![shard("low", 0, half), shard("high", half + 1, u128::MAX)])))
}

fn at(hash: u128, text: &str) -> NewRecord {
    NewRecord { explicit_hash_key: Some(hash), ..record("k", text) }
}

#[tokio::test(start_paused = true)]
async fn records_of_one_shard_become_one_aggregate_that_goes_to_that_shard() {
    let mut script = Script::storing();
    script.shard = |record| if record.explicit_hash_key <= Some(u128::MAX / 2) { "low" } else { "high" };
    let rig = Rig::listed(packing(Aggregation::Shard, Ordering::None), &script, Some(two_shards()));
    assert!(rig.producer.put(at(0, "to learn the shards"), within(1_000)).await.is_ok());
    let puts =
        [(1, "l1"), (u128::MAX, "h1"), (2, "l2")].map(|(hash, text)| rig.producer.put(at(hash, text), within(1_000)));
    let written = join_all(puts).await;
    let shards: Vec<_> = written.iter().map(|written| written.as_ref().unwrap().receipt.shard.as_str()).collect();
    assert_eq!(shards, ["low", "high", "low"]);
    let last = script.seen().pop().unwrap();
    assert_eq!(last.records.iter().map(user_records).collect::<Vec<_>>(), [vec!["l1", "l2"], vec!["h1"]]);
    assert_eq!(last.records[0].explicit_hash_key, Some(1));
}

#[tokio::test(start_paused = true)]
async fn records_of_an_aggregate_in_another_shard_are_sent_again_as_plain_records() {
    let mut script = Script::storing();
    // The shard was split after it was listed.
    script.shard = |record| if record.explicit_hash_key <= Some(u128::MAX / 2) { "child" } else { "high" };
    let rig = Rig::listed(packing(Aggregation::Shard, Ordering::None), &script, Some(two_shards()));
    assert!(rig.producer.put(at(u128::MAX, "to learn the shards"), within(1_000)).await.is_ok());
    let puts = [(1, "l1"), (2, "l2")].map(|(hash, text)| rig.producer.put(at(hash, text), within(1_000)));
    for written in join_all(puts).await {
        let written = written.unwrap();
        assert_eq!((written.receipt.shard.as_str(), written.sub_sequence, written.attempts), ("child", None, 2));
    }
    rig.counts("duplicates_possible_total", "", 2);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_answered_at_its_deadline_is_not_stored_with_the_others_of_its_aggregate() {
    let script = Script::new(|call, _| match call {
        0 => Reaction::Refuse(failure(FailureKind::Caller)),
        1 => Reaction::Never,
        _ => Reaction::Store,
    });
    let settings = ProducerSettings {
        aggregation: Aggregation::Key,
        max_in_flight: 1,
        attempt_timeout: Duration::from_secs(1),
        ..ProducerSettings::default()
    };
    let rig = Rig::new(settings, &script);
    let put = |key, data, millis| rig.producer.put(record(key, data), within(millis));
    let (a, b, late, in_time) = futures_util::join!(
        put("k", "a", 20_000),
        put("k", "b", 20_000),
        put("l", "late", 500),
        put("l", "in time", 20_000)
    );
    assert!(a.is_ok() && b.is_ok() && in_time.unwrap().sub_sequence.is_none());
    let late = late.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
    assert!(script.stored().iter().any(|record| record.data == "in time"), "as a plain record");
}

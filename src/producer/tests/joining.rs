//! Records that are joined as lines or as a JSON array.

use super::super::{Aggregation, Batching, Growth, Ordering, OrderingOnFailure, ProducerSettings, PutOptions};
use super::script::{Reaction, Rig, Script, failure, record, texts, within};
use crate::aggregation::JoinForm;
use crate::domain::{FailureKind, NewRecord, Outcome};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::time::Duration;

fn joining(form: JoinForm, ordering: Ordering) -> ProducerSettings {
    ProducerSettings { aggregation: Aggregation::Joined(form), ordering, ..ProducerSettings::default() }
}

/// A number as a member.
fn member(form: JoinForm, key: &str, number: impl std::fmt::Display) -> NewRecord {
    NewRecord { data: form.member(number.to_string().into()).unwrap(), ..record(key, "") }
}

#[tokio::test(start_paused = true)]
async fn records_of_one_key_become_one_record_and_each_caller_gets_its_place() {
    for ordering in [Ordering::None, Ordering::Key] {
        for (form, expected) in [(JoinForm::Lines, ["1\n3\n4", "2"]), (JoinForm::JsonArray, ["[1,3,4]", "[2]"])] {
            let script = Script::storing();
            let rig = Rig::new(joining(form, ordering), &script);
            let puts = [("a", 1), ("b", 2), ("a", 3), ("a", 4)];
            let puts = puts.map(|(key, number)| rig.producer.put(member(form, key, number), within(10_000)));
            let written: Vec<_> = join_all(puts).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(script.seen().len(), 1);
            assert_eq!(texts(&script.stored()), expected, "{ordering:?}");
            let numbers: Vec<_> = written.iter().map(|written| written.receipt.sequence.as_str()).collect();
            assert_eq!(numbers, ["1", "2", "1", "1"], "that of the joined record");
            let places: Vec<_> = written.iter().map(|written| written.sub_sequence).collect();
            assert_eq!(places, [Some(0), None, Some(1), Some(2)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_with_different_explicit_hash_keys_are_not_joined() {
    let script = Script::storing();
    let rig = Rig::new(joining(JoinForm::Lines, Ordering::None), &script);
    let puts = [Some(1), None, Some(1), Some(2)]
        .map(|explicit_hash_key| rig.producer.put(NewRecord { explicit_hash_key, ..record("k", "x") }, within(10_000)));
    assert!(join_all(puts).await.iter().all(Result::is_ok));
    let stored = script.stored();
    let hashes: Vec<_> = stored.iter().map(|record| record.explicit_hash_key).collect();
    assert_eq!((texts(&stored), hashes), (vec!["x\nx".into(), "x".into(), "x".into()], vec![Some(1), None, Some(2)]));
}

#[tokio::test(start_paused = true)]
async fn a_joined_record_is_as_large_as_its_limit_separators_included() {
    for (form, max, counts) in
        [(JoinForm::Lines, 1 + 3 * 10 + 2, [3, 3, 1]), (JoinForm::JsonArray, 1 + 3 * 10 + 4, [3, 3, 1])]
    {
        for (max_aggregate_size, counts) in [(max, &counts[..]), (max - 1, &[2, 2, 2, 1][..])] {
            let script = Script::storing();
            let rig = Rig::new(ProducerSettings { max_aggregate_size, ..joining(form, Ordering::Key) }, &script);
            let puts = (0..7).map(|_| rig.producer.put(member(form, "k", "1234567890"), within(10_000)));
            assert!(join_all(puts).await.iter().all(Result::is_ok));
            let stored = script.stored();
            let found: Vec<usize> = texts(&stored).iter().map(|text| text.matches("1234567890").count()).collect();
            assert_eq!(found, counts, "{form:?}, {max_aggregate_size}");
            assert!(stored.iter().all(|record| record.size() <= max_aggregate_size));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_record_is_sent_again_whole_and_before_later_records_of_its_key() {
    let script = Script::refusing_first(failure(FailureKind::Throttled));
    let rig = Rig::new(joining(JoinForm::Lines, Ordering::Key), &script);
    let (first, later) = rig.put_three_and_one().await;
    assert!(first.iter().all(|written| written.as_ref().is_ok_and(|written| written.attempts == 2)) && later.is_ok());
    assert_eq!(texts(&script.stored()).join("\n"), "1\n2\n3\n4");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_that_of_every_member_and_each_decides_about_its_own_retry() {
    let script = Script::refusing_first(failure(FailureKind::Transient).with_outcome(Outcome::Unknown));
    let rig = Rig::new(joining(JoinForm::JsonArray, Ordering::None), &script);
    let put = |number, options| rig.producer.put(member(JoinForm::JsonArray, "k", number), options);
    let once = PutOptions { is_single_attempt: true, ..within(10_000) };
    let (one, two, three) = tokio::join!(put(1, within(10_000)), put(2, once), put(3, within(10_000)));
    let two = two.unwrap_err();
    assert_eq!((two.kind(), two.outcome()), (FailureKind::Transient, Outcome::Unknown));
    assert_eq!((one.unwrap().attempts, three.unwrap().attempts), (2, 2));
    assert_eq!(texts(&script.stored()), ["[1,3]"]);
    let denied = Script::new(|_, _| Reaction::Refuse(failure(FailureKind::Denied)));
    let rig = Rig::new(joining(JoinForm::JsonArray, Ordering::None), &denied);
    let answers =
        join_all((0..3).map(|number| rig.producer.put(member(JoinForm::JsonArray, "k", number), within(1_000))));
    assert!(answers.await.into_iter().all(|answer| answer.unwrap_err().kind() == FailureKind::Denied));
    assert_eq!(denied.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_before_the_call_is_left_out() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings { max_in_flight: 1, ..joining(JoinForm::Lines, Ordering::Key) }, &script);
    let first = rig.put("other", "0");
    let others = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let gone = tokio::time::timeout(Duration::from_millis(2), rig.put("k", "gone"));
        let (one, gone, two) = tokio::join!(rig.put("k", "1"), gone, rig.put("k", "2"));
        assert!(one.is_ok() && gone.is_err() && two.is_ok());
    };
    let (first, ()) = tokio::join!(first, others);
    assert!(first.is_ok());
    assert_eq!(texts(&script.stored()).join("\n"), "0\n1\n2");
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_refused_record_are_sent_alone_and_in_order() {
    let script = Script::new(|_, records| match texts(records).iter().any(|text| text.contains('3')) {
        true => Reaction::Refuse(failure(FailureKind::Caller)),
        false => Reaction::Store,
    });
    let form = JoinForm::JsonArray;
    let rig = Rig::new(joining(form, Ordering::Key), &script);
    let answers = join_all((0..6).map(|number| rig.producer.put(member(form, "k", number), within(10_000)))).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), number != 3, "{number}");
    }
    assert_eq!(texts(&script.stored()), ["[0]", "[1]", "[2]", "[4]", "[5]"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_key_refuses_the_later_members() {
    let script = Script::refusing_first(failure(FailureKind::Throttled));
    let stop = OrderingOnFailure::Stop(Duration::from_secs(30));
    let settings = ProducerSettings { ordering_on_failure: stop, ..joining(JoinForm::Lines, Ordering::Key) };
    let rig = Rig::new(settings, &script);
    let impatient = PutOptions { fail_if_throttled: true, ..within(10_000) };
    let (first, second) = tokio::join!(rig.producer.put(record("a", "1"), impatient), rig.put("a", "2"));
    assert_eq!(first.unwrap_err().kind(), FailureKind::Throttled);
    assert_eq!(second.unwrap_err().reason(), Some("ORDERING_STOPPED"));
    assert!(script.stored().is_empty());
}

/// As gzip does with what it cannot compress.
const GROWTH: Growth = Growth { record: 18, block: 5 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A writer that makes records larger exceeds neither the limit of a record nor that of a call.
    #[test]
    fn records_that_grow_stay_within_the_limits(
        sizes in prop::collection::vec((0_usize..150_000, 0_u8..4), 1..40),
        max_record in 100_000_usize..300_000,
        max_bytes in 1_024_usize..600_000,
        is_array: bool,
        is_ordered: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let form = if is_array { JoinForm::JsonArray } else { JoinForm::Lines };
            let script = Script::storing();
            let settings = ProducerSettings {
                batching: Batching { max_bytes, ..Batching::default() },
                max_record_size: max_record - GROWTH.of(max_record),
                max_aggregate_size: max_record,
                growth: GROWTH,
                ..joining(form, if is_ordered { Ordering::Key } else { Ordering::None })
            };
            let largest = settings.max_record_size;
            let rig = Rig::new(settings, &script);
            let put = |(size, key): &(usize, u8)| {
                let data = format!("\"{}\"", "x".repeat(*size));
                rig.producer.put(member(form, &format!("k{key}"), data), within(60_000))
            };
            let results = join_all(sizes.iter().map(put)).await;
            for (result, (size, _)) in results.iter().zip(&sizes) {
                // Two quotes, two brackets, and the key.
                let is_too_large = size + 2 + if is_array { 2 } else { 0 } + 2 > largest;
                prop_assert_eq!(result.is_err(), is_too_large, "{} {:?}", size, result);
            }
            for call in script.seen() {
                let grown: Vec<usize> = call.records.iter().map(|record| GROWTH.grown(record.size())).collect();
                prop_assert!(grown.iter().all(|size| *size <= max_record), "{grown:?}");
                prop_assert!(grown.len() == 1 || grown.iter().sum::<usize>() <= max_bytes, "{grown:?}");
            }
            Ok(())
        })?;
    }
}

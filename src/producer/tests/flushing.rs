//! Records that end their batch.

use super::super::{Aggregation, Batching, Ordering, OutgoingRecord, ProducerSettings, PutOptions, Written};
use super::script::{LATENCY, Rig, Script, failure, record, texts, within};
use crate::aggregation::JoinForm;
use crate::domain::{BindingError, FailureKind};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than any call, shorter than any deadline.
const LINGER: Duration = Duration::from_secs(5);
/// Before any of the four calls has ended that make records wait.
const SOON: Duration = Duration::from_millis(100);

fn lingering(aggregation: Aggregation, ordering: Ordering) -> ProducerSettings {
    let batching = Batching { max_delay: LINGER, ..Batching::default() };
    ProducerSettings { batching, aggregation, ordering, ..ProducerSettings::default() }
}

async fn put(rig: &Rig, key: &str, text: &str) -> Result<Written, BindingError> {
    let ends_batch = text.ends_with('!');
    rig.producer.put(record(key, text), PutOptions { ends_batch, ..within(60_000) }).await
}

/// The records of each call, without the four calls that make the later ones wait.
fn calls(script: &Script) -> Vec<Vec<String>> {
    script.seen().iter().skip(4).map(|seen| texts(&seen.records)).collect()
}

/// Four calls that are answered late, so that all others wait for company.
fn busy(script_latency: u64) -> Script {
    Script::storing().with_latency(Duration::from_millis(script_latency))
}

/// Makes four calls busy, then puts these records, one after the other.
async fn put_behind_four(rig: &Rig, records: &[(&str, &str)]) {
    let four = join_all((0..4).map(async |number: u64| {
        tokio::time::sleep(Duration::from_millis(number)).await;
        put(rig, &format!("busy-{number}"), "x").await.unwrap();
    }));
    let records = join_all(records.iter().enumerate().map(async |(number, (key, text))| {
        tokio::time::sleep(Duration::from_millis(10 + number as u64)).await;
        put(rig, key, text).await.unwrap();
    }));
    tokio::join!(four, records);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_ends_its_batch_is_sent_at_once_with_those_before_it() {
    let script = busy(1_000);
    let rig = Rig::new(lingering(Aggregation::None, Ordering::None), &script);
    let begun = Instant::now();
    put_behind_four(&rig, &[("a", "1"), ("b", "2!"), ("c", "3"), ("d", "4!"), ("e", "5!")]).await;
    assert_eq!(calls(&script), [vec!["1", "2!"], vec!["3", "4!"], vec!["5!"]]);
    assert!(script.seen().iter().all(|seen| seen.at - begun < SOON), "none waited");
}

#[tokio::test(start_paused = true)]
async fn records_that_come_together_are_divided_behind_the_record_that_ends_a_batch() {
    let script = Script::storing();
    let rig = Rig::new(lingering(Aggregation::None, Ordering::None), &script);
    let texts = ["1", "2!", "3", "4", "5!", "6"];
    let written = join_all(texts.map(|text| put(&rig, "k", text))).await;
    assert!(written.iter().all(Result::is_ok));
    let sizes: Vec<usize> = script.seen().iter().map(|seen| seen.records.len()).collect();
    assert_eq!(sizes, [2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_record_is_the_last_of_a_joined_record() {
    for ordering in [Ordering::None, Ordering::Key] {
        let script = busy(1_000);
        let rig = Rig::new(lingering(Aggregation::Joined(JoinForm::Lines), ordering), &script);
        let begun = Instant::now();
        let records = [("a", "a1"), ("b", "b1"), ("a", "a2!"), ("a", "a3"), ("b", "b2"), ("a", "a4!")];
        put_behind_four(&rig, &records).await;
        let mut expected = vec![vec!["a1\na2!", "b1"]];
        match ordering {
            // The rest of the key may be sent now.
            Ordering::None => expected.push(vec!["a3\na4!", "b2"]),
            // The rest waits for the records of the same key that are in flight.
            Ordering::Key | Ordering::Strict => {}
        }
        let (calls, seen) = (calls(&script), script.seen());
        assert_eq!(calls[..expected.len()], expected, "{ordering:?}");
        assert!(seen[4].at - begun < SOON);
        let all: Vec<String> = calls.into_iter().flatten().collect();
        assert!(all.contains(&"a3\na4!".to_owned()), "{all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_behind_another_of_its_key_does_not_wait_for_the_linger_of_that_one() {
    let script = busy(1_000);
    let rig = Rig::new(lingering(Aggregation::None, Ordering::Key), &script);
    let begun = Instant::now();
    put_behind_four(&rig, &[("a", "1"), ("a", "2"), ("a", "3!")]).await;
    assert_eq!(calls(&script), [["1"], ["2"], ["3!"]]);
    assert!(script.seen()[4].at - begun < SOON, "the first of the key did not wait for others");
    assert!(begun.elapsed() < LINGER, "neither did those behind it");
}

#[tokio::test(start_paused = true)]
async fn a_retry_ends_its_batch_too() {
    let script = Script::refusing_first(failure(FailureKind::Throttled));
    let rig = Rig::new(lingering(Aggregation::Joined(JoinForm::Lines), Ordering::Key), &script);
    let later = async {
        tokio::time::sleep(LATENCY / 2).await;
        put(&rig, "k", "3").await
    };
    let (one, two, three) = tokio::join!(put(&rig, "k", "1"), put(&rig, "k", "2!"), later);
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(texts(&script.stored()), ["1\n2!", "3"]);
}

#[tokio::test(start_paused = true)]
async fn each_record_of_a_bulk_has_its_own_flag() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let records = (0..9)
        .map(|number: u32| OutgoingRecord { record: record("k", &number.to_string()), ends_batch: number % 3 == 2 });
    let written = rig.producer.put_all(records.collect(), within(10_000)).await;
    assert!(written.iter().all(Result::is_ok));
    let sizes: Vec<usize> = script.seen().iter().map(|seen| seen.records.len()).collect();
    assert_eq!(sizes, [3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_others_as_they_are() {
    let script = busy(100);
    let rig = Rig::new(ProducerSettings { max_in_flight: 4, ..lingering(Aggregation::None, Ordering::Key) }, &script);
    let gone = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(tokio::time::timeout(Duration::from_millis(1), put(&rig, "a", "gone!")).await.is_err());
    };
    tokio::join!(put_behind_four(&rig, &[("a", "1")]), gone);
    let all: Vec<String> = calls(&script).into_iter().flatten().collect();
    assert_eq!(all, ["1"]);
    rig.producer.close().await;
    rig.counts("queue_records", "", 0);
}

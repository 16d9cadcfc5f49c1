//! Many callers whose records are joined: each has its own true answer.

use super::assertions::{assert_consistent, statuses};
use super::callers::{CallerResult, Load, record, send_all};
use super::environment::{Components, create_stream, kinesis_client, read_back, recording_backend};
use bindd::embedded::{Aws, EmbeddedSettings};
use bindd::testing::{BackendRecord, Faults};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::time::Duration;

const LOAD: Load = Load { callers: 64, records: 40 };
const SENT: usize = LOAD.callers * LOAD.records;
const FORMS: [&str; 2] = ["lines", "json-array"];

/// The members of a record, as a reader without any library finds them.
fn split(form: &str, data: &[u8]) -> Vec<Bytes> {
    match form {
        "lines" => data.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect(),
        _ => {
            let values: Vec<&RawValue> = serde_json::from_slice(data).unwrap();
            values.iter().map(|value| Bytes::copy_from_slice(value.get().as_bytes())).collect()
        }
    }
}

/// Each member as if it had been stored alone.
fn members(form: &str, stored: &[BackendRecord]) -> Vec<BackendRecord> {
    let of_record = |record: &BackendRecord| {
        let member = |data: Bytes| BackendRecord { data, ..record.clone() };
        split(form, &record.data).into_iter().map(member).collect::<Vec<_>>()
    };
    stored.iter().flat_map(of_record).collect()
}

fn assert_all_stored_once(form: &str, results: &[CallerResult], stored: &[BackendRecord]) {
    let members = members(form, stored);
    assert_consistent(results, SENT, &members);
    assert_eq!(statuses(results), [(204, SENT)].into(), "{form}");
    assert_eq!(members.len(), SENT, "{form}: no record is stored twice");
    assert!(stored.len() * 2 < SENT, "{form}: {} Kinesis records for {SENT}", stored.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_records_are_sent_again_and_every_member_is_answered_once() {
    for form in FORMS {
        let backend = recording_backend(2).await;
        let faults = Faults { entry_failed: 0.05, entry_throttled: 0.1, call_throttled: 0.05, ..Faults::default() };
        backend.set(Faults { latency: Duration::from_millis(5), ..faults });
        let fields = [("aggregation", form), ("ordering", "key")];
        let sidecar = Box::pin(Components::kinesis(&backend.url(), &fields).sidecar()).await;
        let results = Box::pin(send_all(sidecar.address, "orders", LOAD, |number| record(number, 2))).await;
        Box::pin(sidecar.stop()).await;
        assert_all_stored_once(form, &results, &backend.stored());
        assert!(backend.counts().throttled > 0 && results.iter().any(|result| result.attempts > 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_agree_with_the_stream_while_replies_are_lost() {
    for form in FORMS {
        let backend = recording_backend(2).await;
        backend.set(Faults { reply_lost: 0.05, call_lost: 0.05, entry_failed: 0.1, ..Faults::default() });
        let fields = [("aggregation", form)];
        let sidecar = Box::pin(Components::kinesis(&backend.url(), &fields).sidecar()).await;
        let results = Box::pin(send_all(sidecar.address, "orders", LOAD, |number| record(number, 3))).await;
        Box::pin(sidecar.stop()).await;
        assert_consistent(&results, SENT, &members(form, &backend.stored()));
        assert!(backend.counts().lost > 0, "replies were lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_kinesis_has_fewer_records_than_the_callers_sent() {
    let aws = Aws::start(EmbeddedSettings { enforce_limits: true, ..EmbeddedSettings::default() }).await.unwrap();
    let client = kinesis_client(&aws.kinesis_url());
    create_stream(&client, "orders", 1).await;
    for form in FORMS {
        let before = read_back(&client, "orders").await.len();
        let fields = [("aggregation", form)];
        let sidecar = Box::pin(Components::kinesis(&aws.kinesis_url(), &fields).sidecar()).await;
        let results = Box::pin(send_all(sidecar.address, "orders", LOAD, |number| record(number, 2))).await;
        Box::pin(sidecar.stop()).await;
        assert_all_stored_once(form, &results, &read_back(&client, "orders").await[before..]);
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_for_which_the_expression_is_true_is_the_last_of_its_kinesis_record() {
    const ITEMS: usize = 200;
    for form in FORMS {
        let backend = recording_backend(1).await;
        backend.set(Faults { latency: Duration::from_millis(2), entry_throttled: 0.1, ..Faults::default() });
        let fields = [("aggregation", form), ("ordering", "key"), ("batchingFlushExpression", ".n % 5 == 4")];
        let sidecar = Box::pin(Components::kinesis(&backend.url(), &fields).sidecar()).await;
        let load = Load { callers: 4, records: 1 };
        let bulk = |caller: usize| {
            let item = |number: usize| format!(r#"{{"data":{{"n":{number}}},"partitionKey":"key-{caller}"}}"#);
            let items: Vec<String> = (0..ITEMS).map(item).collect();
            format!(r#"{{"operation":"bulkCreate","data":{{"items":[{}]}}}}"#, items.join(","))
        };
        let results = Box::pin(send_all(sidecar.address, "orders", load, bulk)).await;
        Box::pin(sidecar.stop()).await;
        assert_eq!(statuses(&results), [(200, 4)].into());
        let (stored, sent) = (backend.stored(), load.callers * ITEMS);
        assert!(stored.len() >= sent / 5 && stored.len() < sent, "{} Kinesis records", stored.len());
        for record in &stored {
            let numbers: Vec<usize> =
                split(form, &record.data).iter().map(|data| super::callers::number(data)).collect();
            let is_last = |(index, number): (usize, &usize)| number % 5 != 4 || index + 1 == numbers.len();
            assert!(numbers.iter().enumerate().all(is_last), "{numbers:?}");
        }
        for caller in 0..load.callers {
            let of_key = stored.iter().filter(|record| record.partition_key == format!("key-{caller}"));
            let numbers: Vec<usize> =
                of_key.flat_map(|record| split(form, &record.data)).map(|data| super::callers::number(&data)).collect();
            assert!(numbers.iter().copied().eq(0..ITEMS), "the order of a key is kept: {numbers:?}");
        }
    }
}

//! `bulkCreate`: each item of each caller gets its own true line.

use super::callers::{Crowd, Told, send_all};
use super::judge::{assert_true, statuses};
use super::world::{Components, keeping};
use bindd::testing::Faults;
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

const ITEMS: usize = 100;

/// The bulk with the items `<bulk> * 100` and on.
fn bulk(bulk: usize) -> String {
    let item = |index: usize| {
        let number = bulk * ITEMS + index;
        format!(r#"{{"data":{{"n":{number}}},"partitionKey":"key-{}","id":{number}}}"#, number % 97)
    };
    let items: Vec<String> = (0..ITEMS).map(item).collect();
    format!(r#"{{"operation":"bulkCreate","data":{{"items":[{}]}}}}"#, items.join(","))
}

/// The lines of an answer, each as if its item had been a request of its own.
fn lines(told: &Told) -> Vec<Told> {
    let lines: Vec<Value> = serde_json::from_str(&told.body).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let line = |(index, line): (usize, &Value)| {
        let number = told.number * ITEMS + index;
        assert_eq!(line["id"], number, "lines come in the order of the items");
        let status = line["status"].as_u64().map_or(204, |status| u16::try_from(status).unwrap());
        Told {
            number,
            status: StatusCode::from_u16(status).ok(),
            sequence: text(&line["sequenceNumber"]),
            shard: text(&line["shardId"]),
            attempts: line["attempts"].as_u64().map_or(1, |attempts| u32::try_from(attempts).unwrap()),
            is_ambiguous: line["ambiguous"] == true,
            retry_after: None,
            body: line.to_string(),
            took: told.took,
        }
    };
    lines.iter().enumerate().map(line).collect()
}

async fn told_of_bulks(faults: Faults, fields: &[(&str, &str)]) -> (Vec<Told>, Vec<Told>) {
    let backend = keeping(4).await;
    backend.set(faults);
    let sidecar = Components::kinesis(&backend.url(), fields).sidecar().await;
    let crowd = Crowd { callers: 8, records: 5 };
    let told = send_all(sidecar.address, "orders", crowd, bulk).await;
    sidecar.stop().await;
    let items: Vec<Told> = told.iter().flat_map(lines).collect();
    assert_true(&items, crowd.callers * crowd.records * ITEMS, &backend.stored());
    let calls = backend.counts().writes();
    assert!(calls < 1_000, "{calls} calls for 40 bulks of {ITEMS}");
    (told, items)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_fail_are_repeated_alone() {
    let faults = Faults { entry_failed: 0.1, latency: Duration::from_millis(2), ..Faults::default() };
    let (told, items) = told_of_bulks(faults, &[]).await;
    assert_eq!(statuses(&told), [(200, 40)].into());
    assert_eq!(statuses(&items), [(204, 4_000)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_answer_is_207_and_true_line_by_line() {
    let faults = Faults { entry_failed: 0.2, reply_lost: 0.05, ..Faults::default() };
    let (told, items) = told_of_bulks(faults, &[("maxRetries", "1")]).await;
    assert!(statuses(&told).contains_key(&207), "{:?}", statuses(&told));
    assert!(statuses(&items).keys().all(|status| matches!(status, 204 | 502 | 503 | 504)), "{:?}", statuses(&items));
}

//! `bulkCreate`: the response has a correct line for each item.

use super::assertions::{assert_consistent, statuses};
use super::callers::{CallerResult, Load, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::Faults;
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

const ITEMS: usize = 100;

/// A request with the items from `<bulk> * 100` on.
fn bulk(bulk: usize) -> String {
    let item = |index: usize| {
        let number = bulk * ITEMS + index;
        format!(r#"{{"data":{{"n":{number}}},"partitionKey":"key-{}","id":{number}}}"#, number % 97)
    };
    let items: Vec<String> = (0..ITEMS).map(item).collect();
    format!(r#"{{"operation":"bulkCreate","data":{{"items":[{}]}}}}"#, items.join(","))
}

/// The lines of a response, each as if its item had been a single request.
fn lines(result: &CallerResult) -> Vec<CallerResult> {
    let lines: Vec<Value> = serde_json::from_str(&result.body).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let line = |(index, line): (usize, &Value)| {
        let number = result.number * ITEMS + index;
        assert_eq!(line["id"], number, "lines come in the order of the items");
        let status = line["status"].as_u64().map_or(204, |status| u16::try_from(status).unwrap());
        CallerResult {
            number,
            status: StatusCode::from_u16(status).ok(),
            sequence: text(&line["sequenceNumber"]),
            shard: text(&line["shardId"]),
            attempts: line["attempts"].as_u64().map_or(1, |attempts| u32::try_from(attempts).unwrap()),
            is_ambiguous: line["ambiguous"] == true,
            retry_after: None,
            body: line.to_string(),
            took: result.took,
        }
    };
    lines.iter().enumerate().map(line).collect()
}

async fn send_bulks(faults: Faults, fields: &[(&str, &str)]) -> (Vec<CallerResult>, Vec<CallerResult>) {
    let backend = recording_backend(4).await;
    backend.set(faults);
    let sidecar = Box::pin(Components::kinesis(&backend.url(), fields).sidecar()).await;
    let load = Load { callers: 8, records: 5 };
    let results = Box::pin(send_all(sidecar.address, "orders", load, bulk)).await;
    Box::pin(sidecar.stop()).await;
    let items: Vec<CallerResult> = results.iter().flat_map(lines).collect();
    assert_consistent(&items, load.callers * load.records * ITEMS, &backend.stored());
    let calls = backend.counts().writes();
    assert!(calls < 1_000, "{calls} calls for 40 bulks of {ITEMS}");
    (results, items)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_failed_items_are_retried() {
    let faults = Faults { entry_failed: 0.1, latency: Duration::from_millis(2), ..Faults::default() };
    let (results, items) = send_bulks(faults, &[]).await;
    assert_eq!(statuses(&results), [(200, 40)].into());
    assert_eq!(statuses(&items), [(204, 4_000)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_response_is_207_and_each_line_is_correct() {
    let faults = Faults { entry_failed: 0.2, reply_lost: 0.05, ..Faults::default() };
    let (results, items) = send_bulks(faults, &[("maxRetries", "1")]).await;
    assert!(statuses(&results).contains_key(&207), "{:?}", statuses(&results));
    assert!(statuses(&items).keys().all(|status| matches!(status, 204 | 502 | 503 | 504)), "{:?}", statuses(&items));
}

//! Services that deny some operations or do not implement them.

use super::assertions::{assert_consistent, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::Faults;
use std::time::Duration;

const LOAD: Load = Load { callers: 64, records: 40 };
const SENT: usize = LOAD.callers * LOAD.records;
/// Slow enough that records are batched.
const LATENCY: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_put_record_is_allowed_every_record_is_stored_once() {
    let backend = recording_backend(4).await;
    backend.set(Faults { denied: vec!["PutRecords"], latency: LATENCY, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let results = send_all(sidecar.address, "orders", LOAD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, SENT, &backend.stored());
    assert_eq!(statuses(&results), [(204, SENT)].into());
    let counts = backend.counts();
    assert_eq!((counts.stored, counts.put_record), (SENT as u64, SENT as u64), "each by a separate call");
    assert!(counts.refused > 0, "batches were tried");
    assert!(counts.refused < 40, "but only a few times: {}", counts.refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_every_caller_gets_403() {
    let backend = recording_backend(4).await;
    backend.set(Faults { denied: vec!["PutRecord", "PutRecords"], latency: LATENCY, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let results = send_all(sidecar.address, "orders", LOAD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, SENT, &backend.stored());
    assert_eq!(statuses(&results), [(403, SENT)].into());
    assert!(
        results.iter().all(|result| !result.is_ambiguous && result.body.contains("ACCESS_DENIED")),
        "{:?}",
        results.first()
    );
    assert!(
        results.iter().any(|result| result.body.contains("allow `kinesis:PutRecords`")),
        "the error of a batch names the permission"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_operation_is_501_and_not_retried() {
    let backend = recording_backend(4).await;
    backend.set(Faults {
        unknown: vec!["PutRecord", "PutRecords", "PutItem", "BatchWriteItem"],
        latency: LATENCY,
        ..Faults::default()
    });
    let components = Components::kinesis(&backend.url(), &[]);
    let items = [("table", "orders"), ("direction", "output")];
    let sidecar = components.with("items", "bindings.aws.dynamodb", &backend.url(), &items).sidecar().await;
    let load = Load { callers: 8, records: 2 };
    let to_stream = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    let item = |number| format!(r#"{{"operation":"create","data":{{"id":"{number}"}}}}"#);
    let to_table = send_all(sidecar.address, "items", load, item).await;
    let one = Load { callers: 1, records: 1 };
    let bulk = |data: &'static str| move |_| format!(r#"{{"operation":"bulkCreate","data":{data}}}"#);
    let many = [
        send_all(sidecar.address, "orders", one, bulk(r#"{"items":[{"data":1},{"data":2}]}"#)).await,
        send_all(sidecar.address, "items", one, bulk(r#"{"items":[{"id":"1"},{"id":"2"}]}"#)).await,
    ];
    sidecar.stop().await;
    for results in many {
        assert_eq!(statuses(&results), [(207, 1)].into());
        let each = results[0].body.matches(r#""reason":"NOT_IMPLEMENTED","status":501"#).count();
        assert_eq!(each, 2, "{}", results[0].body);
    }
    for results in [to_stream, to_table] {
        assert_eq!(statuses(&results), [(501, 16)].into(), "{:?}", results.first());
        for result in &results {
            assert!(result.body.contains(r#""reason":"NOT_IMPLEMENTED""#) && !result.is_ambiguous, "{}", result.body);
            assert!(result.attempts <= 1 && result.retry_after.is_none(), "{result:?}");
        }
    }
    assert!(backend.counts().refused <= 34, "each call is sent once: {}", backend.counts().refused);
}

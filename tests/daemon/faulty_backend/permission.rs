//! Services that allow, or have, only some of their operations.

use super::callers::{Crowd, record, send_all};
use super::judge::{assert_true, statuses};
use super::world::{Components, keeping};
use bindd::testing::Faults;
use std::time::Duration;

const CROWD: Crowd = Crowd { callers: 64, records: 40 };
const SENT: usize = CROWD.callers * CROWD.records;
/// Slow enough that records meet in batches.
const LATENCY: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_put_record_is_allowed_every_record_is_stored_once() {
    let backend = keeping(4).await;
    backend.set(Faults { denied: vec!["PutRecords"], latency: LATENCY, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", CROWD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, SENT, &backend.stored());
    assert_eq!(statuses(&told), [(204, SENT)].into());
    let counts = backend.counts();
    assert_eq!((counts.stored, counts.put_record), (SENT as u64, SENT as u64), "each by its own call");
    assert!(counts.refused > 0, "batches were tried");
    assert!(counts.refused < 40, "and not again and again: {}", counts.refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_neither_is_allowed_all_are_told_so() {
    let backend = keeping(4).await;
    backend.set(Faults { denied: vec!["PutRecord", "PutRecords"], latency: LATENCY, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", CROWD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, SENT, &backend.stored());
    assert_eq!(statuses(&told), [(403, SENT)].into());
    assert!(told.iter().all(|one| !one.is_ambiguous && one.body.contains("ACCESS_DENIED")), "{:?}", told.first());
    assert!(told.iter().any(|one| one.body.contains("allow `kinesis:PutRecords`")), "a batch names what to allow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_the_service_does_not_have_is_501_and_not_repeated() {
    let backend = keeping(4).await;
    backend.set(Faults {
        unknown: vec!["PutRecord", "PutRecords", "PutItem", "BatchWriteItem"],
        latency: LATENCY,
        ..Faults::default()
    });
    let components = Components::kinesis(&backend.url(), &[]);
    let items = [("table", "orders"), ("direction", "output")];
    let sidecar = components.with("items", "bindings.aws.dynamodb", &backend.url(), &items).sidecar().await;
    let crowd = Crowd { callers: 8, records: 2 };
    let to_stream = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    let item = |number| format!(r#"{{"operation":"create","data":{{"id":"{number}"}}}}"#);
    let to_table = send_all(sidecar.address, "items", crowd, item).await;
    let one = Crowd { callers: 1, records: 1 };
    let bulk = |data: &'static str| move |_| format!(r#"{{"operation":"bulkCreate","data":{data}}}"#);
    let many = [
        send_all(sidecar.address, "orders", one, bulk(r#"{"items":[{"data":1},{"data":2}]}"#)).await,
        send_all(sidecar.address, "items", one, bulk(r#"{"items":[{"id":"1"},{"id":"2"}]}"#)).await,
    ];
    sidecar.stop().await;
    for told in many {
        assert_eq!(statuses(&told), [(207, 1)].into());
        let each = told[0].body.matches(r#""reason":"NOT_IMPLEMENTED","status":501"#).count();
        assert_eq!(each, 2, "{}", told[0].body);
    }
    for told in [to_stream, to_table] {
        assert_eq!(statuses(&told), [(501, 16)].into(), "{:?}", told.first());
        for one in &told {
            assert!(one.body.contains(r#""reason":"NOT_IMPLEMENTED""#) && !one.is_ambiguous, "{}", one.body);
            assert!(one.attempts <= 1 && one.retry_after.is_none(), "{one:?}");
        }
    }
    assert!(backend.counts().refused <= 34, "each call once: {}", backend.counts().refused);
}

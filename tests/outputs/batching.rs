//! Many callers share few calls; a lone one waits for nobody.

use crate::callers::{Crowd, record, send_all};
use crate::judge::{assert_true, statuses};
use crate::world::{Components, keeping};
use bindd::testing::Faults;
use std::time::Duration;

const SLOW: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_share_calls() {
    let backend = keeping(4).await;
    backend.set(Faults { latency: SLOW, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let crowd = Crowd { callers: 128, records: 40 };
    let sent = crowd.callers * crowd.records;
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 997)).await;
    sidecar.stop().await;
    assert_true(&told, sent, &backend.stored());
    assert_eq!(statuses(&told), [(204, sent)].into());
    let calls = backend.counts().writes();
    assert!(calls * 8 < sent as u64, "{calls} calls for {sent} records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_batching_each_record_is_a_call() {
    let backend = keeping(4).await;
    let sidecar = Components::kinesis(&backend.url(), &[("disableBatching", "true")]).sidecar().await;
    let crowd = Crowd { callers: 32, records: 10 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, 320, &backend.stored());
    assert_eq!((backend.counts().put_record, backend.counts().put_records), (320, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_caller_pays_no_linger() {
    let backend = keeping(4).await;
    let fields = [("batchingMaxPublishDelay", "2s")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let crowd = Crowd { callers: 1, records: 20 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, 20, &backend.stored());
    assert_eq!(backend.counts().put_record, 20, "one record goes by PutRecord");
    let slowest = told.iter().map(|one| one.took).max().unwrap();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_keep_the_limits_of_the_service() {
    let backend = keeping(2).await;
    backend.set(Faults { latency: Duration::from_millis(20), ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[("maxBytesPerShardPerSecond", "100Mi")]).sidecar().await;
    // 40 callers of 300 KiB are 12 MiB: more than one call may hold.
    let crowd = Crowd { callers: 40, records: 1 };
    let told = send_all(sidecar.address, "orders", crowd, |number| {
        let text = "x".repeat(300 << 10);
        format!(r#"{{"operation":"create","data":{{"n":{number},"text":"{text}"}}}}"#)
    })
    .await;
    sidecar.stop().await;
    assert_true(&told, 40, &backend.stored());
    assert_eq!(statuses(&told), [(204, 40)].into());
    assert_eq!(backend.counts().refused, 0, "the backend refuses calls above 500 records or 10 MiB");
}

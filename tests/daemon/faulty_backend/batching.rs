//! Concurrent callers share calls; a single caller has no batching delay.

use super::assertions::{assert_consistent, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::{Faults, until};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_calls() {
    let backend = recording_backend(4).await;
    backend.hold_replies();
    let sidecar = Components::kinesis(&backend.url(), &[("maxInFlight", "1")]).sidecar().await;
    let load = Load { callers: 128, records: 1 };
    let traffic = send_all(sidecar.address, "orders", load, |number| record(number, 997));
    let releasing = async {
        // The first call has the records that came before it was sent. The others wait for its reply.
        let waiting = r#"bindd_output_queue_records{component="orders"} 128"#;
        until("a call to be in flight and every caller to wait", async || {
            (backend.counts().writes() == 1 && sidecar.page().contains(waiting)).then_some(())
        })
        .await;
        backend.release_replies();
    };
    let (results, ()) = tokio::join!(traffic, releasing);
    sidecar.stop().await;
    assert_consistent(&results, 128, &backend.stored());
    assert_eq!(statuses(&results), [(204, 128)].into());
    let calls = backend.counts().writes();
    assert!(calls <= 2, "all records that waited for the first call share the second: {calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_shared_calls_each_get_the_sequence_number_of_their_record() {
    let backend = recording_backend(4).await;
    backend.set(Faults { latency: Duration::from_millis(5), ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let load = Load { callers: 128, records: 40 };
    let sent = load.callers * load.records;
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 997)).await;
    sidecar.stop().await;
    assert_consistent(&results, sent, &backend.stored());
    assert_eq!(statuses(&results), [(204, sent)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_batching_each_record_is_a_call() {
    let backend = recording_backend(4).await;
    let sidecar = Components::kinesis(&backend.url(), &[("disableBatching", "true")]).sidecar().await;
    let load = Load { callers: 32, records: 10 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, 320, &backend.stored());
    assert_eq!((backend.counts().put_record, backend.counts().put_records), (320, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_caller_has_no_batching_delay() {
    let backend = recording_backend(4).await;
    // With the delay, twenty records would take twenty minutes; a test fails long before.
    let fields = [("batchingMaxPublishDelay", "1m")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let load = Load { callers: 1, records: 20 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, 20, &backend.stored());
    assert_eq!(backend.counts().put_record, 20, "a single record is sent by PutRecord");
    let slowest = results.iter().map(|result| result.took).max().unwrap();
    assert!(slowest < Duration::from_secs(60), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_stay_within_the_limits_of_kinesis() {
    let backend = recording_backend(2).await;
    backend.set(Faults { latency: Duration::from_millis(20), ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[("maxBytesPerShardPerSecond", "100Mi")]).sidecar().await;
    // 40 callers of 300 KiB send 12 MiB: too much for one call.
    let load = Load { callers: 40, records: 1 };
    let results = send_all(sidecar.address, "orders", load, |number| {
        let text = "x".repeat(300 << 10);
        format!(r#"{{"operation":"create","data":{{"n":{number},"text":"{text}"}}}}"#)
    })
    .await;
    sidecar.stop().await;
    assert_consistent(&results, 40, &backend.stored());
    assert_eq!(statuses(&results), [(204, 40)].into());
    assert_eq!(backend.counts().refused, 0, "the backend refuses calls above 500 records or 10 MiB");
}

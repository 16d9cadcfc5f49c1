//! Many callers share few calls; a lone one waits for nobody.

use super::callers::{Crowd, record, send_all};
use super::judge::{assert_true, statuses};
use super::world::{Components, keeping};
use bindd::testing::{Faults, until};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_share_calls() {
    let backend = keeping(4).await;
    backend.hold_replies();
    let sidecar = Components::kinesis(&backend.url(), &[("maxInFlight", "1")]).sidecar().await;
    let crowd = Crowd { callers: 128, records: 1 };
    let traffic = send_all(sidecar.address, "orders", crowd, |number| record(number, 997));
    let releasing = async {
        // One call is open with those who came before it was sent. The others wait for its reply.
        let waiting = r#"bindd_output_queue_records{component="orders"} 128"#;
        until("a call to be open and every caller to wait", async || {
            (backend.counts().writes() == 1 && sidecar.page().contains(waiting)).then_some(())
        })
        .await;
        backend.release_replies();
    };
    let (told, ()) = tokio::join!(traffic, releasing);
    sidecar.stop().await;
    assert_true(&told, 128, &backend.stored());
    assert_eq!(statuses(&told), [(204, 128)].into());
    let calls = backend.counts().writes();
    assert!(calls <= 2, "all that waited for the first call share the second: {calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_share_calls_one_after_the_other_are_each_told_their_own_place() {
    let backend = keeping(4).await;
    backend.set(Faults { latency: Duration::from_millis(5), ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let crowd = Crowd { callers: 128, records: 40 };
    let sent = crowd.callers * crowd.records;
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 997)).await;
    sidecar.stop().await;
    assert_true(&told, sent, &backend.stored());
    assert_eq!(statuses(&told), [(204, sent)].into());
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
    // With the delay twenty records would take twenty minutes, far more than any wait of a test.
    let fields = [("batchingMaxPublishDelay", "1m")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let crowd = Crowd { callers: 1, records: 20 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, 20, &backend.stored());
    assert_eq!(backend.counts().put_record, 20, "one record goes by PutRecord");
    let slowest = told.iter().map(|one| one.took).max().unwrap();
    assert!(slowest < Duration::from_secs(60), "{slowest:?}");
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

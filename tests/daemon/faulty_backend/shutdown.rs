//! Shutdown under load.

use super::assertions::{inconsistencies, locations, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, GRACE, recording_backend};
use bindd::daemon::Shutdown;
use bindd::testing::Faults;
use bindd::testing::until;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_answers_every_stored_record() {
    let backend = recording_backend(4).await;
    backend.set(Faults { latency: Duration::from_millis(30), entry_failed: 0.05, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let address = sidecar.address;
    let load = Load { callers: 64, records: 500 };
    let traffic = send_all(address, "orders", load, |number| record(number, 97));
    let stopping = async {
        until("traffic to flow", async || (backend.counts().stored > 300).then_some(())).await;
        sidecar.stop().await
    };
    let (results, shutdown) = tokio::join!(traffic, stopping);
    assert_eq!(shutdown, Shutdown::Clean);
    let inconsistencies = inconsistencies(&results, &locations(&backend.stored()));
    assert!(inconsistencies.is_empty(), "{}", inconsistencies.join("\n"));
    assert!(results.len() < load.callers * load.records, "the shutdown came while callers were sending");
    let statuses = statuses(&results);
    assert!(statuses.keys().all(|status| matches!(status, 0 | 204 | 503)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_still_wait_at_the_end_of_a_shutdown_get_503() {
    let backend = recording_backend(4).await;
    backend.set(Faults { latency: Duration::from_secs(3_600), ..Faults::default() });
    let one_call_at_a_time = [("maxInFlight", "1"), ("disableBatching", "true")];
    let components = Components::kinesis(&backend.url(), &one_call_at_a_time).with_items_output(&backend.url(), &[]);
    // The last responses are due at the start of the shutdown, long before its end.
    let sidecar = components.sidecar().await.with_response_margin(GRACE);
    let address = sidecar.address;
    let one_each = |callers| Load { callers, records: 1 };
    let records = send_all(address, "orders", one_each(8), |number| record(number, 97));
    let rows = send_all(address, "rows", one_each(1), |_| r#"{"operation":"create","data":{"id":"a"}}"#.to_owned());
    let stopping = async {
        let queued = r#"bindd_output_queue_records{component="orders"} 8"#;
        until("all to wait", async || (sidecar.page().contains(queued) && backend.counts().put_item > 0).then_some(()))
            .await;
        sidecar.stop().await
    };
    let (records, rows, shutdown) = tokio::join!(records, rows, stopping);
    assert_eq!(shutdown, Shutdown::Aborted);
    for result in records.iter().chain(&rows) {
        assert_eq!(result.status.map(|status| status.as_u16()), Some(503), "{result:?}");
    }
    let ambiguous =
        |results: &[super::callers::CallerResult]| results.iter().filter(|result| result.is_ambiguous).count();
    assert_eq!(
        (ambiguous(&records), ambiguous(&rows)),
        (1, 1),
        "the record in flight is ambiguous, those in the queue are not: {records:?}"
    );
}

//! A stop in the middle of traffic.

use super::callers::{Crowd, record, send_all};
use super::judge::{places, statuses, untruths};
use super::world::{Components, GRACE, keeping};
use bindd::daemon::Shutdown;
use bindd::testing::Faults;
use bindd::testing::until;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_mid_traffic_answers_whatever_it_stored() {
    let backend = keeping(4).await;
    backend.set(Faults { latency: Duration::from_millis(30), entry_failed: 0.05, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let address = sidecar.address;
    let crowd = Crowd { callers: 64, records: 500 };
    let traffic = send_all(address, "orders", crowd, |number| record(number, 97));
    let stopping = async {
        until("traffic to flow", async || (backend.counts().stored > 300).then_some(())).await;
        sidecar.stop().await
    };
    let (told, shutdown) = tokio::join!(traffic, stopping);
    assert_eq!(shutdown, Shutdown::Clean);
    let untruths = untruths(&told, &places(&backend.stored()));
    assert!(untruths.is_empty(), "{}", untruths.join("\n"));
    assert!(told.len() < crowd.callers * crowd.records, "the stop came in the middle");
    let statuses = statuses(&told);
    assert!(statuses.keys().all(|status| matches!(status, 0 | 204 | 503)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_still_waits_at_the_end_of_a_stop_is_answered_as_far_as_anybody_knows() {
    let backend = keeping(4).await;
    backend.set(Faults { latency: Duration::from_secs(3_600), ..Faults::default() });
    let alone = [("maxInFlight", "1"), ("disableBatching", "true")];
    let components = Components::kinesis(&backend.url(), &alone).patient_rows(&backend.url(), &[]);
    // The moment of the last answers comes at once, and the end of the stop long after it.
    let sidecar = components.sidecar().await.with_response_margin(GRACE);
    let address = sidecar.address;
    let one_each = |callers| Crowd { callers, records: 1 };
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
    for told in records.iter().chain(&rows) {
        assert_eq!(told.status.map(|status| status.as_u16()), Some(503), "{told:?}");
    }
    let ambiguous = |told: &[super::callers::Told]| told.iter().filter(|one| one.is_ambiguous).count();
    assert_eq!((ambiguous(&records), ambiguous(&rows)), (1, 1), "what was under way, and not what waited: {records:?}");
}

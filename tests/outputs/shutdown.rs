//! A stop in the middle of traffic.

use crate::callers::{Crowd, record, send_all};
use crate::judge::{places, statuses, untruths};
use crate::world::{Components, keeping};
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

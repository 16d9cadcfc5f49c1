//! Whatever fails, callers hear the truth.

use super::callers::{Crowd, record, send_all};
use super::judge::{assert_true, places, statuses};
use super::world::{Components, keeping};
use bindd::testing::Faults;
use std::time::Duration;

const CROWD: Crowd = Crowd { callers: 64, records: 60 };
const SENT: usize = CROWD.callers * CROWD.records;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_entries_are_repeated_alone_until_they_are_stored() {
    let backend = keeping(4).await;
    let faults = Faults { entry_failed: 0.05, entry_throttled: 0.05, ..Faults::default() };
    backend.set(Faults { latency: Duration::from_millis(2), ..faults });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", CROWD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, SENT, &backend.stored());
    assert_eq!(statuses(&told), [(204, SENT)].into(), "time enough for every record");
    assert_eq!(backend.counts().stored, SENT as u64, "an entry that failed for certain is never doubled");
    assert!(told.iter().any(|one| one.attempts > 1), "repetitions are told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_doubles_only_what_is_told_as_repeated() {
    let backend = keeping(4).await;
    backend.set(Faults { reply_lost: 0.03, call_lost: 0.02, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", CROWD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, SENT, &backend.stored());
    assert!(backend.counts().lost > 0, "replies were lost");
    let doubled = places(&backend.stored()).values().filter(|places| places.len() > 1).count();
    assert!(doubled > 0, "a stored record whose reply is lost is sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_are_repeated_without_doubling() {
    let backend = keeping(4).await;
    backend.set(Faults { call_throttled: 0.1, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", CROWD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, SENT, &backend.stored());
    assert_eq!(statuses(&told), [(204, SENT)].into());
    assert_eq!(backend.counts().stored, SENT as u64, "nothing was stored by a throttled call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_in_trouble_gets_true_answers_told() {
    let backend = keeping(4).await;
    let faults =
        Faults { call_failed: 0.2, call_unavailable: 0.2, reply_lost: 0.1, entry_failed: 0.2, ..Faults::default() };
    backend.set(faults);
    let fields = [("requestTimeout", "1s")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let crowd = Crowd { callers: 64, records: 20 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, crowd.callers * crowd.records, &backend.stored());
    let statuses = statuses(&told);
    assert!(statuses.get(&204).is_some_and(|stored| *stored > 0), "{statuses:?}");
    assert!(statuses.keys().all(|status| matches!(status, 204 | 429 | 502 | 503 | 504)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_never_answers_is_told_as_unknown() {
    let backend = keeping(1).await;
    backend.set(Faults { reply_lost: 1.0, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[("requestTimeout", "2s")]).sidecar().await;
    let crowd = Crowd { callers: 8, records: 2 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 5)).await;
    sidecar.stop().await;
    assert_true(&told, 16, &backend.stored());
    assert!(told.iter().all(|one| !one.is_ok()), "no success without a sequence number");
    assert!(told.iter().any(|one| one.is_ambiguous), "{:?}", told.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_record_fails_alone() {
    let backend = keeping(4).await;
    backend.set(Faults {
        poison: Some("\"n\":77}".to_owned()),
        latency: Duration::from_millis(5),
        ..Faults::default()
    });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let crowd = Crowd { callers: 64, records: 5 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, crowd.callers * crowd.records, &backend.stored());
    let failed: Vec<usize> = told.iter().filter(|one| !one.is_ok()).map(|one| one.number).collect();
    assert_eq!(failed, [77], "{:?}", statuses(&told));
    assert_eq!(statuses(&told).get(&400), Some(&1));
}

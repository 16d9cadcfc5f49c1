//! Responses agree with the stream under every kind of failure.

use super::assertions::{assert_consistent, locations, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::Faults;
use std::time::Duration;

const LOAD: Load = Load { callers: 64, records: 60 };
const SENT: usize = LOAD.callers * LOAD.records;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_failed_entries_are_retried_until_they_are_stored() {
    let backend = recording_backend(4).await;
    let faults = Faults { entry_failed: 0.05, entry_throttled: 0.05, ..Faults::default() };
    backend.set(Faults { latency: Duration::from_millis(2), ..faults });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let results = send_all(sidecar.address, "orders", LOAD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, SENT, &backend.stored());
    assert_eq!(statuses(&results), [(204, SENT)].into(), "the timeout is long enough for every record");
    assert_eq!(backend.counts().stored, SENT as u64, "a failed entry is not duplicated by its retry");
    assert!(results.iter().any(|result| result.attempts > 1), "responses count retries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_duplicates_only_records_with_several_attempts() {
    let backend = recording_backend(4).await;
    backend.set(Faults { reply_lost: 0.03, call_lost: 0.02, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let results = send_all(sidecar.address, "orders", LOAD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, SENT, &backend.stored());
    assert!(backend.counts().lost > 0, "replies were lost");
    let duplicated = locations(&backend.stored()).values().filter(|locations| locations.len() > 1).count();
    assert!(duplicated > 0, "a record whose reply is lost is sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_calls_are_retried_without_duplicates() {
    let backend = recording_backend(4).await;
    backend.set(Faults { call_throttled: 0.1, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let results = send_all(sidecar.address, "orders", LOAD, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, SENT, &backend.stored());
    assert_eq!(statuses(&results), [(204, SENT)].into());
    assert_eq!(backend.counts().stored, SENT as u64, "nothing was stored by a throttled call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_agree_with_the_stream_while_the_service_fails() {
    let backend = recording_backend(4).await;
    let faults =
        Faults { call_failed: 0.2, call_unavailable: 0.2, reply_lost: 0.1, entry_failed: 0.2, ..Faults::default() };
    backend.set(faults);
    let fields = [("requestTimeout", "1s")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let load = Load { callers: 64, records: 20 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, load.callers * load.records, &backend.stored());
    let statuses = statuses(&results);
    assert!(statuses.get(&204).is_some_and(|stored| *stored > 0), "{statuses:?}");
    assert!(statuses.keys().all(|status| matches!(status, 204 | 429 | 502 | 503 | 504)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_never_replies_makes_outcomes_ambiguous() {
    let backend = recording_backend(1).await;
    backend.set(Faults { reply_lost: 1.0, ..Faults::default() });
    let sidecar = Components::kinesis(&backend.url(), &[("requestTimeout", "2s")]).sidecar().await;
    let load = Load { callers: 8, records: 2 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 5)).await;
    sidecar.stop().await;
    assert_consistent(&results, 16, &backend.stored());
    assert!(results.iter().all(|result| !result.is_ok()), "no success without a sequence number");
    assert!(results.iter().any(|result| result.is_ambiguous), "{:?}", results.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_record_does_not_fail_others() {
    let backend = recording_backend(4).await;
    backend.set(Faults {
        poison: Some("\"n\":77}".to_owned()),
        latency: Duration::from_millis(5),
        ..Faults::default()
    });
    let sidecar = Components::kinesis(&backend.url(), &[]).sidecar().await;
    let load = Load { callers: 64, records: 5 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, load.callers * load.records, &backend.stored());
    let failed: Vec<usize> = results.iter().filter(|result| !result.is_ok()).map(|result| result.number).collect();
    assert_eq!(failed, [77], "{:?}", statuses(&results));
    assert_eq!(statuses(&results).get(&400), Some(&1));
}

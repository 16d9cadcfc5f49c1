//! Single items of a DynamoDB output.

use super::assertions::statuses;
use super::callers::{Load, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::Faults;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_whose_response_is_success_is_in_the_table() {
    let backend = recording_backend(1).await;
    backend.set(Faults { call_throttled: 0.1, reply_lost: 0.05, call_unavailable: 0.05, ..Faults::default() });
    let components = Components::new().with_items_output(&backend.url(), &[]);
    let sidecar = components.sidecar().await;
    let load = Load { callers: 32, records: 30 };
    let results = send_all(sidecar.address, "rows", load, |number| {
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}","n":{number}}}}}"#)
    })
    .await;
    sidecar.stop().await;
    let items = backend.items("rows");
    for result in &results {
        let text = format!("\"row-{}\"", result.number);
        let is_stored = items.iter().any(|item| item.contains(&text));
        let is_correct =
            if result.is_ok() { is_stored } else { result.status.is_some() && (result.is_ambiguous || !is_stored) };
        assert!(is_correct, "{result:?}, stored: {is_stored}");
    }
    assert_eq!(results.len(), 960, "every item got a response");
    assert!(statuses(&results).get(&204).is_some_and(|stored| *stored > 480), "{:?}", statuses(&results));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_whose_reply_was_lost_is_recognized_by_its_etag() {
    let backend = recording_backend(1).await;
    backend.set(Faults { reply_lost: 0.3, ..Faults::default() });
    let components = Components::new().with_items_output(&backend.url(), &[("etagAttributeName", "version")]);
    let sidecar = components.sidecar().await;
    let results = send_all(sidecar.address, "rows", Load { callers: 4, records: 25 }, |number| {
        let metadata = r#"{"concurrency":"first-write"}"#;
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}"}},"metadata":{metadata}}}"#)
    })
    .await;
    sidecar.stop().await;
    let stored = results.iter().filter(|result| result.is_ok()).count();
    let ambiguous = results.iter().filter(|result| result.is_ambiguous).count();
    let counts = backend.counts();
    assert_eq!((stored + ambiguous, counts.put_item, backend.items("rows").len()), (100, 100, 100), "{results:?}");
    // An outcome stays ambiguous only if the reply to the following GetItem is lost too.
    assert!(counts.lost > 2 * u64::try_from(ambiguous).unwrap(), "{counts:?}, {ambiguous} ambiguous");
    assert!(counts.get_item > 0 && stored > 70, "{counts:?}");
}

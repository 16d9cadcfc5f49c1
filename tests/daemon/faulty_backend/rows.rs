//! Items of a table.

use super::callers::{Crowd, send_all};
use super::judge::statuses;
use super::world::{Components, keeping};
use bindd::testing::Faults;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_said_to_be_stored_is_in_the_table() {
    let backend = keeping(1).await;
    backend.set(Faults { call_throttled: 0.1, reply_lost: 0.05, call_unavailable: 0.05, ..Faults::default() });
    let components = Components::new().patient_rows(&backend.url(), &[]);
    let sidecar = components.sidecar().await;
    let crowd = Crowd { callers: 32, records: 30 };
    let told = send_all(sidecar.address, "rows", crowd, |number| {
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}","n":{number}}}}}"#)
    })
    .await;
    sidecar.stop().await;
    let items = backend.items("rows");
    for one in &told {
        let text = format!("\"row-{}\"", one.number);
        let is_stored = items.iter().any(|item| item.contains(&text));
        let is_true = if one.is_ok() { is_stored } else { one.status.is_some() && (one.is_ambiguous || !is_stored) };
        assert!(is_true, "{one:?}, stored: {is_stored}");
    }
    assert_eq!(told.len(), 960, "every item was answered");
    assert!(statuses(&told).get(&204).is_some_and(|stored| *stored > 480), "{:?}", statuses(&told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_whose_reply_was_lost_is_known_by_its_version() {
    let backend = keeping(1).await;
    backend.set(Faults { reply_lost: 0.3, ..Faults::default() });
    let components = Components::new().patient_rows(&backend.url(), &[("etagAttributeName", "version")]);
    let sidecar = components.sidecar().await;
    let told = send_all(sidecar.address, "rows", Crowd { callers: 4, records: 25 }, |number| {
        let metadata = r#"{"concurrency":"first-write"}"#;
        format!(r#"{{"operation":"create","data":{{"id":"row-{number}"}},"metadata":{metadata}}}"#)
    })
    .await;
    sidecar.stop().await;
    let stored = told.iter().filter(|one| one.is_ok()).count();
    let ambiguous = told.iter().filter(|one| one.is_ambiguous).count();
    let counts = backend.counts();
    assert_eq!((stored + ambiguous, counts.put_item, backend.items("rows").len()), (100, 100, 100), "{told:?}");
    // Nobody knows only where the reply to the question was lost too; any other lost reply was made good.
    assert!(counts.lost > 2 * u64::try_from(ambiguous).unwrap(), "{counts:?}, {ambiguous} ambiguous");
    assert!(counts.get_item > 0 && stored > 70, "{counts:?}");
}

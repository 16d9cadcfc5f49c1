//! Items of a table.

use crate::callers::{Crowd, send_all};
use crate::judge::statuses;
use crate::world::{Components, keeping};
use bindd::testing::Faults;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_said_to_be_stored_is_in_the_table() {
    let backend = keeping(1).await;
    backend.set(Faults { call_throttled: 0.1, reply_lost: 0.05, call_unavailable: 0.05, ..Faults::default() });
    let components = Components::new().with("rows", "bindings.aws.dynamodb", &backend.url(), &[("table", "rows")]);
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

//! The order of an output while it is replaced, over real sockets, against a service that is slow.

use crate::calls::get;
use crate::environment::Sidecar;
use bindd::daemon::Shutdown;
use bindd::settings::Settings;
use bindd::testing::{BackendSettings, Faults, NullBackend, Recording, until, within};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Writes the output `orders`; another version has the same meaning and is another content.
fn write_output(folder: &Path, url: &str, [ordering, timeout, version]: [&str; 3]) {
    let item = |(name, value): (&str, &str)| format!("  - {{name: {name}, value: {value:?}}}\n");
    let items = [
        ("streamName", "orders"),
        ("direction", "output"),
        ("ordering", ordering),
        ("endpoint", url),
        ("region", "us-east-1"),
        ("accessKey", "test"),
        ("secretKey", "test"),
        ("requestTimeout", timeout),
        ("maxRequestTimeout", "100s"),
        ("attemptTimeout", "60s"),
    ]
    .map(item)
    .concat();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  \
         type: bindings.aws.kinesis\n  version: {version}\n  metadata:\n{items}"
    );
    std::fs::write(folder.join("orders.yaml"), text).unwrap();
}

/// Waits until that version of the output is in service.
async fn until_version(sidecar: &Sidecar, version: &str) {
    let shown = format!(r#""version":"{version}""#);
    until("the new output", async || {
        let page = get(sidecar.address(), "/v1.0/metadata").await;
        page.text().contains(&shown).then_some(())
    })
    .await;
}

/// A bulk of six records of one key, which is one after the other.
fn bulk(from: usize) -> String {
    let items: Vec<_> =
        (from..from + 6).map(|number| serde_json::json!({"data": number, "partitionKey": "same"})).collect();
    serde_json::json!({"operation": "bulkCreate", "data": {"items": items}}).to_string()
}

#[tokio::test]
async fn records_of_a_key_keep_their_order_while_their_output_is_replaced() {
    for ordering in ["key", "strict"] {
        let faults = Faults { latency: Duration::from_secs(1), ..Faults::default() };
        let settings = BackendSettings { recording: Recording::Everything, faults, ..BackendSettings::default() };
        let backend = NullBackend::start(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_output(folder.path(), &backend.url(), [ordering, "100s", "v1"]);
        let mut settings = Settings::local("shop", folder.path());
        settings.reload.watch = None;
        let sidecar = Arc::new(Sidecar::start(&settings).await.unwrap());
        let call = |from: usize| {
            let sidecar = Arc::clone(&sidecar);
            let mut task = JoinSet::new();
            task.spawn(async move { sidecar.invoke("orders", &bulk(from)).await.status.as_u16() });
            task
        };
        let mut first = call(0);
        until("the first record to be stored", async || (!backend.stored().is_empty()).then_some(())).await;
        write_output(folder.path(), &backend.url(), [ordering, "100s", "v0"]);
        until_version(&sidecar, "v0").await;
        let mut second = call(6);
        let statuses = [first.join_next().await.unwrap().unwrap(), second.join_next().await.unwrap().unwrap()];
        assert_eq!(statuses, [200, 200], "no request fails");
        let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
        let stored: Vec<String> = backend.stored().iter().map(|record| text(&record.data)).collect();
        assert_eq!(stored, (0..12).map(|number| number.to_string()).collect::<Vec<_>>(), "{ordering}");
        let sidecar = Arc::into_inner(sidecar).unwrap();
        assert_eq!(sidecar.stop().await, Shutdown::Clean);
    }
}

#[tokio::test]
async fn a_request_that_is_read_while_its_output_is_replaced_holds_up_no_other() {
    let backend = NullBackend::start(BackendSettings::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Shorter than the time for which a new output waits for the old one.
    write_output(folder.path(), &backend.url(), ["key", "20s", "v1"]);
    let mut settings = Settings::local("shop", folder.path());
    settings.reload.watch = None;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let body = r#"{"operation": "create", "data": 1, "metadata": {"partitionKey": "a"}}"#;
    let mut slow = TcpStream::connect(sidecar.address()).await.unwrap();
    let head = format!(
        "POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    within("the sidecar to read the body", slow.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    write_output(folder.path(), &backend.url(), ["key", "20s", "v0"]);
    until_version(&sidecar, "v0").await;
    assert_eq!(sidecar.invoke("orders", body).await.status, 204);
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", slow.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

use super::super::Metrics;
use super::*;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_stop_while_a_batch_fills_sends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/spans", listener.local_addr().unwrap());
    let (tracer, export) = Metrics::new().tracer(&TraceSettings { zipkin: Some(url), ..settings() }).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "telemetry is below the supervisor; joined at the end of the test")]
    let exporting = tokio::spawn(export.unwrap().run(async { drop(stopped.await) }));
    drop(tracer.start(SpanKind::Client, None, || "x".into()));
    // This runtime has one thread: the exporter takes the span and waits for more.
    tokio::task::yield_now().await;
    stop.send(()).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    exporting.await.unwrap();
}

/// Reads one request with a Content-Length; returns its head and its body.
async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.trim().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            return (head, bytes.split_off(end + 4));
        }
    }
}

fn settings() -> TraceSettings {
    TraceSettings { sampling_rate: Some(1.0), service_name: "shop".to_owned(), ..TraceSettings::default() }
}

#[tokio::test]
async fn spans_reach_zipkin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/spans", listener.local_addr().unwrap());
    let metrics = Metrics::new();
    let (tracer, export) = metrics.tracer(&TraceSettings { zipkin: Some(url), ..settings() }).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "telemetry is below the supervisor; joined at the end of the test")]
    let exporting = tokio::spawn(export.unwrap().run(async { drop(stopped.await) }));
    let parent = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let parent = SpanParent { context: parent, state: "a=b" };
    let mut span = tracer.start(SpanKind::Client, Some(parent), || "/v1.0/bindings/orders".into());
    span.set("db.system", "bindings");
    span.fail(|| "Code(500): Internal Server Error".to_owned());
    let id = format!("{:016x}", span.context().unwrap().span);
    drop(span);
    // The end of the process does not wait for the delay of a batch.
    stop.send(()).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let (head, body) = request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    exporting.await.unwrap();
    assert!(head.starts_with("post /api/v2/spans") && head.contains("content-type: application/json"), "{head}");
    let spans: Value = serde_json::from_slice(&body).unwrap();
    let span = &spans[0];
    for (key, value) in [
        ("traceId", "0af7651916cd43dd8448eb211c80319c"),
        ("parentId", "b7ad6b7169203331"),
        ("id", id.as_str()),
        ("kind", "CLIENT"),
        ("name", "/v1.0/bindings/orders"),
    ] {
        assert_eq!(span[key], value, "{span}");
    }
    assert_eq!(
        (&span["localEndpoint"]["serviceName"], &span["tags"]["db.system"]),
        (&"shop".into(), &"bindings".into())
    );
    assert_eq!(span["tags"]["error"], "Code(500): Internal Server Error");
    assert!(metrics.page().unwrap().contains("bindd_trace_spans_exported_total 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_does_not_answer_costs_spans_but_no_time_or_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/spans", listener.local_addr().unwrap());
    let metrics = Metrics::new();
    let (tracer, export) = metrics.tracer(&TraceSettings { zipkin: Some(url), ..settings() }).unwrap();
    for _ in 0..export::QUEUE_LENGTH + 7 {
        drop(tracer.start(SpanKind::Client, None, || "x".into()));
    }
    assert!(metrics.page().unwrap().contains("bindd_trace_spans_dropped_total 7\n"));
    let (stop, stopped) = oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "telemetry is below the supervisor; joined at the end of the test")]
    let exporting = tokio::spawn(export.unwrap().run(async { drop(stopped.await) }));
    stop.send(()).unwrap();
    // The clock is paused, so a wait without an end would hang.
    tokio::time::timeout(Duration::from_secs(2), exporting).await.unwrap().unwrap();
    let all = export::QUEUE_LENGTH + 7;
    assert!(metrics.page().unwrap().contains(&format!("bindd_trace_spans_dropped_total {all}\n")));
}

#[tokio::test]
async fn no_message_shows_the_password_of_an_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = |scheme: &str| format!("{scheme}://user:s3cret@{address}/token");
    let endpoint = http_client::Endpoint::new(&url("http"), &[], Duration::from_secs(5), false).unwrap();
    let failed = endpoint.post("text/plain", bytes::Bytes::new()).await.unwrap_err().to_string();
    let refused = http_client::Endpoint::new(&url("ftp"), &[], Duration::from_secs(5), false).unwrap_err();
    for text in [failed, refused] {
        assert!(text.contains(&address.to_string()) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn endpoints_that_cannot_be_used_are_refused() {
    let metrics = Metrics::new();
    for url in ["collector:9411", "ftp://collector", "http://", "http://a b"] {
        let result = metrics.tracer(&TraceSettings { zipkin: Some(url.to_owned()), ..settings() });
        assert!(result.unwrap_err().contains(url), "{url}");
    }
    let mut otlp = OtlpSettings::new("http://collector", OtlpProtocol::Http);
    otlp.headers = vec![("a b".to_owned(), "secret".to_owned().into())];
    let error = metrics.tracer(&TraceSettings { otlp: Some(otlp), ..settings() }).unwrap_err();
    assert!(error.contains("`a b`") && !error.contains("secret"), "{error}");
}

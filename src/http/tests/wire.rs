use super::super::{Access, Drained, HttpSettings, bind, serve_metrics};
use super::running::{LONG, Running, call, exchange, head, rest};
use crate::domain::Stop;
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let mut stream = running.connect().await;
    for _ in 0..3 {
        stream.write_all(call("create").as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 204"));
    }
    running.stop.finish();
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(running.end().await, Drained::Clean);
}

#[tokio::test]
async fn http_2_without_an_upgrade_is_served_on_the_same_port() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let io = TokioIo::new(running.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut client = Supervisor::new();
    client.spawn("client", connection);
    let request = |operation: &str| {
        let body = format!(r#"{{"operation":"{operation}"}}"#);
        let request = Request::post(format!("http://{}/v1.0/bindings/orders", running.address));
        request.version(Version::HTTP_2).body(Full::new(Bytes::from(body))).unwrap()
    };
    // The second overtakes the first, so streams do not wait for each other; the stop leaves neither unanswered.
    let slow = sender.send_request(request("wait"));
    running.fake.waiting.notified().await;
    assert_eq!(sender.send_request(request("create")).await.unwrap().status(), StatusCode::NO_CONTENT);
    running.stop.finish();
    running.fake.go.add_permits(1);
    assert_eq!(slow.await.unwrap().status(), StatusCode::NO_CONTENT);
    drop(sender);
    assert_eq!(running.end().await, Drained::Clean);
}

#[tokio::test]
async fn a_stop_answers_the_requests_that_were_read_and_closes_connections() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let mut stream = running.connect().await;
    stream.write_all(call("wait").as_bytes()).await.unwrap();
    running.fake.waiting.notified().await;
    running.stop.finish();
    running.fake.go.add_permits(1);
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 204") && answer.contains("connection: close"), "{answer}");
    assert_eq!(running.end().await, Drained::Clean);
}

#[tokio::test]
async fn a_request_on_a_connection_that_is_not_accepted_yet_is_answered_after_a_stop() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    // One thread: the server cannot run between these lines.
    let std_stream = std::net::TcpStream::connect(running.address).unwrap();
    std_stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(std_stream).unwrap();
    running.stop.finish();
    stream.write_all(call("create").as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 204"));
    assert_eq!(running.end().await, Drained::Clean);
}

#[tokio::test]
async fn connections_are_aborted_and_counted_at_the_drain_limit() {
    let running = Running::start(HttpSettings::default(), Duration::from_millis(1)).await;
    let mut stream = running.connect().await;
    stream.write_all(call("wait").as_bytes()).await.unwrap();
    running.fake.waiting.notified().await;
    running.stop.finish();
    let metrics = running.state.metrics.clone();
    assert_eq!(running.end().await, Drained::Aborted(1));
    assert!(metrics.page().unwrap().contains(r#"operation="wait",status="499"} 1"#));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let running = Running::start(HttpSettings { max_connections: 1, ..HttpSettings::default() }, LONG).await;
    let mut first = running.connect().await;
    first.write_all(call("wait").as_bytes()).await.unwrap();
    running.fake.waiting.notified().await;
    let mut second = running.connect().await;
    second.write_all(call("wait").as_bytes()).await.unwrap();
    running.fake.go.add_permits(1);
    assert!(head(&mut first).await.starts_with("HTTP/1.1 204"));
    assert_eq!(running.fake.seen.lock().unwrap().len(), 1, "the second must wait while the first is connected");
    drop(first);
    running.fake.waiting.notified().await;
    running.fake.go.add_permits(1);
    assert!(head(&mut second).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let mut stream = running.connect().await;
    // As Go's server, 4 KiB more than `--read-buffer-size` says, which the daemon adds.
    let head = format!("GET /v1.0/healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(9_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_large_body_arrives_complete_and_a_too_large_one_is_answered() {
    let limit = 3 << 20;
    let running = Running::start(HttpSettings { max_body_size: Some(limit), ..HttpSettings::default() }, LONG).await;
    let data = format!("\"{}\"", "x".repeat(limit - 100));
    let mut stream = running.connect().await;
    let body = format!(r#"{{"operation":"create","data":{data}}}"#);
    let head_of = |length: usize| {
        format!("POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
    };
    stream.write_all((head_of(body.len()) + &body).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 204"));
    assert_eq!(running.fake.seen.lock().unwrap()[0].data, data);
    // Chunked, so that the length is not known in advance; the client sends everything before it reads.
    stream
        .write_all(b"POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..5 {
        stream.write_all(format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)).as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 413"));
    let mut stream = running.connect().await;
    stream.write_all((head_of(2 * limit) + &" ".repeat(2 * limit)).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 413"));
}

/// The result of a future, while the clock repeatedly advances by an hour. It is paused only for that: a paused clock also
/// advances while sockets are waited for.
async fn while_hours_pass<T>(future: impl Future<Output = T>) -> T {
    let hours = async {
        loop {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(3_600)).await;
            tokio::time::resume();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        value = future => value,
        () = hours => unreachable!("it has no end"),
    }
}

#[tokio::test]
async fn a_client_may_pause_between_requests_but_not_within_a_head() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let mut silent = running.connect().await;
    let mut pausing = running.connect().await;
    pausing.write_all(call("create").as_bytes()).await.unwrap();
    assert!(head(&mut pausing).await.starts_with("HTTP/1.1 204"));
    assert_eq!(while_hours_pass(rest(&mut silent)).await, "", "a client that sends no request is disconnected");
    pausing.write_all(call("create").as_bytes()).await.unwrap();
    assert!(head(&mut pausing).await.starts_with("HTTP/1.1 204"));
    pausing.write_all(b"POST /v1.0/bindi").await.unwrap();
    while_hours_pass(rest(&mut pausing)).await;
}

#[tokio::test]
async fn the_metrics_page_is_served_until_the_stop() {
    let listener = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listener.addresses()[0];
    let (metrics, stop) = (Metrics::new(), Stop::new());
    metrics.requests("orders").answered("create", 204, Duration::ZERO);
    let mut tasks = Supervisor::new();
    tasks.spawn("metrics", serve_metrics(listener, metrics, Access::default(), stop.clone()));
    for (path, accept, kind, line) in [
        ("/", "*/*", "text/plain; version=0.0.4", "# TYPE bindd_output_requests_total counter\n"),
        ("/metrics", "text/plain;version=0.0.4", "text/plain; version=0.0.4", "bindd_output_requests_total{"),
        ("/metrics", "application/openmetrics-text", "application/openmetrics-text; version=1.0.0", "# EOF\n"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        let answer = exchange(&mut stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("content-type: {kind}")) && answer.contains(line), "{answer}");
    }
    stop.finish();
    assert_eq!(tasks.next().await.unwrap().result, Ok(Drained::Clean));
}

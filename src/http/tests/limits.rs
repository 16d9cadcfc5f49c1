//! Connections beyond the limit, and bodies that are not read, over real sockets.

use super::super::{Access, HttpSettings, bind, serve_metrics};
use super::running::{LONG, Running, call, exchange, head, rest};
use crate::domain::Stop;
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use secrecy::SecretString;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

fn at_most(max_connections: usize) -> HttpSettings {
    HttpSettings { max_connections, ..HttpSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_make_room_for_new_ones_and_busy_ones_stay() {
    let running = Running::start(at_most(3), LONG).await;
    let mut busy = running.connect().await;
    busy.write_all(call("wait").as_bytes()).await.unwrap();
    running.fake.waiting.notified().await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = running.connect().await;
        stream.write_all(call("create").as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 204"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        idle.push(stream);
    }
    let mut new = running.connect().await;
    new.write_all(call("create").as_bytes()).await.unwrap();
    assert!(head(&mut new).await.starts_with("HTTP/1.1 204"));
    assert_eq!(rest(&mut idle[0]).await, "", "the one that was idle longest was closed");
    running.fake.go.add_permits(1);
    assert!(head(&mut busy).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test(start_paused = true)]
async fn many_silent_clients_do_not_block_others() {
    let running = Running::start(at_most(64), LONG).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(running.connect().await);
    }
    let mut new = running.connect().await;
    new.write_all(call("create").as_bytes()).await.unwrap();
    assert!(head(&mut new).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_http_2_connection_makes_room_too() {
    let running = Running::start(at_most(1), LONG).await;
    let io = TokioIo::new(running.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut client = Supervisor::new();
    client.spawn("client", connection);
    let request = Request::get("http://localhost/v1.0/metadata").version(Version::HTTP_2);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    let mut new = running.connect().await;
    new.write_all(call("create").as_bytes()).await.unwrap();
    assert!(head(&mut new).await.starts_with("HTTP/1.1 204"));
    client.next().await.unwrap().result.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_scrapers_do_not_block_the_metrics_page() {
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners.addresses()[0];
    let stop = Stop::new();
    let mut tasks = Supervisor::new();
    tasks.spawn("metrics", serve_metrics(listeners, Metrics::new(), Access::default(), stop.clone()));
    let page = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(page.as_bytes()).await.unwrap(),
            _ => stream.write_all(&page.as_bytes()[..20]).await.unwrap(),
        }
        held.push(stream);
    }
    let mut scraper = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(exchange(&mut scraper, request).await.starts_with("HTTP/1.1 200"));
}

/// The public port and that of the metrics have few connections, and no token.
#[tokio::test(start_paused = true)]
async fn half_open_heads_do_not_delay_a_probe() {
    let running = Running::start(at_most(16), LONG).await;
    let begun = Instant::now();
    let mut held = Vec::new();
    for number in 0..40 {
        let mut stream = running.connect().await;
        if number % 2 == 0 {
            stream.write_all(b"GET /v1.0/healthz HTTP/1.1\r\nhost: ").await.unwrap();
        }
        held.push(stream);
    }
    let mut probe = running.connect().await;
    let request = "GET /v1.0/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(exchange(&mut probe, request).await.starts_with("HTTP/1.1 "));
    // The timeout of a probe of Kubernetes.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// Which one counts is a matter of opinion, and a proxy may be of another.
#[tokio::test]
async fn a_request_with_two_lengths_is_the_last_of_its_connection() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let body = r#"{"operation":"create"}"#;
    for lengths in
        ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"]
    {
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let request = format!("{POST}{lengths}\r\n\r\n{chunked}");
        let answer = exchange(&mut running.connect().await, &format!("{request}{request}")).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}

fn guarded() -> HttpSettings {
    HttpSettings { api_token: Some(SecretString::from("s3cret")), ..HttpSettings::default() }
}

const POST: &str = "POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\n";

#[tokio::test(start_paused = true)]
async fn a_refusal_before_the_body_arrived_closes_the_connection() {
    let running = Running::start(guarded(), LONG).await;
    let nowhere = POST.replace("bindings/orders", "nothing").replace("\r\nhost", "\r\ndapr-api-token: s3cret\r\nhost");
    let forbidden = POST.replace("\r\nhost", "\r\norigin: null\r\nhost");
    let escape = POST.replace("orders HTTP/1.1", "%zz HTTP/1.1\r\ndapr-api-token: s3cret");
    for (head, status) in [(POST, "401"), (&nowhere, "404"), (&forbidden, "403"), (&escape, "400")] {
        let answer = exchange(&mut running.connect().await, &format!("{head}content-length: 9000000\r\n\r\nx")).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_writes_its_whole_body_before_it_reads_sees_the_refusal() {
    let running = Running::start(guarded(), LONG).await;
    for size in [10_usize, 100_000, 3_000_000] {
        let mut stream = running.connect().await;
        let request = format!("{POST}content-length: {size}\r\n\r\n{}", " ".repeat(size));
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 401"), "{size}");
        let mut body = [0; 18];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"invalid api token\n");
        if size < 200_000 {
            stream.write_all(request.as_bytes()).await.unwrap();
            assert!(head(&mut stream).await.starts_with("HTTP/1.1 401"), "the connection stays open");
        } else {
            assert_eq!(rest(&mut stream).await, "", "closed, and not reset");
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_only_if_its_body_is_read() {
    let running = Running::start(HttpSettings { max_body_size: Some(1_000), ..guarded() }, LONG).await;
    let expecting = |token: &str, length: usize| {
        format!("{POST}dapr-api-token: {token}\r\nexpect: 100-Continue\r\ncontent-length: {length}\r\n\r\n")
    };
    for (token, length, status) in [("s3cret", 1_001, "413"), ("wrong", 10, "401")] {
        let answer = exchange(&mut running.connect().await, &expecting(token, length)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let body = r#"{"operation":"create"}"#;
    let mut stream = running.connect().await;
    stream.write_all(expecting("s3cret", body.len()).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_answered_with_408_and_its_connection_closes() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let answer = exchange(&mut running.connect().await, &format!("{POST}content-length: 100\r\n\r\n{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("connection: close"), "{answer}");
}

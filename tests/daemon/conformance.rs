//! HTTP/1.1 as it is on the wire: requests that break the grammar (RFC 9112) or the limits are refused, memory stays
//! bounded, and other clients are served.

use crate::calls::get;
use crate::environment::{Environment, Sidecar};
use bindd::testing::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HOST: &str = "host: localhost\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// What the server answers before it closes; it may reset the connection instead.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    within("an answer or the end of the connection", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close while it is still being written to.
        drop(stream.write_all(bytes).await);
        let mut text = Vec::new();
        drop(stream.read_to_end(&mut text).await);
        String::from_utf8_lossy(&text).into_owned()
    })
    .await
}

async fn assert_served(address: SocketAddr, after: &str) {
    assert_eq!(get(address, "/v1.0/healthz/outbound").await.status, 204, "after {after}");
}

#[tokio::test]
async fn malformed_requests_are_refused_and_close_the_connection() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let address = sidecar.address();
    let post = |headers: &str, body: &str| format!("POST /v1.0/bindings/none HTTP/1.1\r\n{HOST}{headers}\r\n{body}");
    for (says, request, status) in [
        ("no version", "GET /v1.0/metadata\r\n\r\n".to_owned(), Some("400")),
        ("an unknown version", format!("GET /v1.0/metadata HTTP/3.7\r\n{HOST}\r\n"), Some("400")),
        ("no method", format!(" /v1.0/metadata HTTP/1.1\r\n{HOST}\r\n"), Some("400")),
        ("a space before the colon", format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}x : y\r\n\r\n"), Some("400")),
        ("a line without a colon", format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}x\r\n\r\n"), Some("400")),
        (
            "a control character in a name",
            format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}x\u{1}: y\r\n\r\n"),
            Some("400"),
        ),
        ("a zero byte in a value", format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}x: \0\r\n\r\n"), Some("400")),
        ("a line that is folded", format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}x: y\r\n z\r\n\r\n"), Some("400")),
        ("a length that is no number", post("content-length: 1x\r\n", "a"), Some("400")),
        ("a negative length", post("content-length: -1\r\n", "a"), Some("400")),
        ("two different lengths", post("content-length: 1\r\ncontent-length: 2\r\n", "ab"), Some("400")),
        ("a coding that does not end with chunked", post("transfer-encoding: gzip\r\n", "a"), Some("400")),
        ("a chunk size that is no number", post(CHUNKED, "x\r\na\r\n0\r\n\r\n"), Some("400")),
        ("a chunk longer than its size", post(CHUNKED, "1\r\nab\r\n0\r\n\r\n"), Some("400")),
        ("a chunk size beyond 64 bits", post(CHUNKED, "fffffffffffffffff\r\na\r\n0\r\n\r\n"), Some("400")),
        ("an endless head", format!("GET / HTTP/1.1\r\n{HOST}x: {}", "y".repeat(100_000)), None),
        ("too many headers", format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "x: y\r\n".repeat(1_000)), Some("431")),
        ("a TLS handshake", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned() + "\r\n\r\n", Some("400")),
    ] {
        let text = answer(address, request.as_bytes()).await;
        let Some(status) = status else {
            // A client that goes on writing may see the end of the connection before the answer.
            assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{says}: {text}");
            assert_served(address, says).await;
            continue;
        };
        assert_eq!(text.split(' ').nth(1), Some(status), "{says}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{says}: what follows is not read as a request: {text}");
        assert_served(address, says).await;
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn unusual_requests_are_answered() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let address = sidecar.address();
    let close = "connection: close\r\n";
    let body = r#"{"operation":"create"}"#;
    let chunks = format!("5;ext=1\r\n{}\r\n{:x}\r\n{}\r\n0\r\n", &body[..5], body.len() - 5, &body[5..]);
    for (says, request, status) in [
        (
            "empty lines before a request",
            format!("\r\nGET /v1.0/healthz/outbound HTTP/1.1\r\n{HOST}{close}\r\n"),
            "204",
        ),
        ("HTTP/1.0", "GET /v1.0/healthz/outbound HTTP/1.0\r\n\r\n".to_owned(), "204"),
        ("HEAD is no GET, as in daprd", format!("HEAD /v1.0/metadata HTTP/1.1\r\n{HOST}{close}\r\n"), "404"),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{HOST}{close}\r\n"), "404"),
        ("CONNECT", format!("CONNECT localhost:3500 HTTP/1.1\r\n{HOST}{close}\r\n"), "404"),
        ("an unknown method", format!("BREW /v1.0/metadata HTTP/1.1\r\n{HOST}{close}\r\n"), "404"),
        (
            "an upgrade to h2c stays HTTP/1.1",
            format!(
                "GET /v1.0/healthz/outbound HTTP/1.1\r\n{HOST}connection: upgrade, \
          http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
            ),
            "204",
        ),
        (
            "extensions of chunks",
            format!("POST /v1.0/bindings/none HTTP/1.1\r\n{HOST}{close}{CHUNKED}\r\n{chunks}\r\n"),
            "404",
        ),
        (
            "trailers",
            format!("POST /v1.0/bindings/none HTTP/1.1\r\n{HOST}{close}{CHUNKED}\r\n{chunks}x: y\r\n\r\n"),
            "404",
        ),
    ] {
        let text = answer(address, request.as_bytes()).await;
        assert_eq!(text.split(' ').nth(1), Some(status), "{says}: {text}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_count() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let more = format!("GET /v1.0/metadata HTTP/1.1\r\n{HOST}connection: close\r\n\r\n");
    let length = format!("content-length: {}\r\n", 5 + more.len());
    for headers in [format!("{length}{CHUNKED}"), format!("{CHUNKED}{length}")] {
        let request = format!("POST /v1.0/bindings/none HTTP/1.1\r\n{HOST}{headers}\r\n0\r\n\r\n{more}");
        let text = answer(sidecar.address(), request.as_bytes()).await;
        // RFC 9112, section 6.3: the chunks win, so the body is empty, and what follows is not a part of it.
        assert!(text.starts_with("HTTP/1.1 400") && text.contains("deserializing HTTP body: EOF"), "{text}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn floods_and_half_open_connections_leave_others_served() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.max_buffer = Some(1 << 20);
    settings.max_body_size = Some(1 << 20);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let address = sidecar.address();
    let mut held = Vec::new();
    let head = "POST /v1.0/bindings/none HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let sent = match number % 4 {
            0 => "",
            1 => &head[..20],
            2 => head,
            _ => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        };
        stream.write_all(sent.as_bytes()).await.unwrap();
        if number % 4 == 2 {
            // Bodies that never end: together they are more than --max-buffer, so most are refused at once.
            drop(stream.write_all(&[b' '; 100_000]).await);
        }
        held.push(stream);
    }
    assert_served(address, "300 connections").await;
    assert_eq!(get(address, "/v1.0/metadata").await.status, 200);
    drop(held);
    bindd::testing::until("the memory of the bodies to be free again", async || {
        let body = r#"{"operation":"create"}"#.to_owned() + &" ".repeat(900_000);
        let response = crate::calls::post(address, "/v1.0/bindings/none", &body).await;
        (response.status == 404).then_some(())
    })
    .await;
    sidecar.stop().await;
}

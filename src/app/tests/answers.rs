//! Unusual answers: a complete head is an answer, whatever happens to its connection. Anything else is an error that says
//! what arrived.

use super::raw::{FAR, RawServer, Step, answering};
use super::{AppChannel, AppSettings, Route, cause_line, channel, deliver, event, metrics, refused, route};
use crate::domain::{Accepted, DeliveryError, EventFormat};
use bytes::Bytes;
use std::time::Duration;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// More than the socket buffers of both sides hold, so that the app closes while it is being written.
const LARGE: usize = 16 << 20;

/// A channel whose limit no test reaches.
fn patient(port: u16) -> AppChannel {
    AppChannel::new(&AppSettings { event_timeout: FAR, ..AppSettings::new(port) }).unwrap()
}

fn with_headers(count: usize) -> Vec<u8> {
    let headers: String = (0..count).map(|number| format!("x-{number}: y\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

async fn failure(script: Vec<Step>) -> DeliveryError {
    let server = RawServer::start([script]).await;
    deliver(&patient(server.port), "a").await.unwrap_err()
}

#[tokio::test]
async fn a_complete_head_accepts_the_record_whatever_happens_to_the_body() {
    let cases: [(&str, Vec<Step>); 11] = [
        ("reset", [answering("HTTP/1.1 200 OK\r\n\r\nok"), vec![Step::Reset]].concat()),
        (
            "reset in the body",
            [answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"), vec![Step::Reset]].concat(),
        ),
        ("closed in the body", answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut")),
        ("stalled body", [answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"), vec![Step::Stall]].concat()),
        ("stalled without length", [answering("HTTP/1.1 201 Created\r\n\r\n"), vec![Step::Stall]].concat()),
        ("broken chunks", answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n")),
        ("stalled chunks", {
            let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
            [answering(chunk), vec![Step::Stall]].concat()
        }),
        (
            "interim answers",
            answering(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            ),
        ),
        ("HTTP/1.0", answering("HTTP/1.0 200 OK\r\n\r\nok")),
        ("bare line feeds", answering("HTTP/1.1 200 OK\nconnection: close\ncontent-length: 2\n\nok")),
        ("500 headers", answering(with_headers(500))),
    ];
    for (name, script) in cases {
        let mut server = RawServer::start([script, answering(OK)]).await;
        let channel = patient(server.port);
        deliver(&channel, "a").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        deliver(&channel, "b").await.unwrap_or_else(|error| panic!("after {name}: {error}"));
        assert_eq!(server.connections(), [0, 1], "{name}: each record was sent once");
    }
}

#[tokio::test]
async fn a_connection_is_reused_after_a_body_in_several_pieces() {
    let pieces = ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "ab", "cd"];
    let answer = pieces.map(|piece| Step::Write(piece.as_bytes().to_vec()));
    let script = [vec![Step::ReadAll], answer.to_vec(), answering(OK)].concat();
    let mut server = RawServer::start([script]).await;
    let channel = patient(server.port);
    deliver(&channel, "a").await.unwrap();
    deliver(&channel, "b").await.unwrap();
    assert_eq!(server.connections(), [0, 0]);
}

#[tokio::test]
async fn an_answer_that_arrives_before_the_body_was_sent_is_accepted() {
    for (answer, expected) in [
        ("HTTP/1.1 413 Too Large\r\nconnection: close\r\nretry-after: 3\r\n\r\ntoo large", Some((413, Some(3)))),
        ("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Some((503, Some(7)))),
        ("HTTP/1.0 400 Bad Request\r\n\r\nno", Some((400, None))),
        ("HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n", None),
    ] {
        for end in [vec![], vec![Step::Reset], vec![Step::Stall]] {
            let script = [vec![Step::ReadHead, Step::Write(answer.into())], end.clone()].concat();
            let mut server = RawServer::start([script, vec![Step::Stall]]).await;
            let large = event(Bytes::from(vec![b'x'; LARGE]));
            let result =
                patient(server.port).handler_for(route(), EventFormat::default(), metrics()).handle(&large).await;
            match expected {
                Some((status, wait)) => assert_eq!(refused(result), (status, wait.map(Duration::from_secs)), "{end:?}"),
                None => assert_eq!(result.unwrap(), Accepted::All),
            }
            assert_eq!(server.connections(), [0], "{answer} {end:?}");
        }
    }
}

#[tokio::test]
async fn a_truncated_head_is_not_an_answer() {
    for response in
        ["", "HTT", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]
    {
        for end in [vec![], vec![Step::Reset]] {
            let error = failure([answering(response), end].concat()).await;
            assert!(matches!(error, DeliveryError::Unanswered { was_idle: false, .. }), "{response:?}: {error:?}");
            let line = cause_line(&error);
            let expected =
                "the app closed the connection before it had answered POST /orders, and may have received the event: ";
            assert!(line.starts_with(expected) && line.len() > expected.len(), "{line}");
        }
    }
}

#[tokio::test]
async fn an_invalid_head_is_an_answer_of_the_app() {
    let lengths = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd";
    for (answer, finding) in [
        (b"HTTP/1.1 abc OK\r\n\r\n".as_slice(), "a line that is not valid: invalid HTTP status-code parsed"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a line that is not valid: invalid HTTP header parsed"),
        (lengths.as_bytes(), "a line that is not valid: invalid content-length parsed"),
        (&with_headers(600), "more than 512 header lines"),
        (
            &[b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'y'; 600_000]].concat(),
            "more than 512 header lines or about 400 KiB",
        ),
    ] {
        let error = failure(answering(answer)).await;
        let line = cause_line(&error);
        assert!(matches!(error, DeliveryError::InvalidHead { .. }) && !error.is_app_down(), "{line}");
        assert!(line.starts_with("the app answered POST /orders, but") && line.contains(finding), "{finding}: {line}");
        assert!(line.len() < 300 && !line.contains(char::is_control), "{line}");
    }
}

#[tokio::test]
async fn the_error_says_what_the_app_sent_instead_of_http() {
    for (answer, finding) in [
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], "TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x16", "TLS"),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00", "HTTP/2"),
        (b"SSH-2.0-OpenSSH\x1b\r\n", "it begins with `SSH-2.0-OpenSSH\\u{1b}`"),
        (b"HTTP/2 200 OK\r\n\r\n", "it begins with `HTTP/2 200 OK"),
    ] {
        let error = failure(answering(answer)).await;
        let line = cause_line(&error);
        assert!(matches!(error, DeliveryError::NotHttp { .. }), "{line}");
        assert!(line.contains("was reached at 127.0.0.1:") && line.contains(finding), "{finding}: {line}");
        assert!(line.len() < 300 && !line.contains(char::is_control), "{line}");
    }
}

#[tokio::test]
async fn the_error_shows_what_a_server_sends_before_the_request() {
    let error = failure(vec![Step::Write(b"220 mail ready\r\n".to_vec()), Step::Stall]).await;
    assert!(cause_line(&error).contains("it begins with `220 mail ready"), "{error:?}");
}

#[tokio::test]
async fn a_refusal_says_why_but_does_not_repeat_the_record() {
    for (answer, expected) in [
        ("\r\n\r\nUnexpected token h in JSON\nat position 0\x07", ": Unexpected token h in JSON at position 0\\u{7}"),
        ("content-length: 0\r\n\r\n", ""),
        ("\r\n\r\n\u{fffd}{\"error\": \"cannot use 'a secret record'\"}", ": \u{fffd}{\"error\": \"cannot use '…"),
        ("content-encoding: gzip\r\n\r\nnot for reading", ""),
    ] {
        let separator = if answer.starts_with("\r\n") { "" } else { "\r\n" };
        let server = RawServer::start([answering(format!("HTTP/1.1 400 Bad Request{separator}{answer}"))]).await;
        let error = deliver(&patient(server.port), "a secret record").await.unwrap_err();
        assert_eq!(error.to_string(), format!("the app answered 400 to POST /orders{expected}"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_shown_with_the_route_that_it_names() {
    let mut server =
        RawServer::start([answering("HTTP/1.1 307 Temporary Redirect\r\nlocation: /orders\r\n\r\n")]).await;
    let slashed = Route::new(Some("/orders/"), &"in".parse().unwrap());
    let error = channel(server.port)
        .handler_for(slashed, EventFormat::default(), metrics())
        .handle(&event("a"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the app answered 307 to POST /orders/ with location /orders; redirects are not followed, set `route` to /orders \
         if records belong there"
    );
    let (_, head) = server.seen.recv().await.unwrap();
    assert!(head.starts_with("POST /orders/ HTTP/1.1\r\n"), "the trailing slash is sent: {head}");
}

//! The channel against a raw server on a real socket.

mod answers;
mod formats;
mod http2;
mod https;
mod idle;
mod probing;
mod raw;
mod sizes;

use super::{AppChannel, AppSettings, InvalidAppSettings, Route};
use crate::domain::{
    Accepted, BindingEvent, DeliveryError, EventBatch, EventFormat, EventOrigin, LeaseCounter, RecordPosition,
    SequenceNumber, ShardId, Stop, Timestamp, cause_line,
};
use crate::tasks::Supervisor;
use crate::telemetry::{InputMetrics, Metrics};
use bytes::Bytes;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the server does with a request.
#[derive(Debug, Clone)]
enum Act {
    Answer(String),
    AnswerThenClose(String),
    CloseUnanswered,
    Stall,
}

#[derive(Debug)]
struct Seen {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name)).map(|(_, v)| v)
    }
}

/// An app that follows a script: the n-th request it reads gets the n-th act, the last act repeats.
struct App {
    port: u16,
    seen: UnboundedReceiver<Seen>,
    closed: UnboundedReceiver<usize>,
    _tasks: Supervisor<()>,
}

struct Script {
    acts: Vec<Act>,
    taken: std::sync::atomic::AtomicUsize,
    seen: UnboundedSender<Seen>,
    closed: UnboundedSender<usize>,
}

impl Script {
    fn next(&self) -> Act {
        let number = self.taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.acts[number.min(self.acts.len() - 1)].clone()
    }
}

async fn app(acts: impl IntoIterator<Item = Act>) -> App {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen_by, seen) = unbounded_channel();
    let (closed_by, closed) = unbounded_channel();
    let acts = acts.into_iter().collect();
    let script = Arc::new(Script { acts, taken: 0.into(), seen: seen_by, closed: closed_by });
    let mut tasks = Supervisor::new();
    tasks.spawn("app", async move {
        let mut connections = Supervisor::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn("connection", serve(stream, connection, script.clone()));
        }
    });
    App { port, seen, closed, _tasks: tasks }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Arc<Script>) {
    while let Some((head, body)) = read_request(&mut stream).await {
        script.seen.send(Seen { connection, head, body }).unwrap();
        match script.next() {
            Act::Answer(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
            }
            Act::AnswerThenClose(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                break;
            }
            Act::CloseUnanswered => break,
            Act::Stall => std::future::pending().await,
        }
    }
    drop(stream);
    // A test that does not wait for this has dropped the other end.
    script.closed.send(connection).ok();
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = read.split_off(head_end);
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "closed within the body");
    }
    Some((head, body))
}

fn settings(port: u16) -> AppSettings {
    AppSettings { event_timeout: Duration::from_secs(300), ..AppSettings::new(port) }
}

fn channel(port: u16) -> AppChannel {
    AppChannel::new(&settings(port)).unwrap()
}

fn route() -> Route {
    Route::new(None, &"orders".parse().unwrap())
}

fn metrics() -> InputMetrics {
    Metrics::new().input("orders")
}

/// A batch of one event.
fn event(data: impl Into<Bytes>) -> EventBatch {
    let event = BindingEvent {
        data: data.into(),
        origin: EventOrigin {
            shard: ShardId::new("shardId-000000000003"),
            position: RecordPosition { sequence: "4959".parse::<SequenceNumber>().unwrap(), sub_sequence: 2 },
            partition_key: "kunde ü".to_owned(),
            arrival: Some(Timestamp::from_millis(1_700_000_000_123)),
            is_damaged_aggregate: false,
            part: 0,
        },
        attempt: 3,
        not_decompressed: None,
    };
    EventBatch {
        binding: "orders".parse().unwrap(),
        stream: "orders".into(),
        epoch: LeaseCounter::new(9),
        lag: Some(Duration::from_millis(1_500)),
        events: vec![event],
    }
}

async fn deliver(channel: &AppChannel, data: &'static str) -> Result<Accepted, DeliveryError> {
    channel.handler_for(route(), EventFormat::default(), metrics()).handle(&event(data)).await
}

fn refused(result: Result<Accepted, DeliveryError>) -> (u16, Option<Duration>) {
    match result {
        Err(DeliveryError::Refused { status, retry_after, .. }) => (status, retry_after),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn answer(status: &str) -> Act {
    Act::Answer(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"))
}

#[tokio::test]
async fn an_event_arrives_with_exactly_these_headers() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let settings = AppSettings { api_token: Some("s3cret".to_owned().into()), ..settings(app.port) };
    let data = b"\x00\xffnot json".to_vec();
    let handler = AppChannel::new(&settings).unwrap().handler_for(route(), EventFormat::default(), metrics());
    handler.handle(&event(data.clone())).await.unwrap();
    let seen = app.seen.recv().await.unwrap();
    let mut headers: Vec<&str> = seen.head.trim_end().split("\r\n").collect();
    let line = headers.remove(0);
    headers.sort_unstable();
    let trace = headers.iter().position(|header| header.starts_with("traceparent: 00-")).unwrap();
    let trace = headers.remove(trace).strip_prefix("traceparent: 00-").unwrap();
    assert!(trace.len() == 32 + 1 + 16 + 3 && trace.ends_with("-01"), "{trace}");
    let host = format!("host: 127.0.0.1:{}", app.port);
    let agent = format!("user-agent: bindd/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(line, "POST /orders HTTP/1.1");
    assert_eq!(
        headers,
        [
            "bindd-arrival: 1700000000123",
            "bindd-attempt: 3",
            "bindd-event-id: shardId-000000000003:4959:2",
            "bindd-lag: 1500",
            "bindd-lease-epoch: 9",
            "bindd-partition-key: kunde%20%C3%BC",
            "bindd-sequence-number: 4959",
            "bindd-shard-id: shardId-000000000003",
            "bindd-sub-sequence-number: 2",
            "content-length: 10",
            "content-type: application/json",
            "dapr-api-token: s3cret",
            host.as_str(),
            agent.as_str(),
        ]
    );
    assert_eq!(seen.body, data);
}

#[tokio::test]
async fn the_headers_of_daprd_can_be_chosen() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let settings = AppSettings { has_go_headers: true, ..settings(app.port) };
    deliver(&AppChannel::new(&settings).unwrap(), "a").await.unwrap();
    let seen = app.seen.recv().await.unwrap();
    assert_eq!(seen.header("user-agent"), Some("Go-http-client/1.1"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    assert_eq!(seen.header("traceparent"), Some("00-00000000000000000000000000000000-0000000000000000-00"));
    assert!(!seen.head.to_lowercase().contains("bindd"), "{}", seen.head);
}

#[tokio::test]
async fn an_empty_event_has_content_length_0_and_no_headers_for_unknown_values() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let mut event = event("");
    event.events[0].origin.arrival = None;
    event.events[0].origin.partition_key.clear();
    event.lag = None;
    channel(app.port).handler_for(route(), EventFormat::default(), metrics()).handle(&event).await.unwrap();
    let seen = app.seen.recv().await.unwrap();
    assert_eq!(seen.header("content-length"), Some("0"));
    for name in ["bindd-arrival", "bindd-partition-key", "bindd-lag", "bindd-not-decompressed"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn only_2xx_accepts_and_redirects_are_not_followed() {
    let away = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy";
    let acts = [answer("204 No Content"), Act::Answer(away.to_owned()), Act::Answer(busy.to_owned()), answer("404 No")];
    let mut app = app(acts).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    assert_eq!(refused(deliver(&channel, "b").await), (302, None));
    assert_eq!(refused(deliver(&channel, "c").await), (503, Some(Duration::from_secs(7))));
    assert_eq!(refused(deliver(&channel, "d").await), (404, None));
    for body in [b"a", b"b", b"c", b"d"] {
        let seen = app.seen.recv().await.unwrap();
        assert_eq!((seen.body.as_slice(), seen.connection), (body.as_slice(), 0), "one connection serves them all");
    }
    assert!(app.seen.is_empty(), "nothing was sent twice");
}

#[tokio::test]
async fn a_timeout_is_reported_and_closes_the_connection() {
    let mut app = app([Act::Stall, Act::Answer(OK.to_owned())]).await;
    let slow = channel(app.port);
    let later = async {
        assert_eq!(app.seen.recv().await.unwrap().connection, 0);
        // Only now, so that the event arrives in time on the slowest machine.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(300)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(deliver(&slow, "a"), later);
    assert_eq!(
        answer.unwrap_err().to_string(),
        "the app did not answer POST /orders within 300s and may still be working on it; raise --app-timeout if it \
         needs longer"
    );
    deliver(&channel(app.port), "b").await.unwrap();
    assert_eq!(app.seen.recv().await.unwrap().connection, 1);
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = deliver(&channel(port), "a").await.unwrap_err();
    let line = cause_line(&error);
    assert!(
        line.starts_with(&format!("the app could not be reached at 127.0.0.1:{port}: Connection refused")),
        "{line}"
    );
}

#[tokio::test]
async fn a_connection_is_reused_after_a_chunked_body_and_closed_after_a_long_one() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned();
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{}", "x".repeat(200_000));
    let mut app = app([Act::Answer(chunked), Act::Answer(large), Act::Answer(OK.to_owned())]).await;
    let channel = channel(app.port);
    for data in ["a", "b", "c"] {
        deliver(&channel, data).await.unwrap();
    }
    let mut connections = Vec::new();
    while let Ok(seen) = app.seen.try_recv() {
        connections.push(seen.connection);
    }
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let two = NonZeroUsize::new(2).unwrap();
    let channel = AppChannel::new(&AppSettings { max_connections: two, ..settings(app.port) }).unwrap();
    let all = (0..50).map(|_| deliver(&channel, "a"));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    let mut seen = 0;
    while let Ok(one) = app.seen.try_recv() {
        assert!(one.connection < 2, "connection number {}", one.connection);
        seen += 1;
    }
    assert_eq!(seen, 50);
}

#[tokio::test]
async fn the_wait_for_the_app_ends_when_it_listens() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (port, stop) = (channel(port).port(), Stop::new());
    let mut wait = std::pin::pin!(port.wait_until_up(&stop));
    // Bound but not listening: dials are refused, so the wait goes on.
    let early = tokio::time::timeout(Duration::from_millis(150), &mut wait).await;
    assert!(early.is_err(), "nothing listens yet");
    let _listener = socket.listen(8).unwrap();
    assert!(wait.await);
}

#[test]
fn settings_that_cannot_be_sent_are_refused() {
    for bad in ["", "http://app", "a b", "app/x"] {
        let settings = AppSettings { address: bad.to_owned(), ..AppSettings::new(1) };
        assert_eq!(AppChannel::new(&settings).unwrap_err(), InvalidAppSettings::Address(bad.to_owned()));
    }
    let settings = AppSettings { api_token: Some("a\nb".to_owned().into()), ..AppSettings::new(1) };
    assert_eq!(AppChannel::new(&settings).unwrap_err(), InvalidAppSettings::Token);
    assert!(AppChannel::new(&AppSettings { address: "[::1]".to_owned(), ..AppSettings::new(1) }).is_ok());
}

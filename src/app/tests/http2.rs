//! The channel over HTTP/2 (`--app-protocol h2c`), against a server that decides the fate of each stream and connection.

use super::super::HttpProtocol;
use super::{AppChannel, AppSettings, deliver, event, metrics, refused, route, settings};
use crate::domain::{DeliveryError, EventFormat, cause_line};
use crate::tasks::Supervisor;
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the server does with a stream.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    Reset(Reason),
    /// Closes the whole connection.
    Cut,
    Hold,
}

/// What the server does with a connection.
#[derive(Debug, Clone)]
enum Kind {
    Http2,
    /// Writes these bytes after it has read something.
    Raw(Vec<u8>),
}

#[derive(Debug)]
struct Seen {
    connection: usize,
    request: Request<()>,
    body: Vec<u8>,
}

struct App {
    port: u16,
    seen: UnboundedReceiver<Seen>,
    closed: UnboundedReceiver<usize>,
    connections: Arc<AtomicUsize>,
    _tasks: Supervisor<()>,
}

#[derive(Debug, Clone)]
struct Script {
    acts: Arc<Vec<Act>>,
    taken: Arc<AtomicUsize>,
    seen: UnboundedSender<Seen>,
    closed: UnboundedSender<usize>,
}

/// The n-th connection is of the n-th kind and the n-th stream gets the n-th act; the last ones repeat.
async fn app(kinds: &[Kind], acts: &[Act]) -> App {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((seen_by, seen), (closed_by, closed)) = (unbounded_channel(), unbounded_channel());
    let script = Script { acts: Arc::new(acts.to_vec()), taken: Arc::default(), seen: seen_by, closed: closed_by };
    let (kinds, connections) = (kinds.to_vec(), Arc::new(AtomicUsize::new(0)));
    let accepted = Arc::clone(&connections);
    let mut tasks = Supervisor::new();
    tasks.spawn("app", async move {
        let mut open = Supervisor::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            accepted.fetch_add(1, Ordering::SeqCst);
            match kinds[number.min(kinds.len() - 1)].clone() {
                Kind::Http2 => open.spawn("connection", serve(stream, number, script.clone())),
                Kind::Raw(bytes) => open.spawn("connection", write_raw(stream, bytes)),
            }
        }
    });
    App { port, seen, closed, connections, _tasks: tasks }
}

async fn write_raw(mut stream: TcpStream, bytes: Vec<u8>) {
    let mut buffer = [0; 1024];
    assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
    stream.write_all(&bytes).await.unwrap();
    // Reads on, so that nothing is reset.
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

async fn serve(stream: TcpStream, number: usize, script: Script) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (cut, mut is_cut) = unbounded_channel::<()>();
    let mut streams = Supervisor::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { break };
                streams.spawn("stream", handle(request, respond, number, script.clone(), cut.clone()));
            }
            _ = is_cut.recv() => break,
        }
    }
    drop(connection);
    // A test that does not wait for this has dropped the other end.
    script.closed.send(number).ok();
}

async fn handle(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    script: Script,
    cut: UnboundedSender<()>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let Ok(data) = data else { return };
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let act = script.taken.fetch_add(1, Ordering::SeqCst);
    script.seen.send(Seen { connection, request: Request::from_parts(head, ()), body }).unwrap();
    match script.acts[act.min(script.acts.len() - 1)] {
        Act::Answer(status, text) => {
            let head = Response::builder().status(status).header("retry-after", "7").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
        }
        Act::Reset(reason) => respond.send_reset(reason),
        Act::Cut => cut.send(()).unwrap(),
        Act::Hold => std::future::pending().await,
    }
}

fn channel(app: &App) -> AppChannel {
    AppChannel::new(&AppSettings { protocol: HttpProtocol::H2c, ..settings(app.port) }).unwrap()
}

const OK: Act = Act::Answer(200, "ok");

#[tokio::test]
async fn requests_share_a_connection_and_arrive_unchanged() {
    let mut app = app(&[Kind::Http2], &[OK]).await;
    let channel = channel(&app);
    let all = (0..50).map(|_| deliver(&channel, "a"));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
    let seen = app.seen.recv().await.unwrap();
    assert_eq!(seen.request.uri().to_string(), format!("http://127.0.0.1:{}/orders", app.port));
    assert_eq!((seen.request.method().as_str(), seen.body.as_slice()), ("POST", b"a".as_slice()));
    let headers = seen.request.headers();
    assert!(headers.get("host").is_none() && headers["content-type"] == "application/json", "{headers:?}");
    assert!(headers["content-length"] == "1" && headers["bindd-sequence-number"] == "4959", "{headers:?}");
}

#[tokio::test]
async fn a_large_body_passes_the_flow_control() {
    let mut app = app(&[Kind::Http2], &[OK]).await;
    let data: Vec<u8> = (0..2_u32 << 20).map(|number| number.to_le_bytes()[1]).collect();
    let handler = channel(&app).handler_for(route(), EventFormat::default(), metrics());
    handler.handle(&event(data.clone())).await.unwrap();
    assert!(app.seen.recv().await.unwrap().body == data);
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_text_and_wait() {
    let mut app = app(&[Kind::Http2], &[Act::Answer(503, "come back later")]).await;
    let error = deliver(&channel(&app), "a").await;
    assert!(error.as_ref().unwrap_err().to_string().ends_with("503 to POST /orders: come back later"), "{error:?}");
    assert_eq!(refused(error), (503, Some(Duration::from_secs(7))));
    assert_eq!(app.seen.recv().await.unwrap().connection, 0);
}

#[tokio::test]
async fn a_stream_that_the_app_refused_is_sent_again() {
    let mut app = app(&[Kind::Http2], &[Act::Reset(Reason::REFUSED_STREAM), OK]).await;
    deliver(&channel(&app), "a").await.unwrap();
    for _ in 0..2 {
        assert_eq!(app.seen.recv().await.unwrap().body, b"a");
    }
    assert!(app.seen.is_empty());
}

#[tokio::test]
async fn a_stream_that_the_app_always_refuses_is_given_up() {
    let mut app = app(&[Kind::Http2], &[Act::Reset(Reason::REFUSED_STREAM)]).await;
    let error = deliver(&channel(&app), "a").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unreachable { .. }), "{error:?}");
    assert!(cause_line(&error).contains("refused stream"), "{}", cause_line(&error));
    assert_eq!(std::iter::from_fn(|| app.seen.try_recv().ok()).count(), 3);
}

#[tokio::test]
async fn a_stream_that_fails_in_the_app_is_not_sent_again_and_its_connection_is_kept() {
    let mut app = app(&[Kind::Http2], &[Act::Reset(Reason::INTERNAL_ERROR), OK]).await;
    let channel = channel(&app);
    let error = deliver(&channel, "a").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { was_idle: false, .. }), "{error:?}");
    deliver(&channel, "b").await.unwrap();
    let seen: Vec<_> = std::iter::from_fn(|| app.seen.try_recv().ok()).map(|one| (one.connection, one.body)).collect();
    assert_eq!(seen, [(0, b"a".to_vec()), (0, b"b".to_vec())]);
}

/// The settings of a server, and a GOAWAY after this last stream.
fn going_away(last: u8, reason: u8) -> Kind {
    let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    bytes.extend([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, reason]);
    Kind::Raw(bytes)
}

#[tokio::test]
async fn a_request_after_the_last_stream_of_a_goaway_is_sent_over_a_new_connection() {
    let mut app = app(&[going_away(0, 0), Kind::Http2], &[OK]).await;
    deliver(&channel(&app), "a").await.unwrap();
    assert_eq!(app.seen.recv().await.unwrap().connection, 1);
    assert!(app.seen.is_empty());
}

#[tokio::test]
async fn a_connection_that_ends_within_a_request_is_an_error_and_the_next_request_opens_a_new_one() {
    let mut app = app(&[Kind::Http2], &[OK, Act::Cut, OK]).await;
    let channel = channel(&app);
    deliver(&channel, "a").await.unwrap();
    let error = deliver(&channel, "b").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { .. }), "{error:?}");
    deliver(&channel, "c").await.unwrap();
    let seen: Vec<_> = std::iter::from_fn(|| app.seen.try_recv().ok()).map(|one| (one.connection, one.body)).collect();
    assert_eq!(seen, [(0, b"a".to_vec()), (0, b"b".to_vec()), (1, b"c".to_vec())]);
}

#[tokio::test]
async fn a_timeout_on_a_silent_connection_retires_it() {
    let mut app = app(&[Kind::Http2], &[OK, Act::Hold, OK]).await;
    let channel = channel(&app);
    deliver(&channel, "a").await.unwrap();
    assert_eq!(app.seen.recv().await.unwrap().connection, 0);
    let later = async {
        assert_eq!(app.seen.recv().await.unwrap().connection, 0);
        // Only now, so that the event arrives in time on the slowest machine.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(300)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(deliver(&channel, "b"), later);
    assert!(matches!(answer, Err(DeliveryError::TimedOut { .. })), "{answer:?}");
    deliver(&channel, "c").await.unwrap();
    let seen = app.seen.recv().await.unwrap();
    assert_eq!((seen.body.as_slice(), app.seen.is_empty()), (b"c".as_slice(), true));
}

#[tokio::test]
async fn an_app_that_speaks_http_1_is_described() {
    let response = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
    let app = app(&[Kind::Raw(response)], &[OK]).await;
    let error = deliver(&channel(&app), "a").await.unwrap_err();
    let expected = format!(
        "the app was reached at 127.0.0.1:{} but its answer is not HTTP/2: it is HTTP/1.1; set --app-protocol http",
        app.port
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn close_closes_the_connection() {
    let mut app = app(&[Kind::Http2], &[OK]).await;
    let channel = channel(&app);
    deliver(&channel, "a").await.unwrap();
    channel.close().await;
    assert_eq!(app.closed.recv().await, Some(0));
}

#[tokio::test]
async fn an_idle_connection_that_is_too_old_is_closed() {
    let mut app = app(&[Kind::Http2], &[OK]).await;
    let channel = channel(&app);
    deliver(&channel, "a").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(89)).await;
    assert_eq!(channel.reap_now(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(channel.reap_now(), 0);
    tokio::time::resume();
    assert_eq!(app.closed.recv().await, Some(0));
}

//! HTTP/2 as it is on the wire: frames that break the protocol (RFC 9113) end their connection, floods are bounded, and
//! other clients are served.

use crate::calls::get;
use crate::environment::Environment;
use bindd::testing::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without compression.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    pairs.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn get_headers(path: &str) -> Vec<u8> {
    headers(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")])
}

pub(crate) struct Client(TcpStream);

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = Self(TcpStream::connect(address).await.unwrap());
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        client
    }

    /// The server may close while it is being written to.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes).await);
    }

    /// `None` at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        within("a frame", self.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        within("a payload", self.0.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a kind, on the way to which others are skipped; `None` at the end of the connection.
    async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The code with which the server ends the connection; 0 if it closes without one.
    async fn error_code(&mut self) -> u32 {
        let mut code = 0;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = u32::from_be_bytes(frame.payload[4..8].try_into().unwrap());
            }
        }
        code
    }
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let address = sidecar.address();
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_headers("/v1.0/metadata"));
    let open = frame(HEADERS, END_STREAM, 1, &get_headers("/v1.0/metadata"));
    for (says, bytes) in [
        ("DATA on no stream", frame(DATA, 0, 0, b"x")),
        ("DATA on a stream that was not opened", frame(DATA, 0, 1, b"x")),
        ("HEADERS on no stream", frame(HEADERS, END_HEADERS, 0, &get_headers("/"))),
        ("HEADERS on a stream of the server", frame(HEADERS, END_HEADERS, 2, &get_headers("/"))),
        ("RST_STREAM on a stream that was not opened", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("RST_STREAM of a wrong size", [request.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        ("SETTINGS of a wrong size", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a window above the limit", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("a frame size below the limit", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        ("PING of a wrong size", frame(PING, 0, 0, &[0; 7])),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("PUSH_PROMISE of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4])),
        ("CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 1, &[])),
        ("another frame between HEADERS and CONTINUATION", [open, frame(PING, 0, 0, &[0; 8])].concat()),
        ("a frame above the limit", frame(DATA, 0, 1, &[0; 20_000])),
    ] {
        let mut client = Client::connect(address).await;
        client.send(&bytes).await;
        assert_ne!(client.error_code().await, 0, "{says}: GOAWAY names the error");
        assert_eq!(get(address, "/v1.0/healthz/outbound").await.status, 204, "after {says}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    drop(within("the end after a bad preface", stream.read_to_end(&mut bytes)).await);
    sidecar.stop().await;
}

#[tokio::test]
async fn requests_are_answered_within_the_windows_of_the_client() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let mut client = Client::connect(sidecar.address()).await;
    // No window for DATA, and a frame of an unknown kind, which is ignored.
    client.send(&[frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(0xbb, 0, 0, b"any")].concat()).await;
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_headers("/v1.0/metadata"))).await;
    let head = client.until(HEADERS).await.unwrap();
    assert_eq!((head.stream, head.flags & END_STREAM), (1, 0), "a body follows");
    client.send(&frame(PING, 0, 0, b"8 bytes.")).await;
    loop {
        let next = client.next().await.unwrap();
        assert_ne!(next.kind, DATA, "there is no window for it");
        if next.kind == PING {
            assert_eq!((next.flags, next.payload.as_slice()), (ACK, &b"8 bytes."[..]));
            break;
        }
    }
    client.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5])).await;
    let data = client.until(DATA).await.unwrap();
    assert_eq!(data.payload.len(), 5, "as much as the window allows");
    client.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0xff, 0, 0])).await;
    let mut body = data.payload;
    loop {
        let data = client.until(DATA).await.unwrap();
        body.extend(data.payload);
        if data.flags & END_STREAM != 0 {
            break;
        }
    }
    let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(page["id"], "shop");
    // Trailers after a body are accepted.
    let post = headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1.0/bindings/none"),
        (":authority", "localhost"),
    ]);
    let body = frame(DATA, 0, 3, br#"{"operation":"create"}"#);
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 3, &headers(&[("x", "y")]));
    client.send(&[frame(HEADERS, END_HEADERS, 3, &post), body, trailers].concat()).await;
    assert_eq!(client.until(HEADERS).await.unwrap().stream, 3);
    // Its body waits for a window, and the drain for the body.
    drop(client);
    sidecar.stop().await;
}

/// Frames that cost a server more than they cost their sender; the requests are to this path.
fn floods(path: &str) -> [(&'static str, Vec<u8>); 5] {
    let reset = |number: u32| {
        let stream = 2 * number + 1;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_headers(path));
        [request, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    [
        ("PING", frame(PING, 0, 0, &[0; 8]).repeat(20_000)),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 1, 0]).repeat(20_000)),
        ("RST_STREAM", (0..20_000).flat_map(reset).collect()),
        ("CONTINUATION", {
            let begin = frame(HEADERS, END_STREAM, 1, &get_headers("/"));
            [begin, frame(CONTINUATION, 0, 1, &headers(&[("x", "y")])).repeat(20_000)].concat()
        }),
        ("empty DATA", {
            let begin = frame(HEADERS, END_HEADERS, 1, &get_headers(path));
            [begin, frame(DATA, 0, 1, &[]).repeat(20_000)].concat()
        }),
    ]
}

/// Sends each flood while and after `serves` calls the server as another client.
pub(crate) async fn assert_floods_are_survived(address: SocketAddr, path: &str, serves: impl AsyncFn(&str)) {
    for (says, bytes) in floods(path) {
        let Client(stream) = Client::connect(address).await;
        let (mut reader, mut writer) = stream.into_split();
        // Whether the server reads it all or ends the connection is its choice; that it goes on serving is not.
        let sending = async {
            drop(writer.write_all(&bytes).await);
            drop(writer.shutdown().await);
        };
        let reading = async { drop(tokio::io::copy(&mut reader, &mut tokio::io::sink()).await) };
        within(says, Box::pin(async { tokio::join!(sending, reading, serves(says)) })).await;
        serves(says).await;
    }
}

#[tokio::test]
async fn floods_of_frames_leave_others_served() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let address = sidecar.address();
    assert_floods_are_survived(address, "/v1.0/metadata", async |says: &str| {
        assert_eq!(get(address, "/v1.0/healthz/outbound").await.status, 204, "{says}");
        assert_eq!(get(address, "/v1.0/metadata").await.status, 200, "{says}");
    })
    .await;
    sidecar.stop().await;
}

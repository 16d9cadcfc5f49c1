//! Concurrent callers, each with its own keep-alive connection.

use bindd::tasks::Supervisor;
use bindd::testing::within;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The response that a caller got for its record.
#[derive(Debug, Clone)]
pub(crate) struct CallerResult {
    pub(crate) number: usize,
    /// `None` if the connection ended before a response.
    pub(crate) status: Option<StatusCode>,
    pub(crate) sequence: Option<String>,
    pub(crate) shard: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) is_ambiguous: bool,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

impl CallerResult {
    pub(crate) fn is_ok(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }
}

/// The number of callers, and the number of records that each sends one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) callers: usize,
    pub(crate) records: usize,
}

/// Sends a load to a binding. `body` creates the request of a record from its number; the numbers of all callers are
/// distinct and start at 0. A caller whose connection ends stops sending.
pub(crate) async fn send_all(
    address: SocketAddr,
    binding: &'static str,
    load: Load,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Vec<CallerResult> {
    let body = Arc::new(body);
    let mut callers = Supervisor::new();
    for caller in 0..load.callers {
        let body = Arc::clone(&body);
        let numbers = caller * load.records..(caller + 1) * load.records;
        callers.spawn(format!("caller {caller}"), async move {
            let mut connection = Caller::connect(address).await;
            let mut results = Vec::new();
            for number in numbers {
                let result = connection.send(binding, number, body(number)).await;
                let is_closed = result.status.is_none();
                results.push(result);
                if is_closed {
                    break;
                }
            }
            results
        });
    }
    let collected = async {
        let mut results = Vec::new();
        while let Some(ended) = callers.next().await {
            results.extend(ended.result.unwrap());
        }
        results
    };
    within("every caller to get its responses", collected).await
}

struct Caller {
    address: SocketAddr,
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    _connection: Supervisor<()>,
}

impl Caller {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut group = Supervisor::new();
        // The responses show how a connection ended.
        group.spawn("connection", async move { drop(connection.await) });
        Self { address, sender, _connection: group }
    }

    async fn send(&mut self, binding: &str, number: usize, body: String) -> CallerResult {
        let request = Request::post(format!("/v1.0/bindings/{binding}"))
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let began = Instant::now();
        let exchange = async {
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((parts, body.collect().await?.to_bytes()))
        };
        let response = exchange.await.ok();
        let took = began.elapsed();
        let body = response.as_ref().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        let header = |name: &str| {
            let (parts, _) = response.as_ref()?;
            Some(parts.headers.get(name)?.to_str().unwrap().to_owned())
        };
        CallerResult {
            number,
            status: response.as_ref().map(|(parts, _)| parts.status),
            sequence: header("metadata.sequencenumber"),
            shard: header("metadata.shardid"),
            attempts: header("metadata.attempts").map_or(1, |text| text.parse().unwrap()),
            is_ambiguous: body.contains(r#""ambiguous":"true""#),
            retry_after: header("retry-after").map(|text| text.parse().unwrap()),
            body,
            took,
        }
    }
}

/// A request that creates the record `{"n":<number>}` under one of `keys` keys.
pub(crate) fn record(number: usize, keys: usize) -> String {
    let key = number % keys;
    format!(r#"{{"operation":"create","data":{{"n":{number}}},"metadata":{{"partitionKey":"key-{key}"}}}}"#)
}

/// The record number in a payload.
pub(crate) fn number(payload: &[u8]) -> usize {
    let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
    usize::try_from(value["n"].as_u64().unwrap()).unwrap()
}

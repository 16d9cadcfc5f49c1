//! Many callers at once, each with a connection of its own that it keeps.

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

/// What one caller was told about its record.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The record.
    pub(crate) number: usize,
    /// `None`: the connection ended before an answer.
    pub(crate) status: Option<StatusCode>,
    pub(crate) sequence: Option<String>,
    pub(crate) shard: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) is_ambiguous: bool,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

impl Told {
    pub(crate) fn is_ok(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }
}

/// How many callers send how many records each, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) callers: usize,
    pub(crate) records: usize,
}

/// Lets the crowd send to a binding. `body` gives the request of a record's number; numbers run from 0 through all
/// callers. A caller whose connection ends stops sending.
pub(crate) async fn send_all(
    address: SocketAddr,
    binding: &'static str,
    crowd: Crowd,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Vec<Told> {
    let body = Arc::new(body);
    let mut callers = Supervisor::new();
    for caller in 0..crowd.callers {
        let body = Arc::clone(&body);
        let numbers = caller * crowd.records..(caller + 1) * crowd.records;
        callers.spawn(format!("caller {caller}"), async move {
            let mut connection = Caller::connect(address).await;
            let mut told = Vec::new();
            for number in numbers {
                let one = connection.send(binding, number, body(number)).await;
                let is_over = one.status.is_none();
                told.push(one);
                if is_over {
                    break;
                }
            }
            told
        });
    }
    let gathered = async {
        let mut told = Vec::new();
        while let Some(ended) = callers.next().await {
            told.extend(ended.result.unwrap());
        }
        told
    };
    within("every caller to be answered", gathered).await
}

/// One caller's connection.
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
        // How a connection ends shows in the answers.
        group.spawn("connection", async move { drop(connection.await) });
        Self { address, sender, _connection: group }
    }

    async fn send(&mut self, binding: &str, number: usize, body: String) -> Told {
        let request = Request::post(format!("/v1.0/bindings/{binding}"))
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let began = Instant::now();
        let exchange = async {
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((parts, body.collect().await?.to_bytes()))
        };
        let answer = exchange.await.ok();
        let took = began.elapsed();
        let body = answer.as_ref().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        let header = |name: &str| {
            let (parts, _) = answer.as_ref()?;
            Some(parts.headers.get(name)?.to_str().unwrap().to_owned())
        };
        Told {
            number,
            status: answer.as_ref().map(|(parts, _)| parts.status),
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

/// The number of a record's payload.
pub(crate) fn number(payload: &[u8]) -> usize {
    let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
    usize::try_from(value["n"].as_u64().unwrap()).unwrap()
}

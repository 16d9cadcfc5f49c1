//! What a client of daprd can see, sentence by sentence, over real sockets. The text of each row begins with the section
//! of the contract. A row is a request as it is on the wire, and what its response must be like.

mod admin;
mod app_health;
mod bodies;
mod compat;
mod components;
mod concurrency;
mod errors;
mod grpc_api;
mod grpc_app;
mod init;
mod inputs;
mod process;
mod program;
mod reload;
mod routes;
mod sdks;
mod start;
mod stop;
mod transport;
mod unix;
mod values;

use crate::environment::Environment;
use bindd::testing::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response as it was on the wire.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name)).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends bytes on a new connection and reads until the server closes it.
pub(super) async fn exchange(address: SocketAddr, request: &str) -> Answer {
    within(request.lines().next().unwrap_or_default(), async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        parse(&bytes)
    })
    .await
}

pub(super) fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// A request with a body and more headers, each with its line end.
pub(super) fn request(method_and_path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method_and_path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// One sentence of the contract.
pub(super) struct Row<'r> {
    pub(super) says: &'r str,
    pub(super) request: String,
    pub(super) status: u16,
    /// A header in lower case, and its value or that it must be absent.
    pub(super) headers: &'r [(&'r str, Option<&'r str>)],
    /// The whole body.
    pub(super) body: &'r str,
}

pub(super) async fn check(address: SocketAddr, rows: &[Row<'_>]) {
    for Row { says, request, status, headers, body } in rows {
        let answer = exchange(address, request).await;
        assert_eq!((answer.status, answer.body.as_str()), (*status, *body), "{says}");
        for (name, value) in *headers {
            assert_eq!(answer.header(name), *value, "{says}: {}", answer.head);
        }
    }
}

/// A body that each output accepts.
pub(super) const CREATE: &str = r#"{"operation":"create","data":{"id":"1"}}"#;

/// A stream `orders` with an output, a table `people` with one, and no app.
pub(super) async fn environment() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("people").await;
    env.kinesis_component("orders", &[("streamName", "orders"), ("direction", "output")]);
    env.dynamodb_component("people", &[("table", "people")]);
    env
}

//! The port, the connections, and the handle that tests hold.

use super::control::{Control, Reply};
use super::error_response::ErrorResponse;
use super::faults::Faults;
use super::journal::{BackendRecord, Counts};
use super::{dynamodb, kinesis};
use crate::domain::Stop;
use crate::tasks::{Supervisor, serve_connections};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Larger reads make fewer copies of large bodies.
const READ_BUFFER: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct BackendSettings {
    /// How many equal shards each stream has; at least 1.
    pub shards: usize,
    /// The largest record, payload and key together, in bytes.
    pub max_record_size: usize,
    /// Which records and items are stored for tests.
    pub recording: Recording,
    /// The seed of all random decisions.
    pub seed: u64,
    /// The faults at the start.
    pub faults: Faults,
}

/// Which records and items are stored for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// None, only counts: fast enough for benchmarks.
    CountsOnly,
    /// All of them, until the backend is dropped.
    Everything,
}

impl Default for BackendSettings {
    /// Four shards, records of 1 MiB, only counts, no faults.
    fn default() -> Self {
        Self {
            shards: 4,
            max_record_size: 1 << 20,
            recording: Recording::CountsOnly,
            seed: 0,
            faults: Faults::default(),
        }
    }
}

/// A running backend. Dropping it aborts its connections.
#[derive(Debug)]
pub struct NullBackend {
    address: SocketAddr,
    control: Arc<Control>,
    stop: Stop,
    server: Supervisor<()>,
}

impl NullBackend {
    /// Opens a free loopback port and serves.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(settings: BackendSettings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (control, stop) = (Arc::new(Control::new(settings)), Stop::new());
        let mut server = Supervisor::new();
        let (shared, stopped) = (Arc::clone(&control), stop.clone());
        server.spawn("null-backend", async move {
            let handler = |stream| connection(stream, Arc::clone(&shared));
            serve_connections(listener, handler, usize::MAX, &stopped, Duration::ZERO).await;
        });
        Ok(Self { address, control, stop, server })
    }

    /// Where both services answer, as `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The loopback address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the faults.
    pub fn set(&self, faults: Faults) {
        self.control.lock().faults = faults;
    }

    /// From now on calls are executed, but their replies wait for [`NullBackend::release_replies`].
    pub fn hold_replies(&self) {
        self.control.hold(true);
    }

    /// Sends the replies that wait, and later ones as usual.
    pub fn release_replies(&self) {
        self.control.hold(false);
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.control.lock().journal.counts
    }

    /// The records stored so far, in order; of each shard, ordered by sequence number. Empty unless
    /// [`Recording::Everything`].
    #[must_use]
    pub fn stored(&self) -> Vec<BackendRecord> {
        self.control.lock().journal.records.clone()
    }

    /// The items in a table, as DynamoDB's JSON. Empty unless [`Recording::Everything`].
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<String> {
        let state = self.control.lock();
        let of_table = state.journal.items.iter().filter(|((name, _), _)| name == table);
        of_table.map(|(_, item)| item.clone()).collect()
    }

    /// Closes the port and aborts all connections.
    pub async fn stop(mut self) {
        self.stop.finish();
        while self.server.next().await.is_some() {}
    }
}

async fn connection(stream: TcpStream, control: Arc<Control>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "socket option was refused");
    }
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&control)));
    let served = hyper::server::conn::http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection to the null backend ended");
    }
}

/// No answer at all: hyper closes the connection.
#[derive(Debug, thiserror::Error)]
enum NoResponse {
    #[error("the reply was dropped as an injected fault")]
    Injected,
    #[error("the request could not be read")]
    Unread(#[from] hyper::Error),
}

async fn answer(request: Request<Incoming>, control: Arc<Control>) -> Result<Response<Full<Bytes>>, NoResponse> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    control.lock().journal.counts.bytes += u64::try_from(body.len()).unwrap_or_default();
    let reply = match std::str::from_utf8(&body) {
        Ok(text) => execute(&control, target, text),
        Err(_) => Reply::Error(ErrorResponse::invalid("the body is not UTF-8")),
    };
    let latency = control.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    control.released().await;
    let version =
        if target.starts_with("DynamoDB") { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
    match reply {
        Reply::Body(body) => Ok(response(StatusCode::OK, version, body)),
        Reply::Error(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(response(status, version, error.body()))
        }
        Reply::None => Err(NoResponse::Injected),
    }
}

fn execute(control: &Control, target: &str, body: &str) -> Reply {
    if let Some(error) = control.lock().injected_error(target) {
        return Reply::Error(error);
    }
    match target {
        "Kinesis_20131202.PutRecord" => kinesis::put_record(control, body),
        "Kinesis_20131202.PutRecords" => kinesis::put_records(control, body),
        "Kinesis_20131202.DescribeStreamSummary" => kinesis::describe_stream_summary(control, body),
        "Kinesis_20131202.ListShards" => kinesis::list_shards(control),
        "DynamoDB_20120810.PutItem" => dynamodb::put_item(control, body),
        "DynamoDB_20120810.GetItem" => dynamodb::get_item(control, body),
        "DynamoDB_20120810.BatchWriteItem" => dynamodb::batch_write_item(control, body),
        "DynamoDB_20120810.DescribeTable" => dynamodb::describe_table(control, body),
        _ => Reply::Error(ErrorResponse::unknown(target)),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-amzn-requestid", HeaderValue::from_static("00000000-0000-4000-8000-000000000000"));
    response
}

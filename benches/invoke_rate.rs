//! Requests a second through the HTTP API to an output that does nothing: the upper bound for every real output.
//!
//! ```sh
//! cargo bench --bench invoke_rate        # 64 connections, 10 s, 1 KiB of data
//! ```
//!
//! Server and clients share this process and its cores, so read the figure as a lower bound, and compare only ratios of
//! runs on one machine.

use async_trait::async_trait;
use bindd::domain::{
    Binding, BindingError, BodyMemory, ComponentName, Direction, InputBinding, InvokeRequest, InvokeResponse,
    OperationName, OutputBinding, Stop,
};
use bindd::http::{self, ApiState, AppConnection, HttpSettings};
use bindd::runtime::{Component, ExtendedMetadata, Host, Readiness};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

const CONNECTIONS: usize = 64;
const DURATION: Duration = Duration::from_secs(10);
const PAYLOAD: usize = 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An output that accepts every request.
#[derive(Debug)]
struct Null(ComponentName);

#[async_trait]
impl Binding for Null {
    fn name(&self) -> &ComponentName {
        &self.0
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(self)
    }

    async fn close(&self) {}
}

#[async_trait]
impl OutputBinding for Null {
    fn operations(&self) -> &[OperationName] {
        static OPERATIONS: [OperationName; 1] = [std::borrow::Cow::Borrowed("create")];
        &OPERATIONS
    }

    async fn invoke(&self, _request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        Ok(InvokeResponse::default())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let listeners = http::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).await?;
    let address = *listeners.addresses().first().ok_or("no listener")?;
    let stop = Stop::new();
    let mut server = Supervisor::new();
    server.spawn("server", http::serve(listeners, api_state()?, stop.clone(), Duration::from_secs(5)));

    let end = Instant::now() + DURATION;
    let mut clients = Supervisor::new();
    for number in 0..CONNECTIONS {
        clients.spawn(format!("client {number}"), client(address, end));
    }
    let mut answered = 0_u64;
    while let Some(ended) = clients.next().await {
        answered += ended.result??;
    }
    stop.finish();
    while server.next().await.is_some() {}
    let rate = answered / DURATION.as_secs();
    writeln!(std::io::stdout(), "{rate} requests/s over {CONNECTIONS} connections, {PAYLOAD} B of data")?;
    Ok(())
}

fn api_state() -> Result<Arc<ApiState>, Failure> {
    let null = Component {
        binding: Arc::new(Null("null".parse()?)),
        type_name: "bindings.null".to_owned(),
        version: "v1".to_owned(),
        direction: Direction::Output,
    };
    Ok(Arc::new(ApiState {
        host: Arc::new(Host::new(vec![null])),
        ready: Readiness::new(),
        outbound: Readiness::new(),
        metrics: Metrics::new(),
        settings: HttpSettings::default(),
        app_id: "rate".to_owned(),
        app: AppConnection::default(),
        is_app_healthy: watch::channel(true).1,
        features: Vec::new(),
        extended: ExtendedMetadata::new(),
        body_memory: BodyMemory::new(None),
        components: None,
        stop: Stop::new(),
        abort_calls: Stop::new(),
    }))
}

/// Sends one request after the other over one connection and returns how many succeeded.
async fn client(address: SocketAddr, end: Instant) -> Result<u64, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = Bytes::from(format!(r#"{{"operation":"create","data":{{"text":"{}"}}}}"#, "x".repeat(PAYLOAD)));
    let requests = async move {
        let mut answered = 0;
        while Instant::now() < end {
            let request = hyper::Request::post("/v1.0/bindings/null")
                .header("host", "localhost")
                .body(Full::new(body.clone()))?;
            let response = sender.send_request(request).await?;
            if !response.status().is_success() {
                return Err(format!("answered {}", response.status()).into());
            }
            response.into_body().collect().await?;
            answered += 1;
        }
        Ok::<u64, Failure>(answered)
    };
    let (answered, closed) = tokio::join!(requests, connection);
    closed?;
    answered
}

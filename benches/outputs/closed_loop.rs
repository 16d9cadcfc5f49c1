//! A closed loop: each connection sends its next request when the last one is answered.

use crate::Failure;
use crate::stats::Stats;
use bindd::tasks::Supervisor;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The part of a run that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

impl Window {
    pub(crate) fn after(warm_up: Duration, measured: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        Self { begin, end: begin + measured }
    }

    pub(crate) fn contains(self, moment: Instant) -> bool {
        (self.begin..self.end).contains(&moment)
    }
}

/// Where requests go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    /// `x-amz-target`, for requests to the null backend itself.
    pub(crate) operation: Option<&'static str>,
}

impl Target {
    pub(crate) const fn binding(address: SocketAddr) -> Self {
        Self { address, path: "/v1.0/bindings/orders", operation: None }
    }

    /// Sends one request and returns the status of its answer, or 0 when the connection ended.
    pub(crate) async fn send(self, connection: &mut Connection, body: Bytes) -> u16 {
        let request = hyper::Request::post(self.path).header("host", "localhost");
        let request = match self.operation {
            Some(operation) => request.header("x-amz-target", operation),
            None => request,
        };
        let Ok(request) = request.body(Full::new(body)) else { return 0 };
        let exchange = async {
            let response = connection.sender.send_request(request).await?;
            let status = response.status().as_u16();
            response.into_body().collect().await?;
            Ok::<u16, hyper::Error>(status)
        };
        exchange.await.unwrap_or(0)
    }
}

/// A connection that is reused.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Supervisor<()>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = Supervisor::new();
        // An error of the connection shows in its answers.
        driver.spawn("connection", async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver })
    }
}

/// Runs the loops until the window ends. All use the same bodies, each begins at another one.
pub(crate) async fn run(
    target: Target,
    connections: usize,
    bodies: Arc<Vec<Bytes>>,
    window: Window,
) -> Result<Stats, Failure> {
    let mut loops = Supervisor::new();
    for number in 0..connections {
        loops.spawn(format!("loop {number}"), one_loop(target, number, Arc::clone(&bodies), window));
    }
    let mut stats = Stats::new();
    while let Some(ended) = loops.next().await {
        stats.merge(&ended.result??)?;
    }
    Ok(stats)
}

async fn one_loop(target: Target, number: usize, bodies: Arc<Vec<Bytes>>, window: Window) -> Result<Stats, Failure> {
    let mut stats = Stats::new();
    let mut connection = Connection::open(target.address).await?;
    for turn in 0_usize.. {
        let began = Instant::now();
        if began >= window.end {
            break;
        }
        let body = bodies.get((number * 7_919 + turn) % bodies.len()).cloned().unwrap_or_default();
        let status = target.send(&mut connection, body).await;
        if window.contains(began) {
            stats.record(status, began.elapsed());
        }
        if status == 0 {
            connection = Connection::open(target.address).await?;
        }
    }
    Ok(stats)
}

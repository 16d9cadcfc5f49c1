//! The smallest app for bindd in Rust: takes events, prints them, stores each as a row.
//!
//! `APP_PORT` (3000) is where it listens, `DAPR_HTTP_PORT` (3500) is where bindd answers; `bindd dev -- …` sets the
//! latter. Start it with `cargo run --example echo_app`.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

type Fault = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let listener = TcpListener::bind(("127.0.0.1", port("APP_PORT", 3000)?)).await?;
    // bindd asks by OPTIONS whether a route wants its events: 200 says yes.
    let callback = || post(take).options(async || StatusCode::OK);
    let app = Router::new().route("/orders-shared", callback()).route("/orders-fanout", callback());
    eprintln!("listening on {}", listener.local_addr()?);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("a connection broke: {error}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One event. 2xx accepts it; anything else makes bindd bring it again.
async fn take(headers: HeaderMap, event: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let (shard, number) = (text("bindd-shard-id"), text("bindd-sequence-number"));
    eprintln!("event {shard}/{number}: {}", String::from_utf8_lossy(&event));
    // The same event gives the same row, so a repeated delivery does no harm.
    let row = json!({"id": format!("{shard}/{number}"), "event": String::from_utf8_lossy(&event)});
    match store(row).await {
        Ok(status) if status.is_success() => StatusCode::OK,
        Ok(status) => {
            eprintln!("the row was refused with {status}");
            StatusCode::BAD_GATEWAY
        }
        Err(error) => {
            eprintln!("bindd could not be reached: {error}");
            StatusCode::BAD_GATEWAY
        }
    }
}

/// Writes a row through the output binding `orders-table`.
async fn store(row: Value) -> Result<StatusCode, Fault> {
    let stream = TcpStream::connect(("127.0.0.1", port("DAPR_HTTP_PORT", 3500)?)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = json!({"operation": "create", "data": row}).to_string();
    let request = http::Request::post("/v1.0/bindings/orders-table")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let call = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok::<_, hyper::Error>(status)
    };
    let (status, _closed) = tokio::join!(call, connection);
    Ok(status?)
}

#[expect(clippy::disallowed_methods, reason = "an example has no settings room")]
fn port(name: &str, otherwise: u16) -> Result<u16, Fault> {
    Ok(std::env::var(name).map_or(Ok(otherwise), |text| text.parse())?)
}

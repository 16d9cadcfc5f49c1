//! A minimal app for bindd in Rust: prints each event and stores it as an item.
//!
//! It listens on `APP_PORT` (default 3000) and calls bindd on `DAPR_HTTP_PORT` (default 3500). `bindd dev` sets both:
//!
//! ```sh
//! bindd dev --app-port 3000 --resources-path ./components -- cargo run --example app
//! ```

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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", port("APP_PORT", 3000)?)).await?;
    // bindd asks by OPTIONS whether the app accepts events at a route: 200 means yes.
    let callback = || post(handle).options(async || StatusCode::OK);
    let app = Router::new().route("/orders-shared", callback()).route("/orders-fanout", callback());
    eprintln!("listening on {}", listener.local_addr()?);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("connection failed: {error}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Handles one event. 2xx accepts it; after any other answer bindd sends it again.
async fn handle(headers: HeaderMap, event: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let (shard, number) = (text("bindd-shard-id"), text("bindd-sequence-number"));
    eprintln!("event {shard}/{number}: {}", String::from_utf8_lossy(&event));
    // The key comes from the event, so that a repeated delivery writes the same item.
    let item = json!({"id": format!("{shard}/{number}"), "event": String::from_utf8_lossy(&event)});
    match store(item).await {
        Ok(status) if status.is_success() => StatusCode::OK,
        Ok(status) => {
            eprintln!("the item was refused with {status}");
            StatusCode::BAD_GATEWAY
        }
        Err(error) => {
            eprintln!("bindd could not be reached: {error}");
            StatusCode::BAD_GATEWAY
        }
    }
}

/// Writes an item through the output binding `orders-table`.
async fn store(item: Value) -> Result<StatusCode, BoxError> {
    let stream = TcpStream::connect(("127.0.0.1", port("DAPR_HTTP_PORT", 3500)?)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = json!({"operation": "create", "data": item}).to_string();
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

#[expect(clippy::disallowed_methods, reason = "an example has no settings module")]
fn port(name: &str, otherwise: u16) -> Result<u16, BoxError> {
    Ok(std::env::var(name).map_or(Ok(otherwise), |text| text.parse())?)
}

//! An app that accepts records after a time and counts them, in a process of its own.

use crate::{Failure, print_line};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

#[derive(clap::Args, Clone, Default)]
pub(crate) struct App {
    /// How long a request takes.
    #[arg(long, default_value_t = 0)]
    pub(crate) time_ms: u64,
    /// Rejects the records of this key with 500.
    #[arg(long)]
    pub(crate) poison: Option<String>,
    /// Rejects everything with 503.
    #[arg(long)]
    pub(crate) is_dead: bool,
}

#[derive(Default)]
struct Counts {
    records: AtomicU64,
    requests: AtomicU64,
    rejected: AtomicU64,
}

/// Prints its address, then serves until the process is killed.
pub(crate) async fn serve(app: App) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print_line(listener.local_addr()?.to_string())?;
    let shared = Arc::new((app, Counts::default()));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        #[expect(clippy::disallowed_methods, reason = "this process is killed, nothing is joined")]
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            let builder = hyper::server::conn::http1::Builder::new();
            drop(builder.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn respond(
    shared: Arc<(App, Counts)>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (app, counts) = &*shared;
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        let numbers = [&counts.records, &counts.requests, &counts.rejected];
        let numbers = numbers.map(|count| count.load(Ordering::Relaxed).to_string()).join(" ");
        return Ok(Response::new(Full::new(numbers.into())));
    }
    let body = body.collect().await?.to_bytes();
    if app.time_ms > 0 {
        tokio::time::sleep(Duration::from_millis(app.time_ms)).await;
    }
    let is_poison = app.poison.is_some()
        && parts.headers.get("bindd-partition-key").and_then(|key| key.to_str().ok()) == app.poison.as_deref();
    let status = match (parts.method == Method::OPTIONS, app.is_dead, is_poison) {
        (true, ..) => StatusCode::OK,
        (false, true, _) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false, true) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, false, false) => StatusCode::NO_CONTENT,
    };
    counts.requests.fetch_add(1, Ordering::Relaxed);
    if status == StatusCode::NO_CONTENT {
        // One record, or lines of them.
        let lines = body.iter().filter(|byte| **byte == b'\n').count();
        counts.records.fetch_add(lines.max(1) as u64, Ordering::Relaxed);
    } else {
        counts.rejected.fetch_add(1, Ordering::Relaxed);
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

//! The baseline: a server that reads the body and answers 204, on the HTTP libraries that bindd uses.

use crate::{Failure, print_line};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use http::StatusCode;
use tokio::net::TcpListener;

/// Prints its address, then serves until the process is killed.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print_line(listener.local_addr()?.to_string())?;
    let read = |body: Bytes| async move {
        drop(body);
        StatusCode::NO_CONTENT
    };
    let router = Router::new().route("/v1.0/bindings/orders", post(read)).layer(DefaultBodyLimit::max(16 << 20));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        #[expect(clippy::disallowed_methods, reason = "this process is killed, nothing is joined")]
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await);
        });
    }
}

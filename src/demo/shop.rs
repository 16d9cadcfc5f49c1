//! The built-in app: stores a row for each order through the sidecar, and answers 200 only after that.

use super::counters::{Counters, Mode};
use super::sidecar;
use crate::domain::Stop;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// An order that the app accepted, for the screen.
#[derive(Debug)]
pub(super) struct AcceptedOrder {
    pub(super) mode: Mode,
    pub(super) order: String,
    pub(super) shard: String,
}

#[derive(Debug, Clone)]
pub(super) struct Shop {
    /// The sidecar's address; not known before the sidecar has started, which in turn waits for the shop's port.
    pub(super) sidecar: watch::Receiver<Option<SocketAddr>>,
    pub(super) counters: Counters,
    pub(super) accepted: mpsc::Sender<AcceptedOrder>,
}

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    goods: String,
    quantity: u64,
}

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, shop: Shop, stop: Stop) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/orders-shared", post(accept_shared).options(accepts))
        .route("/orders-fanout", post(accept_fan_out).options(accepts))
        .with_state(shop);
    axum::serve(listener, routes).with_graceful_shutdown(async move { stop.finishing().await }).await
}

async fn accepts() -> StatusCode {
    StatusCode::OK
}

async fn accept_shared(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    accept(Mode::Shared, shop, &headers, &body).await
}

async fn accept_fan_out(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    accept(Mode::FanOut, shop, &headers, &body).await
}

async fn accept(mode: Mode, mut shop: Shop, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let Ok(order) = serde_json::from_slice::<Order>(body) else {
        // The user put a record that is not an order: it is accepted, but not stored.
        shop.show(mode, String::from_utf8_lossy(body).chars().take(60).collect(), headers);
        shop.counters.delivered(mode);
        return StatusCode::OK;
    };
    match shop.store(mode, &order).await {
        Ok(()) => {
            shop.counters.stored();
            shop.counters.delivered(mode);
            shop.show(mode, format!("{} ({} × {})", order.id, order.quantity, order.goods), headers);
            StatusCode::OK
        }
        Err(error) => {
            shop.counters.failed();
            tracing::warn!(order = order.id, error, "row was not stored; order will be redelivered");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Shop {
    async fn store(&mut self, mode: Mode, order: &Order) -> Result<(), String> {
        let known = *self.sidecar.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
        let sidecar = known.ok_or("the sidecar's address is not known")?;
        // The row's id is that of the order, so that a repeated delivery overwrites the same row.
        let row = serde_json::json!({
            "operation": "create",
            "data": { "id": format!("{}/{mode}", order.id), "goods": order.goods, "quantity": order.quantity },
        });
        sidecar::create(sidecar, "orders-table", row.to_string()).await.map_err(|error| error.to_string())
    }

    fn show(&self, mode: Mode, order: String, headers: &HeaderMap) {
        let shard = headers.get("bindd-shard-id").and_then(|value| value.to_str().ok()).unwrap_or("?");
        let accepted = AcceptedOrder { mode, order, shard: shard.to_owned() };
        if let Err(error) = self.accepted.try_send(accepted) {
            tracing::debug!(%error, "screen is behind; line omitted");
        }
    }
}

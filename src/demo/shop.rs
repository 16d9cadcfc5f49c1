//! The built-in app: takes each order, stores a row through the sidecar, and says yes only after that.

use super::sidecar;
use super::tally::{Tally, Way};
use crate::domain::Stop;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// An order that the app took, for the screen.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) way: Way,
    pub(super) order: String,
    pub(super) shard: String,
}

/// What the shop needs.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    /// Where its sidecar listens; not known before the sidecar is up, which in turn waits for the shop's port.
    pub(super) sidecar: watch::Receiver<Option<SocketAddr>>,
    pub(super) tally: Tally,
    pub(super) taken: mpsc::Sender<Taken>,
}

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    goods: String,
    quantity: u64,
}

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, shop: Shop, stop: Stop) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/orders-shared", post(take_shared).options(wanted))
        .route("/orders-fanout", post(take_fan_out).options(wanted))
        .with_state(shop);
    axum::serve(listener, routes).with_graceful_shutdown(async move { stop.asked().await }).await
}

async fn wanted() -> StatusCode {
    StatusCode::OK
}

async fn take_shared(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    take(Way::Shared, shop, &headers, &body).await
}

async fn take_fan_out(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> StatusCode {
    take(Way::FanOut, shop, &headers, &body).await
}

async fn take(way: Way, mut shop: Shop, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let Ok(order) = serde_json::from_slice::<Order>(body) else {
        // Somebody put a record of another form by hand: it is taken, not stored.
        shop.show(way, String::from_utf8_lossy(body).chars().take(60).collect(), headers);
        shop.tally.delivered(way);
        return StatusCode::OK;
    };
    match shop.store(way, &order).await {
        Ok(()) => {
            shop.tally.stored();
            shop.tally.delivered(way);
            shop.show(way, format!("{} ({} × {})", order.id, order.quantity, order.goods), headers);
            StatusCode::OK
        }
        Err(error) => {
            shop.tally.failed();
            tracing::warn!(order = order.id, error, "row was not stored, the order will come again");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Shop {
    async fn store(&mut self, way: Way, order: &Order) -> Result<(), String> {
        let known = *self.sidecar.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
        let sidecar = known.ok_or("the sidecar's address is not known")?;
        // The same order under the same id: a repeated delivery overwrites its own row.
        let row = serde_json::json!({
            "operation": "create",
            "data": { "id": format!("{}/{way}", order.id), "goods": order.goods, "quantity": order.quantity },
        });
        sidecar::create(sidecar, "orders-table", row.to_string()).await.map_err(|error| error.to_string())
    }

    fn show(&self, way: Way, order: String, headers: &HeaderMap) {
        let shard = headers.get("bindd-shard-id").and_then(|value| value.to_str().ok()).unwrap_or("?");
        let taken = Taken { way, order, shard: shard.to_owned() };
        if let Err(error) = self.taken.try_send(taken) {
            tracing::debug!(%error, "screen is behind, one line was left out");
        }
    }
}

//! Puts random orders at a steady rate.

use super::counters::Counters;
use super::sidecar;
use crate::domain::Stop;
use std::net::SocketAddr;
use std::time::Duration;

const GOODS: [&str; 5] = ["tea", "bread", "lamp", "rope", "honey"];
/// Few, so that partition keys repeat.
const CUSTOMERS: u64 = 7;

/// Puts an order each `pause` until `stop`. An order in flight is finished first.
pub(super) async fn run(sidecar: SocketAddr, pause: Duration, counters: Counters, stop: Stop) {
    let run_id = format!("{:04x}", fastrand::u16(..));
    let mut ticks = tokio::time::interval(pause);
    for number in 1_u64.. {
        tokio::select! {
            () = stop.finishing() => return,
            _ = ticks.tick() => {}
        }
        match sidecar::create(sidecar, "orders-out", order(&run_id, number)).await {
            Ok(()) => counters.put(),
            Err(error) => {
                counters.failed();
                tracing::warn!(number, %error, "order was not put");
            }
        }
    }
}

fn order(run_id: &str, number: u64) -> String {
    let goods = GOODS[usize::try_from(number).unwrap_or_default() % GOODS.len()];
    let (customer, quantity) = (number % CUSTOMERS, 1 + number % 4);
    serde_json::json!({
        "operation": "create",
        "metadata": { "partitionKey": format!("customer-{customer}") },
        "data": { "id": format!("order-{run_id}-{number:04}"), "goods": goods, "quantity": quantity },
    })
    .to_string()
}

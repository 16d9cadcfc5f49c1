//! One key takes half of the traffic and overloads its shard. The requests with other keys must not become slower.

use crate::closed_loop::{self, Target, Window};
use crate::server::Server;
use crate::stats::{Stats, as_f64};
use crate::{Failure, Run, bodies, create, print_line};
use bindd::testing::{BackendSettings, Faults, NullBackend, ShardRate};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a record.
const SIZE: usize = 1_024;

pub(crate) async fn run(run: &Run, connections: usize) -> Result<(), Failure> {
    let faults = Faults { latency: Duration::from_millis(5), shard_rate: Some(ShardRate::AWS), ..Faults::default() };
    let settings = BackendSettings { shards: run.shards, faults, ..BackendSettings::default() };
    let backend = NullBackend::start(settings).await?;
    let half = (connections / 2).max(1);
    print_line(format!(
        "{half} connections on one key, {half} on others; {} shards with the limits of AWS; backend 5 ms\n",
        run.shards
    ))?;
    print_line("| traffic | keys | req/s | p50 ms | p90 | p99 | failed |")?;
    print_line("|---|---|--:|--:|--:|--:|---|")?;
    let (hot_body, other_bodies) = (Arc::new(vec![create(SIZE, "hot").into()]), Arc::new(bodies(SIZE)));
    for (traffic, hot_connections) in [("no hot key", 0), ("one hot key", half)] {
        let sidecar = Server::bindd(run.program.bindd.as_ref(), &backend.url(), &run.program.fields()).await?;
        let (window, target) = (Window::after(run.warm_up(), run.measured()), Target::binding(sidecar.address));
        let (others, hot) = tokio::join!(
            closed_loop::run(target, half, Arc::clone(&other_bodies), window),
            closed_loop::run(target, hot_connections, Arc::clone(&hot_body), window),
        );
        print_row(run, traffic, "others", &others?)?;
        if hot_connections > 0 {
            print_row(run, traffic, "hot", &hot?)?;
        }
    }
    backend.stop().await;
    Ok(())
}

fn print_row(run: &Run, traffic: &str, keys: &str, stats: &Stats) -> Result<(), Failure> {
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|quantile| stats.quantile(quantile));
    let rate = as_f64(stats.successes()) / run.seconds;
    print_line(format!("| {traffic} | {keys} | {rate:.0} | {p50:.2} | {p90:.2} | {p99:.2} | {} |", stats.failures()))
}

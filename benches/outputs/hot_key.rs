//! One key takes half of the traffic; its shard is full, the others must not feel it.

use crate::children::Contender;
use crate::closed::{self, Target, Window};
use crate::matrix::number;
use crate::tally::Tally;
use crate::{Failure, Run, bodies, create, say};
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
    say(format!("{half} connections on one key, {half} on others; {} shards as AWS's; backend 5 ms\n", run.shards))?;
    say("| traffic | keys | req/s | p50 ms | p90 | p99 | failed |")?;
    say("|---|---|--:|--:|--:|--:|---|")?;
    let (hot, cold) = (Arc::new(vec![create(SIZE, "hot").into()]), Arc::new(bodies(SIZE)));
    for (traffic, hot_connections) in [("calm", 0), ("one hot key", half)] {
        let sidecar = Contender::bindd(run.bindd.as_ref(), &backend.url(), &run.fields()).await?;
        let (window, target) = (Window::after(run.warm_up(), run.measured()), Target::binding(sidecar.address));
        let (others, hot) = tokio::join!(
            closed::run(target, half, Arc::clone(&cold), window),
            closed::run(target, hot_connections, Arc::clone(&hot), window),
        );
        print(run, traffic, "others", &others?)?;
        if hot_connections > 0 {
            print(run, traffic, "hot", &hot?)?;
        }
    }
    backend.stop().await;
    Ok(())
}

fn print(run: &Run, traffic: &str, keys: &str, tally: &Tally) -> Result<(), Failure> {
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|quantile| tally.quantile(quantile));
    let rate = number(tally.good()) / run.seconds;
    say(format!("| {traffic} | {keys} | {rate:.0} | {p50:.2} | {p90:.2} | {p99:.2} | {} |", tally.failures()))
}

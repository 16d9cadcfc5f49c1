//! Every contender at every size, latency and number of connections.

use crate::children::{self, Contender};
use crate::closed::{self, Target, Window};
use crate::direct::Direct;
use crate::{Failure, Run, bodies, process, say};
use bindd::testing::{BackendSettings, Faults, NullBackend};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Matrix {
    /// Connections.
    #[arg(short = 'c', long, value_delimiter = ',', default_values_t = [1, 32, 512])]
    connections: Vec<usize>,
    /// Bytes of a record.
    #[arg(short = 's', long, value_delimiter = ',', default_values_t = [1_024])]
    sizes: Vec<usize>,
    /// The backend's latency in ms.
    #[arg(short = 'b', long, value_delimiter = ',', default_values_t = [0, 5])]
    backend: Vec<u64>,
    /// Leaves out bindd without batching.
    #[arg(long)]
    only_batching: bool,
}

impl Default for Matrix {
    fn default() -> Self {
        Self { connections: vec![1, 32, 512], sizes: vec![1_024], backend: vec![0, 5], only_batching: false }
    }
}

/// One row of the table.
struct Row {
    who: &'static str,
    rate: f64,
    quantiles: [f64; 3],
    calls_per_record: Option<f64>,
    cpu_per_thousand: f64,
    rss: [f64; 2],
    failures: String,
}

pub(crate) async fn run(run: &Run, matrix: &Matrix) -> Result<(), Failure> {
    let settings = BackendSettings { shards: run.shards, ..BackendSettings::default() };
    let backend = NullBackend::start(settings).await?;
    for size in &matrix.sizes {
        for latency in &matrix.backend {
            backend.set(Faults { latency: Duration::from_millis(*latency), ..Faults::default() });
            say(format!("\n### {size} B, backend {latency} ms\n"))?;
            say(
                "| C | contender | req/s | × floor | p50 ms | p90 | p99 | calls/record | CPU ms/1,000 | RSS MB idle → loaded | failed |",
            )?;
            say("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
            for connections in &matrix.connections {
                one_load(run, matrix, &backend, *connections, *size).await?;
            }
        }
    }
    backend.stop().await;
    Ok(())
}

async fn one_load(
    run: &Run,
    matrix: &Matrix,
    backend: &NullBackend,
    connections: usize,
    size: usize,
) -> Result<(), Failure> {
    let load = Load { run, backend, connections, bodies: Arc::new(bodies(size)) };
    let floor = load.on("bare server", &Contender::floor().await?).await?;
    print(connections, &floor, floor.rate)?;
    let direct = load.direct(size).await?;
    print(connections, &direct, floor.rate)?;
    let fields = run.fields();
    let sidecar = Contender::bindd(run.bindd.as_ref(), &backend.url(), &fields).await?;
    let batching = load.on("bindd", &sidecar).await?;
    drop(sidecar);
    print(connections, &batching, floor.rate)?;
    if !matrix.only_batching {
        let fields = [&fields[..], &[("disableBatching", "true")]].concat();
        let sidecar = Contender::bindd(run.bindd.as_ref(), &backend.url(), &fields).await?;
        print(connections, &load.on("bindd, no batching", &sidecar).await?, floor.rate)?;
    }
    if connections == 1 {
        let added = batching.quantiles.iter().zip(direct.quantiles).map(|(ours, theirs)| ours - theirs);
        let added: Vec<String> = added.map(|added| format!("{added:+.3}")).collect();
        say(format!("|  | *added to the SDK's own call* |  |  | {} |  |  |  |  |", added.join(" | ")))?;
    }
    Ok(())
}

/// What every contender of one row group gets.
struct Load<'a> {
    run: &'a Run,
    backend: &'a NullBackend,
    connections: usize,
    bodies: Arc<Vec<bytes::Bytes>>,
}

impl Load<'_> {
    async fn on(&self, who: &'static str, contender: &Contender) -> Result<Row, Failure> {
        let idle = process::rss(contender.pid)?;
        let window = Window::after(self.run.warm_up(), self.run.measured());
        let target = Target::binding(contender.address);
        let load = closed::run(target, self.connections, Arc::clone(&self.bodies), window);
        let watch = async {
            tokio::time::sleep_until(window.begin).await;
            let (cpu, counts) = (process::cpu(contender.pid)?, self.backend.counts());
            tokio::time::sleep_until(window.end).await;
            let used = process::cpu(contender.pid)?.saturating_sub(cpu);
            Ok::<_, Failure>((used, counts, self.backend.counts(), process::rss(contender.pid)?))
        };
        let (tally, watched) = tokio::join!(load, watch);
        let (tally, (cpu, before, after, rss)) = (tally?, watched?);
        Ok(Row {
            who,
            rate: number(tally.good()) / self.run.seconds,
            quantiles: [0.5, 0.9, 0.99].map(|quantile| tally.quantile(quantile)),
            calls_per_record: ratio(after.writes() - before.writes(), after.stored - before.stored),
            cpu_per_thousand: cpu.as_secs_f64() * 1e6 / number(tally.all().max(1)),
            rss: [idle, rss],
            failures: tally.failures(),
        })
    }

    async fn direct(&self, size: usize) -> Result<Row, Failure> {
        let before = self.backend.counts();
        let told = children::direct(&Direct {
            url: self.backend.url(),
            connections: self.connections,
            size,
            warm_up_ms: u64::try_from(self.run.warm_up().as_millis())?,
            measured_ms: u64::try_from(self.run.measured().as_millis())?,
        })
        .await?;
        let after = self.backend.counts();
        Ok(Row {
            who: "SDK, no sidecar",
            rate: number(told.good) / self.run.seconds,
            quantiles: [told.p50, told.p90, told.p99],
            calls_per_record: ratio(after.writes() - before.writes(), after.stored - before.stored),
            cpu_per_thousand: number(told.cpu_ms) * 1e3 / number(told.good.max(1)),
            rss: [told.rss_idle, told.rss],
            failures: if told.bad == 0 { "none".to_owned() } else { told.bad.to_string() },
        })
    }
}

fn print(connections: usize, row: &Row, floor: f64) -> Result<(), Failure> {
    let [p50, p90, p99] = row.quantiles;
    let [idle, loaded] = row.rss;
    let calls = row.calls_per_record.map_or_else(|| "–".to_owned(), |calls| format!("{calls:.4}"));
    say(format!(
        "| {connections} | {} | {:.0} | {:.2} | {p50:.3} | {p90:.3} | {p99:.3} | {calls} | {:.1} | {idle:.1} → {loaded:.1} | {} |",
        row.who,
        row.rate,
        row.rate / floor,
        row.cpu_per_thousand,
        row.failures
    ))
}

fn ratio(calls: u64, records: u64) -> Option<f64> {
    (records > 0).then(|| number(calls) / number(records))
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

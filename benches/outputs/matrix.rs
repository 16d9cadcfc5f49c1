//! Every variant at every record size, backend latency and number of connections.

use crate::closed_loop::{self, Target, Window};
use crate::direct::{self, Direct};
use crate::process;
use crate::server::Server;
use crate::stats::as_f64;
use crate::{Failure, Run, bodies, print_line};
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
    variant: &'static str,
    rate: f64,
    quantiles: [f64; 3],
    calls_per_record: Option<f64>,
    cpu_per_thousand: f64,
    /// In MB, before and at the end of the load.
    memory: [f64; 2],
    failures: String,
}

pub(crate) async fn run(run: &Run, matrix: &Matrix) -> Result<(), Failure> {
    let settings = BackendSettings { shards: run.shards, ..BackendSettings::default() };
    let backend = NullBackend::start(settings).await?;
    for size in &matrix.sizes {
        for latency in &matrix.backend {
            backend.set(Faults { latency: Duration::from_millis(*latency), ..Faults::default() });
            print_line(format!("\n### {size} B, backend {latency} ms\n"))?;
            print_line(
                "| C | variant | req/s | × bare server | p50 ms | p90 | p99 | calls/record | CPU ms/1,000 | RSS MB idle → loaded | failed |",
            )?;
            print_line("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
            for connections in &matrix.connections {
                compare(run, matrix, &backend, *connections, *size).await?;
            }
        }
    }
    backend.stop().await;
    Ok(())
}

async fn compare(
    run: &Run,
    matrix: &Matrix,
    backend: &NullBackend,
    connections: usize,
    size: usize,
) -> Result<(), Failure> {
    let load = Load { run, backend, connections, bodies: Arc::new(bodies(size)) };
    let baseline = load.run("bare server", &Server::baseline().await?).await?;
    print_row(connections, &baseline, baseline.rate)?;
    let direct = load.run_direct(size).await?;
    print_row(connections, &direct, baseline.rate)?;
    let fields = run.program.fields();
    let sidecar = Server::bindd(run.program.bindd.as_ref(), &backend.url(), &fields).await?;
    let batching = load.run("bindd", &sidecar).await?;
    drop(sidecar);
    print_row(connections, &batching, baseline.rate)?;
    if !matrix.only_batching {
        let fields = [&fields[..], &[("disableBatching", "true")]].concat();
        let sidecar = Server::bindd(run.program.bindd.as_ref(), &backend.url(), &fields).await?;
        print_row(connections, &load.run("bindd, no batching", &sidecar).await?, baseline.rate)?;
    }
    if connections == 1 {
        let added = batching.quantiles.iter().zip(direct.quantiles).map(|(ours, theirs)| ours - theirs);
        let added: Vec<String> = added.map(|added| format!("{added:+.3}")).collect();
        print_line(format!("|  | *added to the SDK's own call* |  |  | {} |  |  |  |  |", added.join(" | ")))?;
    }
    Ok(())
}

/// What every variant of one group of rows gets.
struct Load<'a> {
    run: &'a Run,
    backend: &'a NullBackend,
    connections: usize,
    bodies: Arc<Vec<bytes::Bytes>>,
}

impl Load<'_> {
    async fn run(&self, variant: &'static str, server: &Server) -> Result<Row, Failure> {
        let idle = process::resident_memory(server.pid)?;
        let window = Window::after(self.run.warm_up(), self.run.measured());
        let target = Target::binding(server.address);
        let load = closed_loop::run(target, self.connections, Arc::clone(&self.bodies), window);
        let watcher = async {
            tokio::time::sleep_until(window.begin).await;
            let (cpu, counts) = (process::cpu_time(server.pid)?, self.backend.counts());
            tokio::time::sleep_until(window.end).await;
            let used = process::cpu_time(server.pid)?.saturating_sub(cpu);
            Ok::<_, Failure>((used, counts, self.backend.counts(), process::resident_memory(server.pid)?))
        };
        let (stats, watched) = tokio::join!(load, watcher);
        let (stats, (cpu, before, after, loaded)) = (stats?, watched?);
        Ok(Row {
            variant,
            rate: as_f64(stats.successes()) / self.run.seconds,
            quantiles: [0.5, 0.9, 0.99].map(|quantile| stats.quantile(quantile)),
            calls_per_record: ratio(after.writes() - before.writes(), after.stored - before.stored),
            cpu_per_thousand: cpu.as_secs_f64() * 1e6 / as_f64(stats.total().max(1)),
            memory: [idle, loaded],
            failures: stats.failures(),
        })
    }

    async fn run_direct(&self, size: usize) -> Result<Row, Failure> {
        let before = self.backend.counts();
        let result = direct::run_child(&Direct {
            url: self.backend.url(),
            connections: self.connections,
            size,
            warm_up_ms: u64::try_from(self.run.warm_up().as_millis())?,
            measured_ms: u64::try_from(self.run.measured().as_millis())?,
        })
        .await?;
        let after = self.backend.counts();
        Ok(Row {
            variant: "SDK, no sidecar",
            rate: as_f64(result.successes) / self.run.seconds,
            quantiles: [result.p50, result.p90, result.p99],
            calls_per_record: ratio(after.writes() - before.writes(), after.stored - before.stored),
            cpu_per_thousand: as_f64(result.cpu_ms) * 1e3 / as_f64(result.successes.max(1)),
            memory: [result.memory_idle, result.memory],
            failures: if result.failures == 0 { "none".to_owned() } else { result.failures.to_string() },
        })
    }
}

fn print_row(connections: usize, row: &Row, baseline: f64) -> Result<(), Failure> {
    let [p50, p90, p99] = row.quantiles;
    let [idle, loaded] = row.memory;
    let calls = row.calls_per_record.map_or_else(|| "–".to_owned(), |calls| format!("{calls:.4}"));
    print_line(format!(
        "| {connections} | {} | {:.0} | {:.2} | {p50:.3} | {p90:.3} | {p99:.3} | {calls} | {:.1} | {idle:.1} → {loaded:.1} | {} |",
        row.variant,
        row.rate,
        row.rate / baseline,
        row.cpu_per_thousand,
        row.failures
    ))
}

fn ratio(calls: u64, records: u64) -> Option<f64> {
    (records > 0).then(|| as_f64(calls) / as_f64(records))
}

//! What shards cost that get no records.

use crate::app::App;
use crate::programs::Program;
use crate::stats::as_f64;
use crate::stream_server::StreamServer;
use crate::{Failure, Run, print_line, process};
use std::time::Duration;

/// How long it may take until each shard was read.
const START_LIMIT: Duration = Duration::from_secs(300);
/// After that, until calls that were made only once have ended.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Idle {
    #[arg(long, value_delimiter = ',', default_values_t = [0, 64, 1_000])]
    shards: Vec<usize>,
}

impl Default for Idle {
    fn default() -> Self {
        Self { shards: vec![0, 64, 1_000] }
    }
}

pub(crate) async fn run(run: &Run, idle: &Idle) -> Result<(), Failure> {
    print_line("\n### Idle\n")?;
    print_line("| shards | RSS MB | peak | cores | GetRecords/s per shard |")?;
    print_line("|--:|--:|--:|--:|--:|")?;
    for shards in &idle.shards {
        row(run, *shards).await?;
    }
    Ok(())
}

async fn row(run: &Run, shards: usize) -> Result<(), Failure> {
    let server = StreamServer { shards, records: 0, size: 0, keys: 1 };
    let (stream, app) = (Program::stream(&server).await?, Program::app(&App::default()).await?);
    let mut bindd = Program::bindd(run, app.addresses[0], (shards > 0).then_some(&stream), &[])?;
    stream.until(1, shards as u64, &mut bindd, START_LIMIT).await?;
    tokio::time::sleep(SETTLE).await;
    // Longer than the other tables, since leases are renewed only every few seconds.
    let time = run.measured().max(Duration::from_secs(10));
    let (calls, cpu) = (stream.numbers().await?[0], process::cpu_time(bindd.pid)?);
    tokio::time::sleep(time).await;
    let (calls_after, cpu_after) = (stream.numbers().await?[0], process::cpu_time(bindd.pid)?);
    let polls = as_f64(calls_after - calls) / time.as_secs_f64() / as_f64(shards.max(1) as u64);
    print_line(format!(
        "| {shards} | {:.1} | {:.1} | {:.3} | {polls:.2} |",
        process::resident_memory(bindd.pid)?,
        process::memory(bindd.pid, "VmHWM:")?,
        cpu_after.saturating_sub(cpu).as_secs_f64() / time.as_secs_f64()
    ))
}

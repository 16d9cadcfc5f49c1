//! Records a second from the stream to the app.

use crate::app::App;
use crate::programs::Program;
use crate::stats::as_f64;
use crate::stream_server::StreamServer;
use crate::{Failure, Run, baseline, print_line, process};
use std::time::Duration;

/// How long the first record may take.
const START_LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Rate {
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    shards: Vec<usize>,
    /// How long the app takes, in ms.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 5, 20])]
    times: Vec<u64>,
    /// Records of a request; more than one as `ndjson`.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    batches: Vec<usize>,
    /// Bytes of a record.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Different partition keys of a shard.
    #[arg(long, default_value_t = 40)]
    keys: usize,
    /// Records of one answer of the stream.
    #[arg(long, default_value_t = 10_000)]
    answer: usize,
    /// Connections of the baseline for each shard: what bindd uses at most.
    #[arg(long, default_value_t = 10)]
    concurrency: usize,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            shards: vec![1, 16, 64],
            times: vec![0, 5, 20],
            batches: vec![1, 100],
            size: 64,
            keys: 40,
            answer: 10_000,
            concurrency: 10,
        }
    }
}

pub(crate) async fn run(run: &Run, rate: &Rate) -> Result<(), Failure> {
    print_line(format!("\n### Rate: records of {} B, {} keys per shard\n", rate.size, rate.keys))?;
    print_line(
        "| batch | app ms | shards | records/s | baseline | × baseline | × serial | CPU ms/1,000 | baseline's | cores: bindd | app | stream | RSS MB |",
    )?;
    print_line("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for batch in &rate.batches {
        for time in &rate.times {
            for shards in &rate.shards {
                row(run, rate, *batch, *time, *shards).await?;
            }
        }
    }
    Ok(())
}

async fn row(run: &Run, rate: &Rate, batch: usize, time: u64, shards: usize) -> Result<(), Failure> {
    let app = App { time_ms: time, ..App::default() };
    let baseline = {
        let app = Program::app(&app).await?;
        baseline::measure(run, &app, shards * rate.concurrency, batch, rate.size).await?
    };
    let server = StreamServer { shards, records: rate.answer, size: rate.size, keys: rate.keys };
    let (stream, app) = (Program::stream(&server).await?, Program::app(&app).await?);
    let size = batch.to_string();
    let fields: &[(&str, &str)] = if batch == 1 { &[] } else { &[("bodyFormat", "ndjson"), ("batchSize", &size)] };
    let mut bindd = Program::bindd(run, app.addresses[0], Some(&stream), fields)?;
    stream.until(1, shards as u64, &mut bindd, START_LIMIT).await?;
    app.until(0, 1, &mut bindd, START_LIMIT).await?;
    tokio::time::sleep(run.warm_up()).await;
    let pids = [bindd.pid, app.pid, stream.pid];
    let (before, cpu) = (app.numbers().await?[0], pids.map(process::cpu_time));
    tokio::time::sleep(run.measured()).await;
    let (after, cpu_after) = (app.numbers().await?[0], pids.map(process::cpu_time));
    let mut cores = [0.0; 3];
    for (core, (before, after)) in cores.iter_mut().zip(cpu.into_iter().zip(cpu_after)) {
        *core = after?.saturating_sub(before?).as_secs_f64() / run.seconds;
    }
    let records = as_f64(after - before) / run.seconds;
    // One record at a time for each shard.
    let serial = if time == 0 {
        "–".to_owned()
    } else {
        format!("{:.1}", records * as_f64(time) / 1e3 / as_f64(shards as u64))
    };
    print_line(format!(
        "| {batch} | {time} | {shards} | {records:.0} | {:.0} | {:.2} | {serial} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} | {:.0} |",
        baseline.rate,
        records / baseline.rate,
        cores[0] * 1e6 / records.max(1.0),
        baseline.cpu,
        cores[0],
        cores[1],
        cores[2],
        process::resident_memory(bindd.pid)?
    ))
}

//! More requests than the shards accept: goodput, cost, and whether memory grows.

use crate::closed_loop::{Target, Window};
use crate::process;
use crate::server::Server;
use crate::stats::as_f64;
use crate::{Failure, Run, bodies, open_loop, print_line};
use bindd::testing::{BackendSettings, Faults, NullBackend, ShardRate};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a record: below 1 MiB / 1,000, so that a shard reaches its limit of records before its limit of bytes.
const SIZE: usize = 512;
/// Readings of memory in a run.
const MEMORY_SAMPLES: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Overload {
    /// Offered rates, as multiples of what the shards accept.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 10])]
    times: Vec<u32>,
    /// Shards of 1,000 records a second each.
    #[arg(long, default_value_t = 4)]
    narrow_shards: u16,
    /// `requestTimeout` of the component.
    #[arg(long, default_value = "1s")]
    request_timeout: String,
}

pub(crate) async fn run(run: &Run, overload: &Overload) -> Result<(), Failure> {
    let capacity = u32::from(overload.narrow_shards) * ShardRate::AWS.records;
    print_line(format!(
        "{} shards accept {capacity} records/s; requestTimeout {}\n",
        overload.narrow_shards, overload.request_timeout
    ))?;
    print_header()?;
    for times in &overload.times {
        let faults =
            Faults { latency: Duration::from_millis(5), shard_rate: Some(ShardRate::AWS), ..Faults::default() };
        let settings = BackendSettings { shards: overload.narrow_shards.into(), faults, ..BackendSettings::default() };
        let backend = NullBackend::start(settings).await?;
        let fields = [&run.program.fields()[..], &[("requestTimeout", overload.request_timeout.as_str())]].concat();
        let name = format!("× {times}");
        run_rate(run, &backend, &fields, (&name, capacity * times, Some(capacity))).await?;
        backend.stop().await;
    }
    Ok(())
}

/// One rate, with shards that have no limit.
pub(crate) async fn steady(run: &Run, rate: u32) -> Result<(), Failure> {
    let faults = Faults { latency: Duration::from_millis(5), ..Faults::default() };
    let settings = BackendSettings { shards: run.shards, faults, ..BackendSettings::default() };
    let backend = NullBackend::start(settings).await?;
    print_header()?;
    run_rate(run, &backend, &run.program.fields(), ("steady", rate, None)).await?;
    backend.stop().await;
    Ok(())
}

fn print_header() -> Result<(), Failure> {
    print_line(
        "| load | due/s | sent/s | stored/s | of capacity | entries per stored | p50 ms | p99 | first 429 | CPU ms/1,000 | RSS MB idle → each tenth of the run | failed |",
    )?;
    print_line("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")
}

async fn run_rate(
    run: &Run,
    backend: &NullBackend,
    fields: &[(&str, &str)],
    (name, rate, capacity): (&str, u32, Option<u32>),
) -> Result<(), Failure> {
    let sidecar = Server::bindd(run.program.bindd.as_ref(), &backend.url(), fields).await?;
    let mut memory = vec![process::resident_memory(sidecar.pid)?];
    let window = Window::after(run.warm_up(), run.measured());
    let load = open_loop::run(Target::binding(sidecar.address), rate, Arc::new(bodies(SIZE)), window);
    let watcher = async {
        tokio::time::sleep_until(window.begin).await;
        let (cpu, counts) = (process::cpu_time(sidecar.pid)?, backend.counts());
        for sample in 1..=MEMORY_SAMPLES {
            tokio::time::sleep_until(window.begin + run.measured() * sample / MEMORY_SAMPLES).await;
            memory.push(process::resident_memory(sidecar.pid)?);
        }
        Ok::<_, Failure>((process::cpu_time(sidecar.pid)?.saturating_sub(cpu), counts, backend.counts()))
    };
    let (result, watched) = tokio::join!(load, watcher);
    let (result, (cpu, before, after)) = (result?, watched?);
    let stored = as_f64(after.stored - before.stored) / run.seconds;
    let wasted = as_f64(after.offered - before.offered) / as_f64((after.stored - before.stored).max(1));
    let memory: Vec<String> = memory.iter().map(|megabytes| format!("{megabytes:.0}")).collect();
    print_line(format!(
        "| {name} | {rate} | {:.0} | {stored:.0} | {} | {wasted:.3} | {:.2} | {:.2} | {} | {:.1} | {} | {}{} |",
        as_f64(result.stats.total()) / run.seconds,
        capacity.map_or_else(|| "–".to_owned(), |most| format!("{:.1} %", stored * 100.0 / f64::from(most))),
        result.stats.quantile(0.5),
        result.stats.quantile(0.99),
        result.first_429.map_or_else(|| "never".to_owned(), |after| format!("{:.2} s", after.as_secs_f64())),
        cpu.as_secs_f64() * 1e6 / as_f64(result.stats.total().max(1)),
        memory.join(" "),
        result.stats.failures(),
        if result.unsent > 0 { format!(", {} not sent", result.unsent) } else { String::new() },
    ))
}

//! More than the shards take: what still gets through, what does it cost, does anything grow?

use crate::children::Contender;
use crate::closed::{Target, Window};
use crate::matrix::number;
use crate::{Failure, Run, bodies, open, process, say};
use bindd::testing::{BackendSettings, Faults, NullBackend, ShardRate};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a record: below 1 MiB / 1,000, so that the count of records is what fills a shard.
const SIZE: usize = 512;
/// How often memory is read.
const SAMPLES: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Overload {
    /// Offered, as multiples of what the shards take.
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
    say(format!(
        "{} shards take {capacity} records/s; requestTimeout {}\n",
        overload.narrow_shards, overload.request_timeout
    ))?;
    head()?;
    for times in &overload.times {
        let faults =
            Faults { latency: Duration::from_millis(5), shard_rate: Some(ShardRate::AWS), ..Faults::default() };
        let settings = BackendSettings { shards: overload.narrow_shards.into(), faults, ..BackendSettings::default() };
        let backend = NullBackend::start(settings).await?;
        let fields = [&run.fields()[..], &[("requestTimeout", overload.request_timeout.as_str())]].concat();
        let name = format!("× {times}");
        one_rate(run, &backend, &fields, (&name, capacity * times, Some(capacity))).await?;
        backend.stop().await;
    }
    Ok(())
}

/// One rate below what the shards take.
pub(crate) async fn steady(run: &Run, rate: u32) -> Result<(), Failure> {
    let faults = Faults { latency: Duration::from_millis(5), ..Faults::default() };
    let settings = BackendSettings { shards: run.shards, faults, ..BackendSettings::default() };
    let backend = NullBackend::start(settings).await?;
    head()?;
    one_rate(run, &backend, &run.fields(), ("steady", rate, None)).await?;
    backend.stop().await;
    Ok(())
}

fn head() -> Result<(), Failure> {
    say(
        "| load | due/s | sent/s | good/s | of capacity | entries per stored | p50 ms | p99 | first 429 | CPU ms/1,000 | RSS MB idle → each tenth of the run | failed |",
    )?;
    say("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")
}

async fn one_rate(
    run: &Run,
    backend: &NullBackend,
    fields: &[(&str, &str)],
    (name, rate, capacity): (&str, u32, Option<u32>),
) -> Result<(), Failure> {
    let sidecar = Contender::bindd(run.bindd.as_ref(), &backend.url(), fields).await?;
    let mut memory = vec![process::rss(sidecar.pid)?];
    let window = Window::after(run.warm_up(), run.measured());
    let load = open::run(Target::binding(sidecar.address), rate, Arc::new(bodies(SIZE)), window);
    let watch = async {
        tokio::time::sleep_until(window.begin).await;
        let (cpu, counts) = (process::cpu(sidecar.pid)?, backend.counts());
        for sample in 1..=SAMPLES {
            tokio::time::sleep_until(window.begin + run.measured() * sample / SAMPLES).await;
            memory.push(process::rss(sidecar.pid)?);
        }
        Ok::<_, Failure>((process::cpu(sidecar.pid)?.saturating_sub(cpu), counts, backend.counts()))
    };
    let (seen, watched) = tokio::join!(load, watch);
    let (seen, (cpu, before, after)) = (seen?, watched?);
    let stored = number(after.stored - before.stored) / run.seconds;
    let wasted = number(after.offered - before.offered) / number((after.stored - before.stored).max(1));
    let memory: Vec<String> = memory.iter().map(|megabytes| format!("{megabytes:.0}")).collect();
    say(format!(
        "| {name} | {rate} | {:.0} | {stored:.0} | {} | {wasted:.3} | {:.2} | {:.2} | {} | {:.1} | {} | {}{} |",
        number(seen.tally.all()) / run.seconds,
        capacity.map_or_else(|| "–".to_owned(), |most| format!("{:.1} %", stored * 100.0 / f64::from(most))),
        seen.tally.quantile(0.5),
        seen.tally.quantile(0.99),
        seen.first_refusal.map_or_else(|| "never".to_owned(), |after| format!("{:.2} s", after.as_secs_f64())),
        cpu.as_secs_f64() * 1e6 / number(seen.tally.all().max(1)),
        memory.join(" "),
        seen.tally.failures(),
        if seen.unsent > 0 { format!(", {} not sent", seen.unsent) } else { String::new() },
    ))
}

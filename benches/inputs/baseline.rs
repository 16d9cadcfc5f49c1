//! The baseline: a loop that sends the same bodies to the same app and does nothing else, in a process of its own.

use crate::closed_loop::{self, Target, Window};
use crate::programs::Program;
use crate::records::data;
use crate::stats::as_f64;
use crate::{Failure, Run, print_line, process};
use bytes::Bytes;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Baseline {
    #[arg(long)]
    app: SocketAddr,
    #[arg(long)]
    connections: usize,
    /// Records of a request.
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    warm_up_ms: u64,
    #[arg(long)]
    measured_ms: u64,
}

/// Records a second, and CPU in ms for 1,000 of them.
pub(crate) struct BaselineResult {
    pub(crate) rate: f64,
    pub(crate) cpu: f64,
}

/// Measures an app, in a child process.
pub(crate) async fn measure(
    run: &Run,
    app: &Program,
    connections: usize,
    batch: usize,
    size: usize,
) -> Result<BaselineResult, Failure> {
    let mut command = process::child_of_this_program()?;
    command.args(["baseline", "--app", &app.addresses[0].to_string()]);
    for (flag, value) in [
        ("--connections", connections.to_string()),
        ("--batch", batch.to_string()),
        ("--size", size.to_string()),
        ("--warm-up-ms", run.warm_up().as_millis().to_string()),
        ("--measured-ms", run.measured().as_millis().to_string()),
    ] {
        command.args([flag, &value]);
    }
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output().await?;
    let text = String::from_utf8(output.stdout)?;
    let (rate, cpu) = text.trim().split_once(' ').ok_or("the baseline ended without a result")?;
    Ok(BaselineResult { rate: rate.parse()?, cpu: cpu.parse()? })
}

/// The child's side.
pub(crate) async fn run(baseline: &Baseline) -> Result<(), Failure> {
    let record = data(baseline.size);
    let body = if baseline.batch == 1 { record } else { [&record[..], b"\n"].concat().repeat(baseline.batch) };
    let (warm_up, measured) = (Duration::from_millis(baseline.warm_up_ms), Duration::from_millis(baseline.measured_ms));
    let window = Window::after(warm_up, measured);
    let target = Target { address: baseline.app, path: "/orders", operation: None };
    let load = closed_loop::run(target, baseline.connections, Arc::new(vec![Bytes::from(body)]), window);
    let watcher = async {
        tokio::time::sleep_until(window.begin).await;
        let before = process::cpu_time(std::process::id())?;
        tokio::time::sleep_until(window.end).await;
        Ok::<_, Failure>(process::cpu_time(std::process::id())?.saturating_sub(before))
    };
    let (stats, cpu) = tokio::join!(load, watcher);
    let (stats, cpu) = (stats?, cpu?);
    if stats.failures() != "none" {
        return Err(format!("requests of the baseline failed: {}", stats.failures()).into());
    }
    let records = stats.successes() * baseline.batch as u64;
    let rate = as_f64(records) / measured.as_secs_f64();
    print_line(format!("{rate} {}", cpu.as_secs_f64() * 1e6 / as_f64(records.max(1))))
}

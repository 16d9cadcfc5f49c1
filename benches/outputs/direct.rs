//! An app that has the AWS SDK inside and no sidecar: one `PutRecord` for each record, in a separate process.

use crate::closed_loop::Window;
use crate::stats::Stats;
use crate::{Failure, print_line, process};
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use bindd::tasks::Supervisor;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use std::time::Duration;
use tokio::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Direct {
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long)]
    pub(crate) size: usize,
    #[arg(long)]
    pub(crate) warm_up_ms: u64,
    #[arg(long)]
    pub(crate) measured_ms: u64,
}

/// What the child process prints, as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct DirectResult {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) cpu_ms: u64,
    pub(crate) memory_idle: f64,
    pub(crate) memory: f64,
}

/// Runs the loop in a child process.
pub(crate) async fn run_child(direct: &Direct) -> Result<DirectResult, Failure> {
    let mut command = process::child_of_this_program()?;
    command.args(["direct", "--url", &direct.url]);
    for (flag, value) in [
        ("--connections", direct.connections.to_string()),
        ("--size", direct.size.to_string()),
        ("--warm-up-ms", direct.warm_up_ms.to_string()),
        ("--measured-ms", direct.measured_ms.to_string()),
    ] {
        command.args([flag, &value]);
    }
    let output = command.stdout(Stdio::piped()).spawn()?.wait_with_output().await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child's side.
pub(crate) async fn run(direct: &Direct) -> Result<(), Failure> {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&direct.url)
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let pid = std::process::id();
    let memory_idle = process::resident_memory(pid)?;
    let window = Window::after(Duration::from_millis(direct.warm_up_ms), Duration::from_millis(direct.measured_ms));
    let mut loops = Supervisor::new();
    for number in 0..direct.connections {
        loops.spawn(format!("loop {number}"), one_loop(client.clone(), number, direct.size, window));
    }
    tokio::time::sleep_until(window.begin).await;
    let cpu_before = process::cpu_time(pid)?;
    tokio::time::sleep_until(window.end).await;
    let cpu = process::cpu_time(pid)?.saturating_sub(cpu_before);
    let memory = process::resident_memory(pid)?;
    let mut stats = Stats::new();
    while let Some(ended) = loops.next().await {
        stats.merge(&ended.result?)?;
    }
    let result = DirectResult {
        successes: stats.successes(),
        failures: stats.total() - stats.successes(),
        p50: stats.quantile(0.5),
        p90: stats.quantile(0.9),
        p99: stats.quantile(0.99),
        cpu_ms: u64::try_from(cpu.as_millis())?,
        memory_idle,
        memory,
    };
    print_line(serde_json::to_string(&result)?)
}

async fn one_loop(client: aws_sdk_kinesis::Client, number: usize, size: usize, window: Window) -> Stats {
    let (mut stats, data) = (Stats::new(), Bytes::from(vec![b'x'; size]));
    for turn in 0_usize.. {
        let began = Instant::now();
        if began >= window.end {
            break;
        }
        let key = format!("key-{}", number * 7_919 + turn);
        let call = client.put_record().stream_name("orders").partition_key(key);
        let answer = call.data(Blob::new(data.clone())).send().await;
        if window.contains(began) {
            stats.record(if answer.is_ok() { 200 } else { 500 }, began.elapsed());
        }
    }
    stats
}

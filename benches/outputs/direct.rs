//! An app with the AWS SDK inside and no sidecar: one `PutRecord` for each record.

use crate::closed::Window;
use crate::tally::Tally;
use crate::{Failure, process, say};
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use bindd::tasks::Supervisor;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
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

/// What the child prints.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) good: u64,
    pub(crate) bad: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) cpu_ms: u64,
    pub(crate) rss_idle: f64,
    pub(crate) rss: f64,
}

pub(crate) async fn run(direct: &Direct) -> Result<(), Failure> {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&direct.url)
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let rss_idle = process::rss(std::process::id())?;
    let window = Window::after(Duration::from_millis(direct.warm_up_ms), Duration::from_millis(direct.measured_ms));
    let mut loops = Supervisor::new();
    for number in 0..direct.connections {
        loops.spawn(format!("loop {number}"), one_loop(client.clone(), number, direct.size, window));
    }
    tokio::time::sleep_until(window.begin).await;
    let cpu = process::cpu(std::process::id())?;
    tokio::time::sleep_until(window.end).await;
    let cpu = process::cpu(std::process::id())?.saturating_sub(cpu);
    let rss = process::rss(std::process::id())?;
    let mut tally = Tally::new();
    while let Some(ended) = loops.next().await {
        tally.merge(&ended.result?)?;
    }
    let told = Told {
        good: tally.good(),
        bad: tally.all() - tally.good(),
        p50: tally.quantile(0.5),
        p90: tally.quantile(0.9),
        p99: tally.quantile(0.99),
        cpu_ms: u64::try_from(cpu.as_millis())?,
        rss_idle,
        rss,
    };
    say(serde_json::to_string(&told)?)
}

async fn one_loop(client: aws_sdk_kinesis::Client, number: usize, size: usize, window: Window) -> Tally {
    let (mut tally, data) = (Tally::new(), Bytes::from(vec![b'x'; size]));
    for turn in 0_usize.. {
        let began = Instant::now();
        if began >= window.end {
            break;
        }
        let key = format!("key-{}", number * 7_919 + turn);
        let call = client.put_record().stream_name("orders").partition_key(key);
        let answer = call.data(Blob::new(data.clone())).send().await;
        if window.holds(began) {
            tally.add(if answer.is_ok() { 200 } else { 500 }, began.elapsed());
        }
    }
    tally
}

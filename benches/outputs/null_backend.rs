//! Checks that the null backend is fast enough: prepared calls without signing, and answers that the client does not parse.

use crate::closed_loop::{self, Target, Window};
use crate::stats::as_f64;
use crate::{Failure, Run, print_line};
use bindd::testing::{BackendSettings, NullBackend};
use bytes::Bytes;
use std::sync::Arc;

pub(crate) async fn run(run: &Run) -> Result<(), Failure> {
    print_line("| call | C | calls/s | records/s | p50 ms | p99 |")?;
    print_line("|---|--:|--:|--:|--:|--:|")?;
    let single = Arc::new(vec![Bytes::from(format!(r#"{{"StreamName":"orders",{}}}"#, record(0)))]);
    let batch = |count: usize| {
        let records: Vec<String> = (0..count).map(|number| format!("{{{}}}", record(number))).collect();
        Arc::new(vec![Bytes::from(format!(r#"{{"Records":[{}],"StreamName":"orders"}}"#, records.join(",")))])
    };
    for (operation, bodies, records, connections) in [
        ("Kinesis_20131202.PutRecord", single, 1, 64),
        ("Kinesis_20131202.PutRecords", batch(50), 50, 32),
        ("Kinesis_20131202.PutRecords", batch(500), 500, 32),
    ] {
        let backend = NullBackend::start(BackendSettings { shards: run.shards, ..BackendSettings::default() }).await?;
        let target = Target { address: backend.address(), path: "/", operation: Some(operation) };
        let window = Window::after(run.warm_up(), run.measured());
        let stats = closed_loop::run(target, connections, bodies, window).await?;
        let rate = as_f64(stats.successes()) / run.seconds;
        let name = operation.rsplit('.').next().unwrap_or_default();
        print_line(format!(
            "| {name}, {records} × 1 KiB | {connections} | {rate:.0} | {:.0} | {:.3} | {:.3} |",
            rate * as_f64(records),
            stats.quantile(0.5),
            stats.quantile(0.99)
        ))?;
        backend.stop().await;
    }
    Ok(())
}

fn record(number: usize) -> String {
    let data = base64_simd::STANDARD.encode_to_string(vec![b'x'; 1_024]);
    format!(r#""Data":"{data}","PartitionKey":"key-{number}""#)
}

//! Checks that the stream server is fast enough: calls of `GetRecords` whose answers are read and not parsed.

use crate::closed_loop::{self, Target, Window};
use crate::programs::Program;
use crate::stats::as_f64;
use crate::stream_server::StreamServer;
use crate::{Failure, Run, print_line, process};
use bytes::Bytes;
use std::sync::Arc;

pub(crate) async fn run(run: &Run) -> Result<(), Failure> {
    print_line("\n### The stream server alone\n")?;
    print_line("| records of an answer | calls/s | records/s | CPU ms/1,000 records |")?;
    print_line("|--:|--:|--:|--:|")?;
    for records in [100, 10_000] {
        let stream = Program::stream(&StreamServer { shards: 1, records, size: 64, keys: 40 }).await?;
        let target = Target { address: stream.addresses[0], path: "/", operation: Some("Kinesis_20131202.GetRecords") };
        let body = Arc::new(vec![Bytes::from_static(br#"{"ShardIterator":"0:0"}"#)]);
        let window = Window::after(run.warm_up(), run.measured());
        let cpu = process::cpu_time(stream.pid)?;
        let stats = closed_loop::run(target, 4, body, window).await?;
        let cpu = process::cpu_time(stream.pid)?.saturating_sub(cpu);
        let rate = as_f64(stats.successes()) / run.seconds;
        // The CPU includes the warm-up, which is half as long as the window.
        let per_thousand = cpu.as_secs_f64() * 1e6 / (rate * run.seconds * 1.5 * as_f64(records as u64)).max(1.0);
        print_line(format!("| {records} | {rate:.0} | {:.0} | {per_thousand:.2} |", rate * as_f64(records as u64)))?;
    }
    Ok(())
}

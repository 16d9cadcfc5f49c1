//! Memory while an app rejects everything and each answer of the stream is as large as Kinesis allows.

use crate::app::App;
use crate::programs::Program;
use crate::stream_server::StreamServer;
use crate::{Failure, Run, print_line, process};
use std::time::Duration;

/// How long the first record may take.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Long enough for each shard to be read several times.
const TIME: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct DeadApp {
    #[arg(long, default_value_t = 64)]
    shards: usize,
}

impl Default for DeadApp {
    fn default() -> Self {
        Self { shards: 64 }
    }
}

pub(crate) async fn run(run: &Run, dead_app: &DeadApp) -> Result<(), Failure> {
    print_line("\n### Dead app, full stream\n")?;
    print_line("| shards | answer | RSS MB after 20 s | peak | cores |")?;
    print_line("|--:|---|--:|--:|--:|")?;
    for (name, records, size) in
        [("10 MiB of 10 KiB records", 1_000, 10 << 10), ("10,000 records of 100 B", 10_000, 100)]
    {
        let server = StreamServer { shards: dead_app.shards, records, size, keys: 40 };
        let (stream, app) =
            (Program::stream(&server).await?, Program::app(&App { is_dead: true, ..App::default() }).await?);
        let mut bindd = Program::bindd(run, app.addresses[0], Some(&stream), &[])?;
        app.until(2, 1, &mut bindd, START_LIMIT).await?;
        let cpu = process::cpu_time(bindd.pid)?;
        tokio::time::sleep(TIME).await;
        let cpu = process::cpu_time(bindd.pid)?.saturating_sub(cpu);
        print_line(format!(
            "| {} | {name} | {:.0} | {:.0} | {:.2} |",
            dead_app.shards,
            process::resident_memory(bindd.pid)?,
            process::memory(bindd.pid, "VmHWM:")?,
            cpu.as_secs_f64() / TIME.as_secs_f64()
        ))?;
    }
    Ok(())
}

//! Benchmark of the inputs: bindd between a stream and an app, beside a loop that sends the same requests to the same app.
//!
//! ```sh
//! cargo bench --bench inputs                             # all tables
//! cargo bench --bench inputs -- rate --shards 1,16 --times 0,20 --batches 1
//! cargo bench --bench inputs -- idle
//! cargo bench --bench inputs -- dead-app
//! cargo bench --bench inputs -- poison
//! cargo bench --bench inputs -- stream                   # is the stream server fast enough to measure against?
//! ```
//!
//! `--bindd <program>` measures another bindd than the one that cargo built, such as that of the release image.
//!
//! Each part is a separate process: a server with prepared answers of Kinesis and an embedded DynamoDB for the leases; an
//! app that answers after a time; bindd; and the baseline, a hyper client loop with as many connections as bindd may use.
//! All share the cores of one machine, so compare only ratios within a run.

mod app;
mod baseline;
mod dead_app;
mod idle;
mod poison;
mod programs;
mod rate;
mod records;
mod stream_check;
mod stream_server;

#[path = "../outputs/closed_loop.rs"]
#[expect(dead_code, reason = "the benchmark of the outputs uses more of it")]
mod closed_loop;
#[path = "../outputs/options.rs"]
mod options;
#[path = "../outputs/process.rs"]
mod process;
#[path = "../outputs/stats.rs"]
#[expect(dead_code, reason = "the benchmark of the outputs uses more of it")]
mod stats;

use clap::{Args, Parser, Subcommand};
use options::Measured;
pub(crate) use options::print_line;
use std::time::Duration;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures bindd's Kinesis input beside a bare client loop")]
struct Cli {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    run: Run,
    /// `cargo bench` adds this flag.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

/// Options of every scenario.
#[derive(Args, Clone)]
pub(crate) struct Run {
    /// Measured seconds of each row, after a warm-up of half of them.
    #[arg(long, global = true, default_value_t = 4.0)]
    seconds: f64,
    #[command(flatten)]
    program: Measured,
    /// Further flags of bindd, each as `--flag=value`.
    #[arg(long = "flag", global = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

impl Run {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.measured() / 2
    }
}

#[derive(Subcommand)]
enum Scenario {
    /// Records a second, for each number of shards, time of the app, and size of a batch.
    Rate(rate::Rate),
    /// Memory and CPU with shards that get no records.
    Idle(idle::Idle),
    /// Memory with an app that rejects everything.
    DeadApp(dead_app::DeadApp),
    /// The other keys beside one whose records are rejected.
    Poison,
    /// The stream server alone.
    Stream,
    /// Child process: Kinesis and DynamoDB.
    #[command(hide = true)]
    StreamServer(stream_server::StreamServer),
    /// Child process: the app.
    #[command(hide = true)]
    App(app::App),
    /// Child process: the bare client loop.
    #[command(hide = true)]
    Baseline(baseline::Baseline),
}

fn main() -> Result<(), Failure> {
    let Cli { scenario, run, bench: _ } = Cli::parse();
    // One thread, as bindd has by default. The stream server has one more for DynamoDB.
    let threads = if matches!(scenario, Some(Scenario::StreamServer(_))) { 2 } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        match scenario {
            None => all(&run).await,
            Some(Scenario::Rate(rate)) => rate::run(&run, &rate).await,
            Some(Scenario::Idle(idle)) => idle::run(&run, &idle).await,
            Some(Scenario::DeadApp(dead_app)) => dead_app::run(&run, &dead_app).await,
            Some(Scenario::Poison) => poison::run(&run).await,
            Some(Scenario::Stream) => stream_check::run(&run).await,
            Some(Scenario::StreamServer(server)) => stream_server::serve(server).await,
            Some(Scenario::App(app)) => app::serve(app).await,
            Some(Scenario::Baseline(baseline)) => baseline::run(&baseline).await,
        }
    })
}

async fn all(run: &Run) -> Result<(), Failure> {
    rate::run(run, &rate::Rate::default()).await?;
    idle::run(run, &idle::Idle::default()).await?;
    dead_app::run(run, &dead_app::DeadApp::default()).await?;
    poison::run(run).await?;
    stream_check::run(run).await
}

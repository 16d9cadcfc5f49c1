//! Benchmark of the outputs: bindd beside a bare HTTP server and beside the AWS SDK without a sidecar, in one run.
//!
//! ```sh
//! cargo bench --bench outputs                        # 1, 32 and 512 connections, 1 KiB, backend latency 0 and 5 ms
//! cargo bench --bench outputs -- matrix -c 1,8,32,128,512,2048 -s 100,1024,10240,512000 -b 0,5,15
//! cargo bench --bench outputs -- null-backend        # is the null backend fast enough to measure against?
//! cargo bench --bench outputs -- hot-key
//! cargo bench --bench outputs -- overload --times 2,10
//! cargo bench --bench outputs -- steady --rate 10000
//! ```
//!
//! With `--no-default-features`, bindd is measured as the release image has it: memory is lower without the embedded AWS.
//!
//! Each variant is a separate process: an axum server that only reads the body and answers 204; a loop on the AWS SDK
//! with one `PutRecord` for each record; `bindd` with batching and without. The load generator and the null backend are in
//! this process. All share the cores of one machine, so compare only ratios within a run.

mod baseline;
mod closed_loop;
mod direct;
mod hot_key;
mod matrix;
mod null_backend;
mod open_loop;
mod options;
mod overload;
mod process;
mod server;
mod stats;

use clap::{Args, Parser, Subcommand};
use options::Measured;
pub(crate) use options::print_line;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures bindd's outputs beside a bare server and the AWS SDK")]
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
    /// Measured seconds of each row, after a warm-up of one fifth of them.
    #[arg(long, global = true, default_value_t = 5.0)]
    seconds: f64,
    /// Shards of the backend's stream.
    #[arg(long, global = true, default_value_t = 512)]
    shards: usize,
    #[command(flatten)]
    program: Measured,
}

impl Run {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.measured() / 5
    }
}

#[derive(Subcommand)]
enum Scenario {
    /// Closed loops against every variant, for each record size, backend latency and number of connections.
    Matrix(matrix::Matrix),
    /// The null backend alone, to show that it is not the bottleneck.
    NullBackend,
    /// Half of the connections use one key: how much slower are the others?
    HotKey {
        /// Connections.
        #[arg(short = 'c', long, default_value_t = 128)]
        connections: usize,
    },
    /// More requests than the shards accept.
    Overload(overload::Overload),
    /// An open loop at one rate: latency from when a request was due, memory and CPU.
    Steady {
        /// Requests a second.
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
    },
    /// Child process: the bare server.
    #[command(hide = true)]
    Baseline,
    /// Child process: the SDK without a sidecar.
    #[command(hide = true)]
    Direct(direct::Direct),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Cli { scenario, run, bench: _ } = Cli::parse();
    match scenario.unwrap_or_else(|| Scenario::Matrix(matrix::Matrix::default())) {
        Scenario::Matrix(matrix) => matrix::run(&run, &matrix).await,
        Scenario::NullBackend => null_backend::run(&run).await,
        Scenario::HotKey { connections } => hot_key::run(&run, connections).await,
        Scenario::Overload(overload) => overload::run(&run, &overload).await,
        Scenario::Steady { rate } => overload::steady(&run, rate).await,
        Scenario::Baseline => baseline::serve().await,
        Scenario::Direct(direct) => direct::run(&direct).await,
    }
}

/// The request body for one record with a partition key.
pub(crate) fn create(size: usize, key: &str) -> String {
    let text = "x".repeat(size.saturating_sub(2));
    format!(r#"{{"operation":"create","data":"{text}","metadata":{{"partitionKey":"{key}"}}}}"#)
}

/// Request bodies with different keys, so that all shards are used; fewer when they are large, to limit memory.
pub(crate) fn bodies(size: usize) -> Vec<bytes::Bytes> {
    let count = ((8 << 20) / size.max(1)).clamp(8, 4_096);
    (0..count).map(|number| create(size, &format!("key-{number}")).into()).collect()
}

/// A loopback address with a free port.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

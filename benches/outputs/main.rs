//! The outputs beside their floors, in one run on one machine: what does the sidecar cost, and what does it give?
//!
//! ```sh
//! cargo build --release --no-default-features --bin bindd --example output_bench
//! target/release/examples/output_bench                      # C = 1, 32, 512 at 1 KiB, backend 0 and 5 ms
//! target/release/examples/output_bench matrix -c 1,8,32,128,512,2048 -s 100,1024,10240,512000 -b 0,5,15
//! target/release/examples/output_bench backend              # is the null backend fast enough to measure against?
//! target/release/examples/output_bench hot-key
//! target/release/examples/output_bench overload --times 2,10
//! target/release/examples/output_bench steady --rate 10000
//! ```
//!
//! Contenders are processes of their own: a bare axum server that reads the body and answers 204; a loop on the AWS SDK
//! with one `PutRecord` for each record and no sidecar; `bindd`, batching and not. Load and backend are in this
//! process. All share the machine's cores, so only ratios within a run mean something.

mod backend;
mod children;
mod closed;
mod direct;
mod floor;
mod hot_key;
mod matrix;
mod open;
mod overload;
mod process;
mod tally;

use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Anything that keeps a run from going on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures bindd's outputs beside their floors")]
struct Cli {
    #[command(subcommand)]
    scene: Option<Scene>,
    #[command(flatten)]
    run: Run,
}

/// What every scene takes.
#[derive(Args, Clone)]
pub(crate) struct Run {
    /// Seconds measured, after one fifth of it to warm up.
    #[arg(long, global = true, default_value_t = 5.0)]
    seconds: f64,
    /// Shards of the backend's stream.
    #[arg(long, global = true, default_value_t = 512)]
    shards: usize,
    /// The program; by default the one beside this example.
    #[arg(long, global = true)]
    bindd: Option<PathBuf>,
    /// Further fields of the component, as `name=value`.
    #[arg(long = "set", global = true)]
    fields: Vec<String>,
}

impl Run {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.measured() / 5
    }

    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        self.fields.iter().filter_map(|field| field.split_once('=')).collect()
    }
}

#[derive(Subcommand)]
enum Scene {
    /// Closed loops of every contender, for each size, backend latency and number of connections.
    Matrix(matrix::Matrix),
    /// The null backend alone, to prove that it is not what is measured.
    Backend,
    /// Half of the callers use one key; what do the others feel?
    HotKey {
        /// Connections.
        #[arg(short = 'c', long, default_value_t = 128)]
        connections: usize,
    },
    /// More than the shards take, as often as asked.
    Overload(overload::Overload),
    /// One rate, whatever the answers: latency from the moment a request was due, memory, CPU.
    Steady {
        /// Requests a second.
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
    },
    /// A contender: the bare server.
    #[command(hide = true)]
    Floor,
    /// A contender: the SDK without a sidecar.
    #[command(hide = true)]
    Direct(direct::Direct),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Cli { scene, run } = Cli::parse();
    match scene.unwrap_or_else(|| Scene::Matrix(matrix::Matrix::default())) {
        Scene::Matrix(matrix) => matrix::run(&run, &matrix).await,
        Scene::Backend => backend::run(&run).await,
        Scene::HotKey { connections } => hot_key::run(&run, connections).await,
        Scene::Overload(overload) => overload::run(&run, &overload).await,
        Scene::Steady { rate } => overload::steady(&run, rate).await,
        Scene::Floor => floor::serve().await,
        Scene::Direct(direct) => direct::run(&direct).await,
    }
}

/// Prints a line at once.
pub(crate) fn say(line: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}

/// The request of one record under a key.
pub(crate) fn create(size: usize, key: &str) -> String {
    let text = "x".repeat(size.saturating_sub(2));
    format!(r#"{{"operation":"create","data":"{text}","metadata":{{"partitionKey":"{key}"}}}}"#)
}

/// Bodies with different keys, so that all shards are used; few when they are large.
pub(crate) fn bodies(size: usize) -> Vec<bytes::Bytes> {
    let count = ((8 << 20) / size.max(1)).clamp(8, 4_096);
    (0..count).map(|number| create(size, &format!("key-{number}")).into()).collect()
}

/// A loopback address that was free just now.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

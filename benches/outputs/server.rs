//! The measured servers, each a child process that is killed when its handle is dropped.

use crate::{Failure, free_address};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a server may take to open its port.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Time after the start before its memory is read as idle.
const IDLE_DELAY: Duration = Duration::from_millis(500);
/// `USER_HZ`, which Linux fixes for the values in `/proc` (proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    _child: Child,
    _folder: Option<TempDir>,
}

impl Server {
    /// The bare server of [`crate::baseline`].
    pub(crate) async fn baseline() -> Result<Self, Failure> {
        let mut child = child_of_this_program()?.arg("baseline").stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = lines.next_line().await?.ok_or("the baseline server ended")?.parse()?;
        Self::started(address, child, None).await
    }

    /// bindd with one Kinesis output named `orders`.
    pub(crate) async fn bindd(
        program: Option<&PathBuf>,
        backend: &str,
        fields: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("orders.yaml"), component(backend, fields))?;
        let (address, metrics) = (free_address()?, free_address()?);
        let mut command = match program {
            Some(program) => child_process(program),
            None => child_process(env!("CARGO_BIN_EXE_bindd")),
        };
        command
            .args(["--app-id", "bench", "--log-level", "error", "--max-body-size", "16Mi"])
            .arg("--dapr-http-port")
            .arg(address.port().to_string())
            .arg("--metrics-port")
            .arg(metrics.port().to_string())
            .arg("--resources-path")
            .arg(folder.path());
        let child = command.stdout(Stdio::null()).spawn()?;
        Self::started(address, child, Some(folder)).await
    }

    async fn started(address: SocketAddr, child: Child, folder: Option<TempDir>) -> Result<Self, Failure> {
        let opened = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START_LIMIT, opened).await.map_err(|_| "a server did not open its port")?;
        tokio::time::sleep(IDLE_DELAY).await;
        let pid = child.id().ok_or("a server ended")?;
        Ok(Self { address, pid, _child: child, _folder: folder })
    }
}

/// This benchmark once more, to be given a hidden subcommand.
pub(crate) fn child_of_this_program() -> Result<Command, Failure> {
    Ok(child_process(std::env::current_exe()?))
}

fn child_process(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn component(backend: &str, fields: &[(&str, &str)]) -> String {
    let mut text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: orders\n\
                    spec:\n  type: bindings.aws.kinesis\n  version: v1\n  metadata:\n"
        .to_owned();
    let base = [
        ("streamName", "orders"),
        ("direction", "output"),
        ("region", "us-east-1"),
        ("endpoint", backend),
        ("accessKey", "test"),
        ("secretKey", "test"),
    ];
    for (name, value) in base.iter().chain(fields) {
        text.push_str(&format!("    - name: {name}\n      value: \"{value}\"\n"));
    }
    text
}

/// CPU time that a process has used, user and system. Linux only.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold spaces; fields are counted after its closing bracket.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND))
}

/// Resident memory of a process in MB of 10^6 bytes. Linux only.
pub(crate) fn resident_memory(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024.0 / 1e6)
}

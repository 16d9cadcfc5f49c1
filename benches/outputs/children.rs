//! Contenders as processes of their own; each ends with its handle.

use crate::direct::{Direct, Told};
use crate::{Failure, free_address};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a contender may take to open its port.
const START_LIMIT: Duration = Duration::from_secs(10);
/// When its memory is read as idle.
const SETTLED: Duration = Duration::from_millis(500);

/// A server that is measured.
pub(crate) struct Contender {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    _child: Child,
    _folder: Option<TempDir>,
}

impl Contender {
    /// The bare server.
    pub(crate) async fn floor() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = quiet(command.arg("floor")).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = lines.next_line().await?.ok_or("the floor ended")?.parse()?;
        Self::settled(address, child, None).await
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
        let mut command = Command::new(program.cloned().map_or_else(beside, Ok)?);
        command
            .args(["--app-id", "bench", "--log-level", "error", "--max-body-size", "16Mi"])
            .arg("--dapr-http-port")
            .arg(address.port().to_string())
            .arg("--metrics-port")
            .arg(metrics.port().to_string())
            .arg("--resources-path")
            .arg(folder.path());
        let child = quiet(&mut command).stdout(Stdio::null()).spawn()?;
        Self::settled(address, child, Some(folder)).await
    }

    async fn settled(address: SocketAddr, child: Child, folder: Option<TempDir>) -> Result<Self, Failure> {
        let opened = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START_LIMIT, opened).await.map_err(|_| "a contender did not open its port")?;
        tokio::time::sleep(SETTLED).await;
        let pid = child.id().ok_or("a contender ended")?;
        Ok(Self { address, pid, _child: child, _folder: folder })
    }
}

/// Runs the SDK loop to its end.
pub(crate) async fn direct(direct: &Direct) -> Result<Told, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["direct", "--url", &direct.url]);
    for (flag, value) in [
        ("--connections", direct.connections.to_string()),
        ("--size", direct.size.to_string()),
        ("--warm-up-ms", direct.warm_up_ms.to_string()),
        ("--measured-ms", direct.measured_ms.to_string()),
    ] {
        command.args([flag, &value]);
    }
    let output = quiet(&mut command).stdout(Stdio::piped()).spawn()?.wait_with_output().await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).kill_on_drop(true)
}

/// `target/release/bindd` beside `target/release/examples/output_bench`.
fn beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let program = own.parent().and_then(Path::parent).ok_or("no folder above")?.join("bindd");
    let hint = "build it: cargo build --release --no-default-features --bin bindd, or give --bindd";
    program.exists().then_some(program).ok_or_else(|| hint.into())
}

fn component(backend: &str, fields: &[(&str, &str)]) -> String {
    let mut text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: orders\n\
                    spec:\n  type: bindings.aws.kinesis\n  version: v1\n  metadata:\n"
        .to_owned();
    let own = [
        ("streamName", "orders"),
        ("direction", "output"),
        ("region", "us-east-1"),
        ("endpoint", backend),
        ("accessKey", "test"),
        ("secretKey", "test"),
    ];
    for (name, value) in own.iter().chain(fields) {
        text.push_str(&format!("    - name: {name}\n      value: \"{value}\"\n"));
    }
    text
}

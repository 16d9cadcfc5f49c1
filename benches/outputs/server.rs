//! The measured servers, each a child process that is killed when its handle is dropped.

use crate::process::{child_of_this_program, child_process};
use crate::{Failure, free_address};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

/// How long a server may take to open its port.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Time after the start before its memory is read as idle.
const IDLE_DELAY: Duration = Duration::from_millis(500);

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
            .args(["--dapr-grpc-port", "0"])
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

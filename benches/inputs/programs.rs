//! The child processes of a row. They are killed when their handles are dropped.

use crate::app::App;
use crate::process::{child_of_this_program, child_process};
use crate::stream_server::StreamServer;
use crate::{Failure, Run};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Program {
    pub(crate) pid: u32,
    /// Those that it printed.
    pub(crate) addresses: Vec<SocketAddr>,
    child: Child,
    _folder: Option<TempDir>,
}

impl Program {
    pub(crate) async fn stream(server: &StreamServer) -> Result<Self, Failure> {
        let mut command = child_of_this_program()?;
        command.arg("stream-server");
        for (flag, value) in [
            ("--shards", server.shards),
            ("--records", server.records),
            ("--size", server.size),
            ("--keys", server.keys),
        ] {
            command.args([flag, &value.to_string()]);
        }
        Self::with_addresses(command, 2).await
    }

    pub(crate) async fn app(app: &App) -> Result<Self, Failure> {
        let mut command = child_of_this_program()?;
        command.args(["app", "--time-ms", &app.time_ms.to_string()]);
        if let Some(key) = &app.poison {
            command.args(["--poison", key]);
        }
        if app.is_dead {
            command.arg("--is-dead");
        }
        Self::with_addresses(command, 1).await
    }

    async fn with_addresses(mut command: Command, count: usize) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut addresses = Vec::new();
        while addresses.len() < count {
            addresses.push(lines.next_line().await?.ok_or("a child process ended")?.parse()?);
        }
        Ok(Self { pid: child.id().ok_or("a child process ended")?, addresses, child, _folder: None })
    }

    /// bindd for an app; it reads the stream, if there is one.
    pub(crate) fn bindd(
        run: &Run,
        app: SocketAddr,
        stream: Option<&Self>,
        own: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        if let Some(stream) = stream {
            std::fs::write(folder.path().join("orders.yaml"), component(stream, own, &run.program.fields()))?;
        }
        let mut command = match &run.program.bindd {
            Some(program) => child_process(program),
            None => child_process(env!("CARGO_BIN_EXE_bindd")),
        };
        command
            .args([
                "--app-id",
                "bench",
                "--log-level",
                "error",
                "--dapr-http-port",
                "0",
                "--dapr-grpc-port",
                "0",
                "--metrics-port",
                "0",
            ])
            .args(["--app-port", &app.port().to_string()])
            .args(&run.flags)
            .arg("--resources-path")
            .arg(folder.path());
        let child = command.stdout(Stdio::null()).spawn()?;
        let pid = child.id().ok_or("bindd ended")?;
        Ok(Self { pid, addresses: Vec::new(), child, _folder: Some(folder) })
    }

    /// The numbers that a child process answers to `GET /`.
    pub(crate) async fn numbers(&self) -> Result<Vec<u64>, Failure> {
        let socket = TcpStream::connect(self.addresses[0]).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let exchange = async {
            let request = hyper::Request::get("/").header("host", "localhost").header("connection", "close");
            let response = sender.send_request(request.body(Full::<Bytes>::default())?).await?;
            Ok::<_, Failure>(response.into_body().collect().await?.to_bytes())
        };
        let (body, _) = tokio::join!(exchange, connection);
        let text = String::from_utf8(body?.to_vec())?;
        Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Waits until one of its numbers is at least `enough`; fails after `limit`, or when bindd ends.
    pub(crate) async fn until(
        &self,
        index: usize,
        enough: u64,
        bindd: &mut Self,
        limit: Duration,
    ) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        loop {
            let number = self.numbers().await?.get(index).copied().unwrap_or_default();
            if number >= enough {
                return Ok(());
            }
            if let Some(status) = bindd.child.try_wait()? {
                return Err(format!("bindd ended: {status}").into());
            }
            if Instant::now() > end {
                return Err(format!("after {limit:?} only {number} of {enough}").into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

fn component(stream: &Program, own: &[(&str, &str)], given: &[(&str, &str)]) -> String {
    let mut text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: orders\n\
                    spec:\n  type: bindings.aws.kinesis\n  version: v1\n  metadata:\n"
        .to_owned();
    let [kinesis, dynamodb] = [0, 1].map(|index| format!("http://{}", stream.addresses[index]));
    let base = [
        ("streamName", "orders"),
        ("consumerName", "bench"),
        ("direction", "input"),
        ("initialPosition", "trim_horizon"),
        ("region", "us-east-1"),
        ("endpoint", &kinesis),
        ("leaseEndpoint", &dynamodb),
        ("accessKey", "test"),
        ("secretKey", "test"),
    ];
    for (name, value) in base.iter().chain(own).chain(given) {
        text.push_str(&format!("    - name: {name}\n      value: \"{value}\"\n"));
    }
    text
}

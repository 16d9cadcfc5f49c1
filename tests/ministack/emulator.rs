//! A ministack process for one test.

use crate::environment::{dynamodb_client, kinesis_client};
use bindd::testing::until;
use std::net::TcpListener;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Dropping it kills the process.
pub(crate) struct Ministack {
    pub(crate) url: String,
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    _process: Child,
}

impl Ministack {
    /// Starts it on a free port and waits until it responds. It tries again if another program takes the port first.
    pub(crate) async fn start() -> Self {
        for _ in 0..3 {
            if let Some(started) = Self::start_once().await {
                return started;
            }
        }
        panic!("ministack exited three times before it responded");
    }

    async fn start_once() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the path of the emulator depends on the machine")]
        let program = std::env::var("MINISTACK").unwrap_or_else(|_| "ministack".to_owned());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(&program);
        command
            .envs([("BIND_HOST", "127.0.0.1"), ("SERVICES", "kinesis,dynamodb,dynamodbstreams")])
            .env("GATEWAY_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("`{program}` did not start: {error}; run `pip install ministack==1.5.33` or set MINISTACK to it")
        });
        let url = format!("http://127.0.0.1:{port}");
        let (kinesis, dynamodb) = (kinesis_client(&url), dynamodb_client(&url));
        tokio::select! {
            _ = until("ministack to respond", async || kinesis.list_streams().send().await.ok()) => {}
            _ = process.wait() => return None,
        }
        Some(Self { url, kinesis, dynamodb, _process: process })
    }
}

//! The `bindd` binary: its limit of open files, and its log.
#![cfg(target_os = "linux")]

use crate::calls::{get, post, send};
use crate::grpc;
use bindd::protocol::runtime::dapr_client::DaprClient;
use bindd::protocol::runtime::{GetMetadataRequest, InvokeBindingRequest};
use bindd::testing::until;
use bytes::Bytes;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tonic::Code;
use tonic::transport::Endpoint;

/// A sidecar without components in a separate process.
struct Program {
    child: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Program {
    /// Starts it from a shell that first sets `limits`, and waits until it serves.
    async fn start(limits: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("log");
        let program = env!("CARGO_BIN_EXE_bindd");
        let script = format!(
            "{limits} && exec {program} --app-id shop --dapr-http-port 0 --dapr-grpc-port 0 --enable-metrics=false --log-level debug"
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let program = Self { child, log, _folder: folder };
        program.until_logged("bindd is serving").await;
        program
    }

    async fn until_logged(&self, text: &str) -> String {
        until(text, async || fs::read_to_string(&self.log).ok().filter(|log| log.contains(text))).await
    }

    async fn grpc_address(&self) -> SocketAddr {
        let text = "gRPC server listening on TCP address: ";
        let log = self.until_logged(text).await;
        let rest = log.split(text).nth(1).unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    }

    async fn address(&self) -> SocketAddr {
        let log = self.until_logged("addresses=[").await;
        let rest = log.split("addresses=[").nth(1).unwrap();
        rest[..rest.find(']').unwrap()].parse().unwrap()
    }
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let program = Program::start("ulimit -S -n 200").await;
    program.until_logged("soft limit of open files was raised").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.child.id().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [soft, hard] = [words[3], words[4]].map(|word| word.parse().unwrap_or(u64::MAX));
    assert!(soft == hard.min(65_536) && soft > 200, "{line}");
}

#[tokio::test]
async fn a_low_hard_limit_lowers_the_number_of_connections() {
    let program = Program::start("ulimit -n 1000").await;
    let log = program.until_logged("connection limit lowered").await;
    assert!(log.contains("max_connections=600"), "{log}");
}

#[tokio::test]
async fn a_caller_cannot_forge_log_lines() {
    let program = Program::start("true").await;
    let body = r#"{"operation":"create\nFORGED"}"#;
    let response = post(program.address().await, "/v1.0/bindings/orders%0AFORGED", body).await;
    assert_eq!(response.status, 404);
    let log = program.until_logged("request to output binding failed").await;
    assert!(log.contains("FORGED") && log.lines().all(|line| !line.starts_with("FORGED")), "{log}");
}

impl Program {
    /// Resident memory in bytes.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

/// Waits until little is left of the memory that a load needed. The allocator gives pages back only when it is called, so
/// there are small calls meanwhile.
async fn assert_memory_returns(program: &Program, before: u64, what: &str, call: impl AsyncFn()) {
    let peak = program.resident();
    until("resident memory to be within 50 MB of what it was", async || {
        call().await;
        (program.resident() < before + 50_000_000).then_some(())
    })
    .await;
    eprintln!("resident memory in bytes around {what}: {before}, {peak}, {}", program.resident());
}

#[tokio::test]
async fn memory_returns_after_300_large_bodies() {
    const BODIES: usize = 300;
    const AT_ONCE: usize = 20;
    let program = Program::start("true").await;
    let address = program.address().await;
    let body = format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(post(address, "/v1.0/bindings/none", r#"{"operation":"create"}"#).await.status, 404);
    let before = program.resident();
    for _ in 0..BODIES / AT_ONCE {
        let calls = (0..AT_ONCE).map(|_| post(address, "/v1.0/bindings/none", &body));
        for response in futures_util::future::join_all(calls).await {
            assert_eq!(response.status, 404);
        }
    }
    let small = r#"{"operation":"create"}"#;
    assert_memory_returns(&program, before, "bodies over HTTP", async || {
        post(address, "/v1.0/bindings/none", small).await;
    })
    .await;
    // The same over gRPC, on one connection.
    let channel = Endpoint::from_shared(format!("http://{}", program.grpc_address().await)).unwrap();
    let client = DaprClient::new(channel.connect().await.unwrap());
    let data = Bytes::from(vec![b'x'; 3 << 20]);
    for _ in 0..BODIES / AT_ONCE {
        let calls = (0..AT_ONCE).map(|_| {
            let (mut client, data) = (client.clone(), data.clone());
            let call = InvokeBindingRequest { data, ..grpc::request("none", "create", b"", &[]) };
            async move { client.invoke_binding(call).await.unwrap_err().code() }
        });
        for code in futures_util::future::join_all(calls).await {
            assert_eq!(code, Code::NotFound);
        }
    }
    assert_memory_returns(&program, before, "messages over gRPC", async || {
        client.clone().invoke_binding(grpc::request("none", "create", b"", &[])).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn clients_that_read_no_responses_cost_little_memory() {
    let program = Program::start("true").await;
    let address = program.address().await;
    // A page of 5 kB, so that all responses together would be 500 MB. The server stops reading requests instead.
    let put = http::Request::put("/v1.0/metadata/large");
    assert_eq!(send(address, put, &"x".repeat(5_000)).await.status, 204);
    assert_eq!(get(address, "/v1.0/metadata").await.status, 200);
    let before = program.resident();
    let requests = "GET /v1.0/metadata HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    let mut held = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.writable().await.unwrap();
        assert!(stream.try_write(requests.as_bytes()).unwrap() > 10_000);
        held.push(stream);
    }
    assert_eq!(get(address, "/v1.0/metadata").await.status, 200, "others are served");
    assert_memory_returns(&program, before, "clients that read nothing", async || {
        assert_eq!(get(address, "/v1.0/metadata").await.status, 200);
    })
    .await;
    drop(held);
}

#[tokio::test]
async fn at_the_limit_of_connections_idle_ones_of_the_grpc_api_make_room() {
    // So few files allow 24 connections to the gRPC API.
    let program = Program::start("ulimit -n 250").await;
    let address = program.grpc_address().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may already close it.
        drop(stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await);
        held.push(stream);
    }
    let served = until("a call beside them", async || {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.ok()?;
        DaprClient::new(channel).get_metadata(GetMetadataRequest {}).await.ok()
    })
    .await;
    assert_eq!(served.into_inner().id, "shop");
    drop(held);
}

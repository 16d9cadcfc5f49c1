//! The `bindd` binary: its limit of open files, and its log.
#![cfg(target_os = "linux")]

use crate::calls::post;
use bindd::testing::until;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

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
    let peak = program.resident();
    until("resident memory to be within 50 MB of what it was", async || {
        (program.resident() < before + 50_000_000).then_some(())
    })
    .await;
    eprintln!(
        "resident memory in bytes: {before} before, {peak} at the end of the bodies, {} after",
        program.resident()
    );
}

//! The program itself, with its log and its exit code.

use crate::calls;
use bindd::testing::{until, within};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// The program in a folder of its own, which it logs to.
pub(super) struct Program {
    child: Child,
    folder: TempDir,
    log: &'static str,
}

impl Program {
    /// Logs to standard output with `--dapr-compat`, and to standard error without.
    pub(super) fn start(is_compat: bool, args: &[&str], resources: Option<&Path>) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        // A signal with a handler is at its default in a new program, also where the tests run under nohup.
        drop(signal(SignalKind::hangup()).unwrap());
        command.args(["/daprd", "--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0"]);
        command.args(["--enable-metrics=false"]).args(args).args(is_compat.then_some("--dapr-compat"));
        if let Some(resources) = resources {
            command.arg("--resources-path").arg(resources);
        }
        let child = command
            .env_remove("NAMESPACE")
            .env_remove("DAPR_API_TOKEN")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, folder, log: if is_compat { "stdout" } else { "stderr" } }
    }

    pub(super) fn read(&self) -> String {
        fs::read_to_string(self.folder.path().join(self.log)).unwrap_or_default()
    }

    pub(super) async fn line(&self, text: &str) -> String {
        until(text, async || self.read().lines().find(|line| line.contains(text)).map(str::to_owned)).await
    }

    pub(super) async fn exit_code(&mut self) -> Option<i32> {
        within("the program to end", self.child.wait()).await.unwrap().code()
    }

    /// Waits until the line is there so many times.
    pub(super) async fn lines(&self, text: &str, count: usize) {
        until(text, async || (self.read().matches(text).count() >= count).then_some(())).await;
    }

    /// Waits for lines that follow each other, perhaps with others between them. Each begins with its section.
    pub(super) async fn in_order(&self, lines: &[&str]) {
        let (_, last) = lines.last().unwrap().split_once(' ').unwrap();
        self.line(last).await;
        let log = self.read();
        let mut rest = log.as_str();
        for says in lines {
            let (_, line) = says.split_once(' ').unwrap();
            let at = rest.find(line).unwrap_or_else(|| panic!("{says:?} is not in its place: {log}"));
            rest = &rest[at + line.len()..];
        }
    }

    /// The address of the HTTP API, also where it listens on all addresses.
    pub(super) async fn local_address(&self) -> SocketAddr {
        let line = self.line("HTTP server listening on TCP address: ").await;
        let (_, rest) = line.split_once("address: ").unwrap();
        let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:[]".contains(c))).unwrap_or(rest.len());
        let address: SocketAddr = rest[..end].parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    pub(super) async fn invoke(&self, name: &str, body: &str) -> calls::Response {
        calls::post(self.local_address().await, &format!("/v1.0/bindings/{name}"), body).await
    }

    pub(super) async fn send(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap().success());
    }

    pub(super) async fn stop(&mut self) -> Option<i32> {
        self.send("TERM").await;
        self.exit_code().await
    }
}

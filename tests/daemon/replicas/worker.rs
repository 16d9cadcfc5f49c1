//! A sidecar in a separate process.

use bindd::testing::{until, within};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

const LOGGED: &str = "bindd is serving";

#[derive(Debug)]
pub(crate) struct Worker {
    app: SocketAddr,
    components: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Worker {
    /// A worker that is not started yet.
    pub(crate) fn new(folder: &Path, number: usize, app: SocketAddr) -> Self {
        Self { app, components: folder.join("components"), log: folder.join(format!("log-{number}")), child: None }
    }

    /// Starts it, and waits until it serves.
    pub(crate) async fn start(&mut self) {
        let before = self.log().matches(LOGGED).count();
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bindd"))
            .args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"])
            .args(["--log-level", "info,bindd::consumer=debug"])
            // So long that a slow machine does not turn a clean stop into a crash.
            .args(["--dapr-graceful-shutdown-seconds", "200"])
            .args(["--app-port", &self.app.port().to_string()])
            .arg("--resources-path")
            .arg(&self.components)
            .env_remove("NAMESPACE")
            .env_remove("DAPR_API_TOKEN")
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until(LOGGED, async || (self.log().matches(LOGGED).count() > before).then_some(())).await;
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        within("the worker to be killed", child.kill()).await.unwrap();
    }

    /// SIGTERM; the worker must then exit without a complaint.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        kill_process(pid(&child), Signal::TERM).unwrap();
        let status = within("the worker to exit", child.wait()).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Peak resident memory in MB of 10^6 bytes; Linux only.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_024 / 1_000_000)
    }

    fn pid(&self) -> Pid {
        pid(self.child.as_ref().unwrap())
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap()
}

//! The real program under a limit of open files.
#![cfg(target_os = "linux")]

use bindd::testing::until;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A sidecar without components, started by a shell that sets the limits first.
fn limited(folder: &Path, limits: &str) -> (Child, PathBuf) {
    let log = folder.join("log");
    let program = format!(
        "{limits} && exec {} --app-id shop --dapr-http-port 0 --enable-metrics=false --log-level debug",
        env!("CARGO_BIN_EXE_bindd")
    );
    let child = Command::new("sh")
        .args(["-c", &program])
        .stdin(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, log)
}

async fn until_serving(log: &Path) -> String {
    until("the program to serve", async || {
        fs::read_to_string(log).ok().filter(|text| text.contains("bindd is serving"))
    })
    .await
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let folder = TempDir::new().unwrap();
    let (child, log) = limited(folder.path(), "ulimit -S -n 200");
    let told = until_serving(&log).await;
    assert!(told.contains("soft limit of open files was raised"), "{told}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[3] == words[4] && words[3] != "200", "{line}");
}

#[tokio::test]
async fn a_low_hard_limit_lowers_the_number_of_connections() {
    let folder = TempDir::new().unwrap();
    let (_child, log) = limited(folder.path(), "ulimit -n 1000");
    let told = until_serving(&log).await;
    assert!(told.contains("max_connections=750") && told.contains("raise it for more"), "{told}");
}

//! The `bindd` binary and `kill -9`: every record with response 204 reaches the app.

use crate::calls;
use crate::fakes::RecordingApp;
use bindd::testing::{until, within};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const COMPONENTS: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders}
spec:
  type: bindings.aws.kinesis
  version: v1
  metadata:
    - {name: streamName, value: orders}
    - {name: initialPosition, value: trim_horizon}
    - {name: leaseDuration, value: 2s}
";

/// `bindd dev` in a separate process, with data on disk.
struct Program {
    child: Child,
    http: SocketAddr,
}

impl Program {
    async fn start(folder: &Path, app: &RecordingApp) -> Self {
        let log = folder.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_bindd"))
            .args(["dev", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false", "--log-as-json"])
            .args(["--app-port", &app.address().port().to_string()])
            .arg("--resources-path")
            .arg(folder.join("components"))
            .arg("--keep")
            .arg(folder.join("kept"))
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let http = until("the program to serve", async || http_address(&fs::read_to_string(&log).unwrap())).await;
        Self { child, http }
    }

    /// Puts a record and returns its text, if the response was 204.
    async fn put(&self, number: usize) -> Option<String> {
        let body =
            format!(r#"{{"operation":"create","data":{number},"metadata":{{"partitionKey":"key-{}"}}}}"#, number % 5);
        let response = calls::post(self.http, "/v1.0/bindings/orders", &body).await;
        (response.status == 204).then(|| number.to_string())
    }

    async fn kill(mut self) {
        within("the program to be killed", self.child.kill()).await.unwrap();
    }
}

fn http_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("bindd is serving"))?;
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    fields["addresses"].as_str()?.trim_matches(['[', ']']).parse().ok()
}

#[tokio::test]
async fn a_killed_program_loses_no_record() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    fs::write(folder.path().join("components/orders.yaml"), COMPONENTS).unwrap();
    let app = RecordingApp::start().await;
    let mut confirmed = Vec::new();
    for round in 0..3 {
        let program = Program::start(folder.path(), &app).await;
        for number in 0..30 {
            confirmed.extend(program.put(round * 100 + number).await);
        }
        let enough = 10 + round * 20;
        app.until("some deliveries", |events| events.iter().filter(|event| event.accepted).count() >= enough).await;
        program.kill().await;
    }
    assert_eq!(confirmed.len(), 90);
    let program = Program::start(folder.path(), &app).await;
    app.until_accepted(&confirmed).await;
    program.kill().await;
}

#[tokio::test]
async fn a_data_folder_is_used_by_one_program_at_a_time() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("components")).unwrap();
    fs::write(folder.path().join("components/orders.yaml"), COMPONENTS).unwrap();
    let app = RecordingApp::start().await;
    let program = Program::start(folder.path(), &app).await;
    let mut second = Command::new(env!("CARGO_BIN_EXE_bindd"));
    second.args(["demo", "--dapr-http-port", "0", "--keep"]).arg(folder.path().join("kept")).kill_on_drop(true);
    let output = within("the second program to exit", second.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another"), "{output:?}");
    program.kill().await;
}

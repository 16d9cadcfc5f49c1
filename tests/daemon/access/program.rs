//! Runs the `bindd` binary with component files and environment variables of a test.

use super::fake_aws::FakeAws;
use bindd::testing::within;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::Command;

/// Component files, a home folder, and environment variables for `bindd`.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Program {
    /// One Kinesis output `orders` with these additional items; instance metadata are disabled.
    pub(crate) fn new(items: &[(&str, &str)]) -> Self {
        let program = Self { folder: TempDir::new().unwrap(), variables: Vec::new() };
        fs::create_dir(program.folder.path().join("components")).unwrap();
        let mut list = vec![
            serde_json::json!({"name": "streamName", "value": "orders"}),
            serde_json::json!({"name": "region", "value": "eu-central-1"}),
        ];
        list.retain(|item| !items.iter().any(|(name, _)| item["name"] == *name));
        if !items.iter().any(|(name, _)| *name == "direction") {
            list.push(serde_json::json!({"name": "direction", "value": "output"}));
        }
        list.extend(items.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})));
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  type: \
             bindings.aws.kinesis\n  version: v1\n  metadata: {}\n",
            Value::from(list)
        );
        fs::write(program.folder.path().join("components/orders.yaml"), text).unwrap();
        program.with("AWS_EC2_METADATA_DISABLED", "true")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file below the home folder.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The command with these arguments, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command.args(arguments).arg("--resources-path").arg(self.path("components"));
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs `check --connect --json`; returns the exit code and the report.
    pub(crate) async fn probe(&self) -> (i32, Value) {
        let run = self.command(&["check", "--connect", "--json"]).output();
        let output = within("the check to end", run).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{output:?}"));
        (output.status.code().unwrap(), report)
    }

    /// Runs a check that must succeed; returns the reported identity and the access key that signed the call. The
    /// identity contains the last four characters of the key.
    pub(crate) async fn identity(&self, fake_aws: &FakeAws) -> (String, String) {
        let (code, report) = self.probe().await;
        let identity = report["access"][0]["identity"].as_str().unwrap_or_default().to_owned();
        assert_eq!(code, 0, "{report:#}");
        let signed = fake_aws.calls("DescribeStreamSummary").pop().unwrap().key;
        assert!(identity.contains(&format!("…{}", &signed[signed.len() - 4..])), "{identity} but {signed}");
        (identity, signed)
    }
}

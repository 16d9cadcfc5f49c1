//! §2.2, §2.10, §4.3, §4.5 and §4.6: the program itself, its log and its exit codes.

use bindd::testing::{until, within};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The program in a folder of its own, which it logs to.
struct Program {
    child: Child,
    folder: TempDir,
    log: &'static str,
}

impl Program {
    /// Logs to standard output with `--dapr-compat`, and to standard error without.
    fn start(is_compat: bool, args: &[&str], resources: Option<&Path>) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
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

    fn read(&self) -> String {
        fs::read_to_string(self.folder.path().join(self.log)).unwrap_or_default()
    }

    async fn line(&self, text: &str) -> String {
        until(text, async || self.read().lines().find(|line| line.contains(text)).map(str::to_owned)).await
    }

    async fn exit_code(&mut self) -> Option<i32> {
        within("the program to end", self.child.wait()).await.unwrap().code()
    }

    async fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        self.exit_code().await
    }
}

/// daprd's lines about a start without app and a stop, in their order.
#[tokio::test]
async fn the_log_has_the_lines_that_tools_wait_for() {
    for is_compat in [false, true] {
        let mut program = Program::start(is_compat, &[], None);
        program.line("dapr initialized. Status: Running. Init Elapsed ").await;
        assert_eq!(program.stop().await, Some(0), "2.10 a graceful stop");
        let log = program.read();
        let mut rest = log.as_str();
        for line in [
            "gRPC server listening on TCP address: ",
            "API gRPC server is running on port ",
            "Internal gRPC server is running on ",
            "dapr initialized. Status: Running. Init Elapsed ",
            "Received signal 'terminated'; beginning shutdown",
            "Dapr is shutting down",
            "Dapr runtime stopped",
            "Daprd shutdown gracefully",
        ] {
            let at = rest.find(line).unwrap_or_else(|| panic!("4.5 {line:?} is not in its place: {log}"));
            rest = &rest[at + line.len()..];
        }
        for absent in ["waiting on port", "application discovered on port"] {
            assert!(!log.contains(absent), "2.2 {absent:?} without an app port: {log}");
        }
    }
}

#[tokio::test]
async fn the_internal_port_accepts_connections_and_is_the_same_at_each_start() {
    let port_of = |line: &str| line.rsplit_once("127.0.0.1:").map(|(_, rest)| rest.to_owned());
    let mut first = Program::start(false, &[], None);
    let line = first.line("Internal gRPC server is running on ").await;
    let digits: String = port_of(&line).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let port: u16 = digits.parse().unwrap();
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    // A second sidecar of the app does without that port.
    let mut second = Program::start(false, &[], None);
    let line = second.line("Internal gRPC server is running on ").await;
    assert!(!line.contains(&format!("127.0.0.1:{port}")), "4.6 {line}");
    assert_eq!((first.stop().await, second.stop().await), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_faulty_file_ends_the_program_only_without_the_switch() {
    let folder = TempDir::new().unwrap();
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nspec: {type: \
                bindings.aws.kinesis, version: v1}\n";
    fs::write(folder.path().join("a.yaml"), text).unwrap();
    let mut own = Program::start(false, &[], Some(folder.path()));
    assert_eq!(own.exit_code().await, Some(1), "{}", own.read());
    assert!(own.read().contains("Fatal error from runtime: failed to load components: "), "3.1 {}", own.read());
    let mut compat = Program::start(true, &[], Some(folder.path()));
    let line = compat.line("Failed to init component orders (bindings.aws.kinesis/v1): ").await;
    assert!(line.contains(" level=warning ") || line.contains(" level=warn "), "{line}");
    compat.line("dapr initialized. Status: Running.").await;
    assert_eq!(compat.stop().await, Some(0));
    let mut missing = Program::start(true, &[], Some(&folder.path().join("none")));
    assert_eq!(missing.exit_code().await, Some(1), "3.1 a folder that does not exist is fatal in both");
    assert!(missing.read().contains("Fatal error from runtime: failed to load components: "), "{}", missing.read());
}

#[tokio::test]
async fn a_component_that_cannot_be_connected_ends_the_program_in_the_words_of_daprd() {
    let folder = TempDir::new().unwrap();
    for name in ["orders", "rows"] {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.aws.dynamodb\n  version: v1\n  metadata: [{{name: table, value: t}}, {{name: region, value: \
             us-east-1}}, {{name: caBundle, value: /no/such/bundle.pem}}]\n"
        );
        fs::write(folder.path().join(name).with_extension("yaml"), text).unwrap();
    }
    let mut program = Program::start(false, &[], Some(folder.path()));
    assert_eq!(program.exit_code().await, Some(1), "{}", program.read());
    let log = program.read();
    let failure = |name: &str| {
        format!("process component {name} error: [INIT_COMPONENT_FAILURE]: initialization error occurred for {name} (")
    };
    for name in ["orders", "rows"] {
        for begin in [format!("Failed to init component {name} ("), failure(name)] {
            assert!(log.contains(&begin), "3.3 {begin}: {log}");
        }
    }
    for begin in [
        "Error processing component, daprd will exit gracefully: ",
        "Fatal error from runtime: failed to load components: ",
    ] {
        assert!(log.contains(&(begin.to_owned() + &failure("orders"))), "3.3 {begin}: {log}");
    }
}

#[tokio::test]
async fn wrong_usage_is_refused_in_the_words_of_daprd() {
    for (says, args, words) in [
        ("4.6 unknown flag", &["--no-such-flag"][..], "--no-such-flag"),
        ("4.6 dots", &["--app-id", "a.b"], "parameter app-id cannot contain dots"),
        ("4.6 no app id", &["--app-id="], "parameter app-id cannot be empty"),
        (
            "4.6 one port twice",
            &["--app-port", "3500", "--dapr-http-port=3500"],
            "the 'dapr-http-port' argument value 3500 conflicts with 'app-port'",
        ),
        (
            "2.3 a time limit beyond the interval",
            &["--enable-app-health-check", "--app-health-probe-timeout", "6000"],
            "value for 'health-probe-timeout' must be smaller than 'health-probe-interval'",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        if !args.iter().any(|arg| arg.starts_with("--app-id")) {
            command.args(["--app-id", "shop"]);
        }
        let output = within(says, command.args(args).stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{says}: {error}");
        assert!(error.contains(words), "{says}: {error}");
    }
}

//! Signals and waiting, with the program itself.

use crate::environment::Environment;
use crate::fakes::{Behaviour, RecordingApp};
use bindd::settings::AppProtocol;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

/// The program, with the lines that it logs.
pub(crate) struct Program {
    child: Child,
    log: Lines<BufReader<pipe::Receiver>>,
}

impl Program {
    /// Starts a sidecar without components through a shell that first runs `before`.
    fn start(before: &str) -> Self {
        // A signal with a handler is at its default in a new program, also where the tests run under nohup.
        drop(tokio::signal::unix::signal(SignalKind::hangup()).unwrap());
        let mut command = Command::new("sh");
        let line =
            format!("{before} exec \"$0\" --app-id shop --dapr-http-port 0 --dapr-grpc-port 0 --enable-metrics=false");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_bindd")]);
        Self::spawn(&mut command)
    }

    /// Starts a sidecar without components, for an app.
    fn start_with(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command.args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"]);
        command.args(arguments);
        Self::spawn(&mut command)
    }

    /// Starts a sidecar with the components of an environment.
    fn start_for(env: &Environment, app: &RecordingApp) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command.args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"]);
        command.args(["--dapr-graceful-shutdown-seconds", "600", "--app-port", &app.address().port().to_string()]);
        command.arg("--resources-path").arg(&env.settings(None).resources_paths[0]);
        Self::spawn(&mut command)
    }

    /// Starts a sidecar that compares its files only when it is told to.
    pub(crate) fn start_unwatched(env: &Environment) -> Self {
        Self::start_without_app(env.folder(), "--watch=false")
    }

    /// Starts a sidecar that watches this folder.
    pub(crate) fn start_watching(folder: &Path) -> Self {
        Self::start_without_app(folder, "--watch=true")
    }

    fn start_without_app(folder: &Path, watch: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command.args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"]);
        command.arg(watch).arg("--resources-path").arg(folder);
        Self::spawn(&mut command)
    }

    /// Starts a sidecar with the components API, which needs this token.
    pub(crate) fn start_managed(folder: &Path, token: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command.args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"]);
        command.args(["--watch=false", "--enable-components-api"]).env("BINDD_ADMIN_TOKEN", token);
        command.arg("--resources-path").arg(folder);
        Self::spawn(&mut command)
    }

    /// The address of its HTTP API.
    pub(crate) async fn http_address(&mut self) -> SocketAddr {
        const TEXT: &str = "HTTP server listening on TCP address: ";
        let line = self.until_logged(TEXT).await;
        let address = line.split(TEXT).nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
        self.until_logged("bindd is serving").await;
        address
    }

    /// Kills the program once `work` is done. Its log is read meanwhile.
    pub(crate) async fn kill_after<T>(self, work: impl Future<Output = T>) -> T {
        let Self { mut child, mut log } = self;
        let killed = async {
            let result = work.await;
            child.start_kill().unwrap();
            child.wait().await.unwrap();
            result
        };
        tokio::join!(killed, async { while log.next_line().await.unwrap().is_some() {} }).0
    }

    fn spawn(command: &mut Command) -> Self {
        // With --dapr-compat, the log is on standard output.
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command
            .env_remove("NAMESPACE")
            .env_remove("DAPR_API_TOKEN")
            .env_remove("BINDD_ENABLE_COMPONENTS_API")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap()).lines();
        Self { child, log }
    }

    /// Reads the log up to a line with this text.
    pub(crate) async fn until_logged(&mut self, text: &str) -> String {
        self.lines_until(text).await.pop().unwrap()
    }

    /// The lines of the log up to one with this text.
    pub(crate) async fn lines_until(&mut self, text: &str) -> Vec<String> {
        let found = async {
            let mut lines = Vec::new();
            while let Some(line) = self.log.next_line().await.unwrap() {
                let is_last = line.contains(text);
                lines.push(line);
                if is_last {
                    return lines;
                }
            }
            panic!("the log ended without {text:?}")
        };
        bindd::testing::within(text, found).await
    }

    pub(crate) async fn send(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.pid()]).status().await.unwrap();
        assert!(sent.success());
    }

    fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    /// The exit code after SIGTERM.
    pub(crate) async fn stop(self) -> Option<i32> {
        self.send("TERM").await;
        self.exit_code().await
    }

    async fn exit_code(mut self) -> Option<i32> {
        // Read on, so that the program never waits for a reader.
        let rest = async { while self.log.next_line().await.unwrap().is_some() {} };
        bindd::testing::within("the log to end", rest).await;
        bindd::testing::within("the program to end", self.child.wait()).await.unwrap().code()
    }
}

#[tokio::test]
async fn a_hangup_compares_the_files_and_ends_nothing() {
    let mut program = Program::start("");
    program.until_logged("bindd is serving").await;
    for _ in 0..2 {
        program.send("HUP").await;
        program.until_logged("received signal 'hangup'").await;
    }
    assert_eq!(program.stop().await, Some(0));
}

/// The owners in the lease rows.
async fn owners(env: &Environment, table: &str) -> Vec<String> {
    let rows = env.dynamodb.scan().table_name(table).consistent_read(true).send().await.unwrap().items.unwrap();
    rows.iter().filter_map(|row| Some(row.get("leaseOwner")?.as_s().unwrap().clone())).collect()
}

#[tokio::test]
async fn a_second_signal_releases_the_leases_without_waiting_for_the_app() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    // Leases of a minute: without a release, the next sidecar would wait for so long.
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let all = env.put("orders", "order-", 5).await;
    let mut program = Program::start_for(&env, &app);
    app.until("the records", |events| events.len() == all.len()).await;
    program.send("TERM").await;
    for _ in 0..2 {
        program.until_logged("shard is being drained").await;
    }
    assert_eq!(owners(&env, "orders-in").await.len(), 2, "the first signal waits for the app");
    program.send("TERM").await;
    assert_eq!(program.exit_code().await, Some(143));
    assert_eq!(owners(&env, "orders-in").await, Vec::<String>::new());

    app.behave(Behaviour::Respond(200));
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    sidecar.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hangup_that_is_ignored_from_the_start_stays_ignored() {
    for (before, is_ignored) in [("trap '' HUP;", true), ("", false)] {
        let mut program = Program::start(before);
        program.until_logged("bindd is serving").await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 1 == 1, is_ignored, "{before} {mask}");
        assert_eq!(program.stop().await, Some(0));
    }
}

/// The last lines are those that tools of Dapr wait for.
#[tokio::test]
async fn a_block_ends_when_it_is_over_and_then_the_shutdown_is_graceful() {
    let mut program = Program::start_with(&["--dapr-block-shutdown-duration", "100ms"]);
    program.until_logged("dapr initialized. Status: Running. Init Elapsed ").await;
    program.send("INT").await;
    for line in [
        "Received signal 'interrupt'; beginning shutdown",
        "Blocking graceful shutdown for 100ms or until app reports unhealthy...",
        "Block shutdown period expired, entering shutdown...",
        "Dapr is shutting down",
        "Dapr runtime stopped",
        "Daprd shutdown gracefully",
    ] {
        program.until_logged(line).await;
    }
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_a_block_with_the_code_of_the_signal_or_of_daprd() {
    for (compat, code) in [("--dapr-compat=false", 143), ("--dapr-compat", 1)] {
        let mut program =
            Program::start_with(&["--dapr-block-shutdown-duration", "3m", compat, "--log-file=/dev/stderr"]);
        program.until_logged("dapr initialized").await;
        program.send("TERM").await;
        program.until_logged("Blocking graceful shutdown for 3m0s or until app reports unhealthy...").await;
        program.send("TERM").await;
        program.until_logged("Received signal 'terminated' during shutdown; exiting immediately").await;
        assert_eq!(program.exit_code().await, Some(code));
    }
}

#[tokio::test]
async fn the_port_of_the_app_is_waited_for() {
    let mut app = RecordingApp::start_over(AppProtocol::Https).await;
    app.stop().await;
    let port = app.address().port().to_string();
    let mut program = Program::start_with(&["--app-protocol", "HTTPS", "--app-port", &port]);
    let waiting = format!("application protocol: https. waiting on port {port}.  This will block until the app is");
    program.until_logged(&waiting).await;
    app.start_again().await;
    program.until_logged(&format!("application discovered on port {port}")).await;
    program.until_logged("dapr initialized. Status: Running. Init Elapsed ").await;
    assert_eq!(program.stop().await, Some(0));
}

async fn wait_for(address: SocketAddr) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
    command.args(["./daprd", "--wait", "--dapr-http-port", &address.port().to_string()]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    bindd::testing::within("the wait to end", output).await.unwrap().status.code()
}

#[tokio::test]
async fn wait_ends_with_a_sidecar_that_is_ready() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    assert_eq!(wait_for(sidecar.address()).await, Some(0));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_token_with_a_line_break_stops_the_start() {
    for (name, token) in [("DAPR_API_TOKEN", "s3cret\n"), ("APP_API_TOKEN", "s3 cret")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        command
            .args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"])
            .env(name, token);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = bindd::testing::within("the program to end", output).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(name) && !stderr.contains("s3"), "{stderr}");
    }
}

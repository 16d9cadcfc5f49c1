//! Signals and waiting, with the program itself.

use crate::environment::Environment;
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::signal::unix::SignalKind;

/// The program, with the lines that it logs.
struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts a sidecar without components through a shell that first runs `before`.
    fn start(before: &str) -> Self {
        // A signal with a handler is at its default in a new program, also where the tests run under nohup.
        drop(tokio::signal::unix::signal(SignalKind::hangup()).unwrap());
        let mut command = Command::new("sh");
        let line = format!("{before} exec \"$0\" --app-id shop --dapr-http-port 0 --enable-metrics=false");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_bindd")]).env_remove("NAMESPACE").env_remove("DAPR_API_TOKEN");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Reads the log up to a line with this text.
    async fn until_logged(&mut self, text: &str) -> String {
        let found = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the log ended without {text:?}")
        };
        bindd::testing::within(text, found).await
    }

    async fn send(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.pid()]).status().await.unwrap();
        assert!(sent.success());
    }

    fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    /// The exit code after SIGTERM.
    async fn stop(mut self) -> Option<i32> {
        self.send("TERM").await;
        // Read on, so that the program never waits for a reader.
        let rest = async { while self.log.next_line().await.unwrap().is_some() {} };
        bindd::testing::within("the log to end", rest).await;
        bindd::testing::within("the program to end", self.child.wait()).await.unwrap().code()
    }
}

#[tokio::test]
async fn a_hangup_is_logged_and_ends_nothing() {
    let mut program = Program::start("");
    program.until_logged("bindd is serving").await;
    for _ in 0..2 {
        program.send("HUP").await;
        program.until_logged("signal 'hangup' was ignored").await;
    }
    assert_eq!(program.stop().await, Some(0));
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
        command.args(["--app-id", "shop", "--dapr-http-port", "0", "--enable-metrics=false"]).env(name, token);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = bindd::testing::within("the program to end", output).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(name) && !stderr.contains("s3"), "{stderr}");
    }
}

//! A program that uses an SDK, in a process of its own. It prints one JSON line for each check.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Far more than a program needs on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a failed program gets to end.
const GRACE: Duration = Duration::from_secs(10);

/// One line: the name of a check and what the SDK returned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) check: String,
    pub(crate) result: Value,
}

impl Fact {
    /// None for a line that the SDK itself logged.
    fn parse(line: &str) -> Option<Self> {
        let mut line: Value = serde_json::from_str(line).ok()?;
        Some(Self { check: line.get("check")?.as_str()?.to_owned(), result: line.get_mut("result")?.take() })
    }
}

/// Dropping it kills the process.
pub(crate) struct Program {
    name: String,
    process: Child,
    facts: watch::Receiver<Vec<Fact>>,
    /// All other lines, for the message of a failure.
    log: Arc<Mutex<Vec<String>>>,
    readers: JoinSet<()>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{:?}", command.as_std());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let (sender, facts) = watch::channel(Vec::new());
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut readers = JoinSet::new();
        let (output, errors) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let add = |log: &Arc<Mutex<Vec<String>>>| {
            let log = Arc::clone(log);
            move |line| log.lock().unwrap().push(line)
        };
        let other = add(&log);
        readers.spawn(read(output, move |line| match Fact::parse(&line) {
            Some(fact) => sender.send_modify(|facts| facts.push(fact)),
            None => other(line),
        }));
        readers.spawn(read(errors, add(&log)));
        Self { name, process, facts, log, readers }
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.facts.borrow().clone()
    }

    /// Waits until the facts so far meet a condition. Fails with the program's log if it ends before, or takes too long.
    pub(crate) async fn until(&mut self, what: &str, mut is_met: impl FnMut(&[Fact]) -> bool) {
        let outcome = timeout(LIMIT, self.facts.wait_for(|facts| is_met(facts))).await.map(|met| met.map(drop));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.fail(&format!("ended before: {what}")).await,
            Err(_) => self.fail(&format!("timed out: {what}")).await,
        }
    }

    /// The output of a future. Fails with the program's log if the program ends before, or it takes too long.
    pub(crate) async fn during<T>(&mut self, what: &str, work: impl Future<Output = T>) -> T {
        let outcome = tokio::select! {
            outcome = timeout(LIMIT, work) => outcome.map_err(|_| format!("timed out: {what}")),
            status = self.process.wait() => Err(format!("ended with {status:?} before: {what}")),
        };
        match outcome {
            Ok(value) => value,
            Err(error) => self.fail(&error).await,
        }
    }

    /// Sends what Ctrl-C sends.
    pub(crate) fn interrupt(&self) {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        kill_process(id, Signal::INT).unwrap();
    }

    /// Waits until it ends with success; returns its facts.
    pub(crate) async fn finish(mut self) -> Vec<Fact> {
        match timeout(LIMIT, self.process.wait()).await {
            Ok(status) if status.as_ref().unwrap().success() => {}
            Ok(status) => self.fail(&status.unwrap().to_string()).await,
            Err(_) => self.fail("timed out").await,
        }
        while self.readers.join_next().await.is_some() {}
        self.facts()
    }

    async fn fail(&mut self, what: &str) -> ! {
        // First as Ctrl-C does: killed at once, `bindd dev` would leave its app behind.
        if self.process.id().is_some() {
            self.interrupt();
        }
        if timeout(GRACE, self.process.wait()).await.is_err() {
            self.process.kill().await.unwrap();
        }
        // The pipes stay open as long as a child of the program lives.
        drop(timeout(GRACE, async { while self.readers.join_next().await.is_some() {} }).await);
        let log = self.log.lock().unwrap().join("\n");
        panic!("{}: {what}; facts: {:#?}; log:\n{log}", self.name, self.facts());
    }
}

async fn read(pipe: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}

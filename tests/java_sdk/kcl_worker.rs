//! A worker of the Kinesis Client Library 2.7.2 in a process of its own.

use crate::environment::Environment;
use crate::maven::build;
use bindd::tasks::Supervisor;
use bindd::testing::{until, within};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Also the `failoverTimeMillis` of the library. Long enough for two JVMs and a test on two cores.
pub(crate) const LEASE_MILLIS: u64 = 4_000;
pub(crate) const STREAM: &str = "orders";
pub(crate) const TABLE: &str = "orders-in";

/// The class path of the worker.
pub(crate) struct Kcl(String);

impl Kcl {
    pub(crate) async fn build() -> Self {
        Self(build("kcl", "kcl").await)
    }

    /// Starts a worker on the stream [`STREAM`] and the lease table [`TABLE`].
    pub(crate) fn start(&self, env: &Environment, worker: &str) -> KclWorker {
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-cp", &self.0, "KclConsumer", &env.kinesis_url(), &env.dynamodb_url(), STREAM, TABLE]);
        java.args([worker, &LEASE_MILLIS.to_string()]);
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = java.spawn().unwrap();
        let input = process.stdin.take();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Supervisor::new();
        readers.spawn("output", read(process.stdout.take().unwrap(), Arc::clone(&lines)));
        readers.spawn("log", read(process.stderr.take().unwrap(), Arc::clone(&log)));
        KclWorker { process, input, lines, log, readers }
    }
}

async fn read(pipe: impl tokio::io::AsyncRead + Unpin, into: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        into.lock().unwrap().push(line);
    }
}

/// Dropping it kills the process.
pub(crate) struct KclWorker {
    process: Child,
    input: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<Vec<String>>>,
    readers: Supervisor<()>,
}

impl KclWorker {
    /// Texts of the records that it processed, in order.
    pub(crate) fn records(&self) -> Vec<String> {
        self.after("record ")
    }

    /// The shards whose leases it took, in order, also repeatedly.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.after("lease ")
    }

    fn after(&self, word: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
    }

    /// Fails with the library's log if the library could not read the table or the stream.
    pub(crate) fn assert_well(&self) {
        let log = self.log.lock().unwrap();
        let failures: Vec<_> = log.iter().filter(|line| is_failure(line)).take(20).collect();
        assert!(failures.is_empty(), "the KCL logged: {failures:#?}");
    }

    /// Waits until it processed all these records.
    pub(crate) async fn until_processed(&self, texts: &[String]) {
        let what = format!("the KCL to process {} of {}", texts.len(), texts.first().map_or("nothing", String::as_str));
        until(&what, async || {
            let records = self.records();
            texts.iter().all(|text| records.contains(text)).then_some(())
        })
        .await;
    }

    /// Stops it as an application does that is replaced; returns what it processed.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        drop(self.input.take());
        let status = within("the KCL to stop", self.process.wait()).await.unwrap();
        assert!(status.success(), "{status}: {:?}", self.log.lock().unwrap());
        self.assert_well();
        self.end().await
    }

    /// Kills it as `kill -9` does; returns what it processed.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.process.kill().await.unwrap();
        self.end().await
    }

    async fn end(self) -> Vec<String> {
        let Self { lines, mut readers, .. } = self;
        within("the output of the KCL to end", async { while readers.next().await.is_some() {} }).await;
        let lines = lines.lock().unwrap();
        lines.iter().filter_map(|line| line.strip_prefix("record ")).map(str::to_owned).collect()
    }
}

/// Lines that mean that the library could not work with a row or an answer. A lost race is none of them.
fn is_failure(line: &str) -> bool {
    ["NullPointerException", "IllegalArgumentException", "DependencyException", "ResourceNotFoundException"]
        .iter()
        .any(|word| line.contains(word))
}

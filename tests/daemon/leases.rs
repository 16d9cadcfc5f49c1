//! `bindd leases` against the lease table of a sidecar that runs, or that was stopped.

use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::domain::Stop;
use bindd::program::{ExitReport, execute};
use bindd::settings;
use bindd::testing::until;
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const TABLE: &str = "orders-in";

type Row = HashMap<String, AttributeValue>;

impl Environment {
    /// Runs `bindd leases`; in `line`, `@` is the folder of components.
    async fn leases(&self, line: &str) -> ExitReport {
        let folder = self.settings(None).resources_paths[0].display().to_string();
        let args = format!("bindd leases {line} --resources-path {folder}").replace('@', &folder);
        let command = settings::parse(args.split_whitespace().map(OsString::from)).unwrap();
        Box::pin(execute(command, &Stop::new())).await
    }

    /// As [`Self::leases`], which must succeed.
    async fn leases_ok(&self, line: &str) -> String {
        let report = self.leases(line).await;
        assert_eq!((report.code, report.error.as_str()), (0, ""), "{line}: {report:?}");
        report.output
    }

    async fn listed(&self) -> Vec<Value> {
        let output = self.leases_ok("list --json").await;
        let mut list: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(list["table"], TABLE);
        serde_json::from_value(list["leases"].take()).unwrap()
    }

    async fn rows(&self) -> Vec<Row> {
        let response = self.dynamodb.scan().table_name(TABLE).consistent_read(true).send().await.unwrap();
        let mut rows = response.items.unwrap();
        rows.sort_by_key(|row| row["leaseKey"].as_s().unwrap().clone());
        rows
    }

    /// A stream of two shards, and an input whose leases were created by a sidecar that was stopped.
    async fn with_leases() -> Self {
        let (env, _app, sidecar, _first) = reading(2).await;
        sidecar.stop().await;
        env
    }

    /// Reads with a new sidecar and app until these records were accepted.
    async fn read(&self, texts: &[String]) -> RecordingApp {
        let app = RecordingApp::start().await;
        let sidecar = self.sidecar(Some(&app)).await;
        app.until_accepted(texts).await;
        sidecar.stop().await;
        app
    }
}

/// A sidecar with short leases that reads a stream, and whose app has accepted ten records.
async fn reading(shards: i32) -> (Environment, RecordingApp, Sidecar, Vec<String>) {
    let env = Environment::start().await;
    env.stream("orders", shards).await;
    env.input_with_short_leases(TABLE, "orders", "shared");
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let first = env.put("orders", "first-", 10).await;
    app.until_accepted(&first).await;
    (env, app, sidecar, first)
}

fn count(app: &RecordingApp, text: &str) -> usize {
    app.accepted().iter().filter(|accepted| *accepted == text).count()
}

#[tokio::test]
async fn leases_are_listed_while_a_sidecar_reads() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input(TABLE, "orders", "shared");
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let all = env.put("orders", "order-", 10).await;
    app.until_accepted(&all).await;
    let listed = until("both leases to be held and checkpointed", async || {
        let listed = env.listed().await;
        let is_read = |lease: &Value| lease["state"] == "held" && lease["checkpoint"].as_str().unwrap().len() > 20;
        (listed.len() == 2 && listed.iter().all(is_read)).then_some(listed)
    })
    .await;
    assert_eq!((&listed[0]["shard"], &listed[0]["startingHashKey"]), (&"shardId-000000000000".into(), &"0".into()));
    assert!(listed[0]["counter"].as_u64().unwrap() > 0 && listed[0]["stream"].as_str().unwrap().contains("orders"));
    let text = env.leases_ok("list").await;
    assert!(text.starts_with("SHARD ") && text.contains("0000-7fff") && text.contains("8000-ffff"), "{text}");
    assert!(text.ends_with(&format!("table {TABLE}: 2 held, 0 in a handoff, 0 free, 0 ended\n")), "{text}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_seek_moves_a_running_worker_and_its_old_progress_is_not_stored() {
    let (env, app, sidecar, first) = reading(1).await;
    until("the progress to be stored", async || {
        env.listed().await.first().is_some_and(|lease| lease["checkpoint"].as_str().unwrap().len() > 20).then_some(())
    })
    .await;
    // A delivery is in flight at the old position while the seek is made.
    app.behave(Behaviour::Hold);
    let second = env.put("orders", "second-", 5).await;
    app.until("a delivery", |events| events.iter().any(|event| event.text().starts_with("second-"))).await;
    let output = env.leases_ok("seek shardId-000000000000 --to trim_horizon").await;
    assert!(output.contains("-> TRIM_HORIZON, owner ") && output.contains("1 changed"), "{output}");
    app.behave(Behaviour::Respond(200));
    until("the first records to come again", async || first.iter().all(|text| count(&app, text) >= 2).then_some(()))
        .await;
    app.until_accepted(&second).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_seek_to_latest_or_to_a_time_skips_what_arrived_before() {
    let env = Environment::with_leases().await;
    let old = env.put("orders", "old-", 10).await;
    env.until_older_than("orders", Duration::from_millis(2_500)).await;
    env.leases_ok("seek --all --to latest").await;
    for row in env.rows().await {
        assert_eq!(row["checkpoint"].as_s().unwrap(), "LATEST");
        assert!(row.contains_key("bdStartTs") && !row.contains_key("leaseOwner"), "{row:?}");
    }
    let new = env.put("orders", "new-", 10).await;
    let app = env.read(&new).await;
    assert!(old.iter().all(|text| count(&app, text) == 0), "{:?}", app.accepted());

    env.leases_ok("seek --all --to 1970-01-01T00:00:10Z").await;
    assert!(env.rows().await.iter().all(|row| row["bdStartTs"].as_n().unwrap() == "10000"));
    env.read(&[old, new].concat()).await;
}

#[tokio::test]
async fn a_seek_to_a_sequence_number_continues_after_it() {
    let env = Environment::with_leases().await;
    let put = env.kinesis.put_record().stream_name("orders").partition_key("key-0");
    let done = put.data(aws_sdk_kinesis::primitives::Blob::new(b"done")).send().await.unwrap();
    let (shard, sequence) = (done.shard_id, done.sequence_number);
    env.leases_ok(&format!("seek {shard} --to {sequence}")).await;
    let put = env.kinesis.put_record().stream_name("orders").partition_key("key-0");
    put.data(aws_sdk_kinesis::primitives::Blob::new(b"next")).send().await.unwrap();
    let app = env.read(&["next".to_owned()]).await;
    assert_eq!(app.accepted(), ["next"]);
}

#[tokio::test]
async fn a_released_lease_is_taken_again_and_no_record_is_lost() {
    let (env, app, sidecar, _first) = reading(2).await;
    let output = env.leases_ok("release --all").await;
    assert!(output.ends_with("2 changed, 0 unchanged, 0 failed\n"), "{output}");
    let rest = env.put("orders", "rest-", 10).await;
    app.until_accepted(&rest).await;
    sidecar.stop().await;
    let output = env.leases_ok("release --all").await;
    assert!(output.contains("has no owner") && output.contains("0 changed, 2 unchanged"), "{output}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let env = Environment::with_leases().await;
    let file = "@/leases.jsonl";
    env.leases_ok(&format!("export --file {file}")).await;
    let before = env.rows().await;
    let output = env.leases_ok("seek --all --to trim_horizon --dry-run").await;
    assert_eq!(output.matches("would change").count(), 2, "{output}");
    assert!(output.ends_with("dry run: nothing was changed\n"), "{output}");
    env.leases_ok("release --all --dry-run").await;
    assert_eq!(env.rows().await, before);
    env.leases_ok("seek --all --to trim_horizon").await;
    let before = env.rows().await;
    let output = env.leases_ok(&format!("import --file {file} --dry-run")).await;
    assert_eq!(output.matches("would change").count(), 2, "{output}");
    assert_eq!(env.rows().await, before);
}

#[tokio::test]
async fn progress_moves_to_another_table_by_export_and_import() {
    let env = Environment::with_leases().await;
    let lines = env.leases_ok("export").await;
    assert_eq!(lines.lines().count(), 2);
    env.leases_ok("export --file @/leases.jsonl").await;
    // The same input with another lease table.
    env.kinesis_component(
        TABLE,
        &[
            ("streamName", "orders"),
            ("consumerName", "moved"),
            ("initialPosition", "trim_horizon"),
            ("leaseDuration", "2s"),
        ],
    );
    let output = env.leases_ok("import --file @/leases.jsonl").await;
    assert!(output.contains("created at 4") && output.ends_with("2 changed, 0 unchanged, 0 failed\n"), "{output}");
    assert!(env.leases_ok("import --file @/leases.jsonl").await.contains("0 changed, 2 unchanged"));
    let rest = env.put("orders", "rest-", 10).await;
    let app = env.read(&rest).await;
    assert!(app.accepted().iter().all(|text| text.starts_with("rest-")), "{:?}", app.accepted());
    let back = env.leases("import --file @/leases.jsonl").await;
    assert!(back.code == 1 && back.error.contains("--move-back"), "{back:?}");
    assert!(env.leases_ok("import --file @/leases.jsonl --move-back").await.contains("2 changed"));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_to_do() {
    let env = Environment::with_leases().await;
    env.file("other.jsonl", "{\"shard\":\"shardId-000000000000\",\"checkpoint\":\"5\",\"stream\":\"invoices\"}\n");
    let key = ("leaseKey".to_owned(), AttributeValue::S("shardId-000000000009".to_owned()));
    let before = env.rows().await;
    for (line, hint) in [
        ("seek shardId-000000000007 --to latest", "has leases of shardId-000000000000, shardId-000000000001"),
        ("import --file @/other.jsonl", "`invoices`"),
        ("import --file @/missing.jsonl", "bindd leases export"),
        ("list --component missing", "there are: orders-in"),
        ("export --file @/no/such/folder", "name another file"),
    ] {
        let report = env.leases(line).await;
        assert!(report.code == 1 && report.error.contains(hint), "{line}: {report:?}");
    }
    env.dynamodb.put_item().table_name(TABLE).set_item(Some(HashMap::from([key]))).send().await.unwrap();
    let list = env.leases("list").await;
    assert!(list.code == 1 && list.error.contains("shardId-000000000009"), "{list:?}");
    assert!(list.output.contains("shardId-000000000001"), "{list:?}");
    let seek = env.leases("seek --all --to latest").await;
    assert!(seek.code == 1 && seek.error.contains("nothing was changed"), "{seek:?}");
    assert_eq!(env.rows().await[..2], before[..]);
    env.kinesis_component(TABLE, &[("streamName", "orders")]);
    let list = env.leases("list").await;
    assert!(list.code == 1 && list.error.contains("--app-id"), "{list:?}");
    let list = env.leases("list --app-id shop").await;
    assert!(list.code == 1 && list.error.contains("no lease table `shop-orders-in`"), "{list:?}");
}

#[tokio::test]
async fn the_program_reads_a_table_that_is_named() {
    let env = Environment::with_leases().await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_bindd"));
    program.args(["leases", "list", "--table", TABLE, "--region", "us-east-1", "--endpoint", &env.dynamodb_url()]);
    program.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").stdin(Stdio::null());
    let output = program.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("2 free"), "{text} {}", String::from_utf8_lossy(&output.stderr));
}

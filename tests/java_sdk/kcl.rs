//! The Kinesis Client Library 2.7.2 and bindd take over from each other in one lease table, and share its shards.
//!
//! Invariant: each record is processed by one of them. Where a worker stopped cleanly, none is processed twice.

use crate::environment::Environment;
use crate::fakes::RecordingApp;
use crate::kcl_worker::{Kcl, KclWorker, LEASE_MILLIS, STREAM, TABLE};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::domain::Stop;
use bindd::program::execute;
use bindd::settings;
use bindd::testing::until;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;

type Row = HashMap<String, AttributeValue>;

const SHARDS: i32 = 4;

async fn environment() -> Environment {
    let env = Environment::start().await;
    env.stream(STREAM, SHARDS).await;
    let lease = format!("{LEASE_MILLIS}ms");
    env.kinesis_component(
        TABLE,
        &[
            ("streamName", STREAM),
            ("consumerName", TABLE),
            ("initialPosition", "trim_horizon"),
            ("leaseDuration", &lease),
            ("direction", "input"),
        ],
    );
    env
}

/// The lease rows by shard.
async fn rows(env: &Environment) -> BTreeMap<String, Row> {
    let rows = env.dynamodb.scan().table_name(TABLE).consistent_read(true).send().await.unwrap().items.unwrap();
    rows.into_iter().map(|row| (row["leaseKey"].as_s().unwrap().clone(), row)).collect()
}

/// The owners of the shards, without those that none holds.
async fn owners(env: &Environment) -> Vec<String> {
    let rows = rows(env).await;
    rows.values().filter_map(|row| Some(row.get("leaseOwner")?.as_s().unwrap().clone())).collect()
}

/// Waits until the checkpoints have reached every record that was put.
async fn until_all_checkpointed(env: &Environment, last: &BTreeMap<String, String>) {
    until("the checkpoints to reach the last records", async || {
        let rows = rows(env).await;
        let is_reached = |(shard, sequence): (&String, &String)| {
            rows.get(shard)?.get("checkpoint")?.as_s().ok().map(|c| c == sequence)
        };
        last.iter().all(|entry| is_reached(entry) == Some(true)).then_some(())
    })
    .await;
}

/// Puts records and keeps the last sequence number of each shard.
struct Producer<'e> {
    env: &'e Environment,
    all: Vec<String>,
    last: BTreeMap<String, String>,
}

impl<'e> Producer<'e> {
    const fn new(env: &'e Environment) -> Self {
        Self { env, all: Vec::new(), last: BTreeMap::new() }
    }

    async fn put(&mut self, prefix: &str, count: usize) -> Vec<String> {
        let texts: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
        for (number, text) in texts.iter().enumerate() {
            let data = aws_sdk_kinesis::primitives::Blob::new(text.as_bytes());
            let request = self.env.kinesis.put_record().stream_name(STREAM).data(data);
            let put = request.partition_key(format!("key-{}", number % 16)).send().await.unwrap();
            self.last.insert(put.shard_id, put.sequence_number);
        }
        assert_eq!(self.last.len(), usize::try_from(SHARDS).unwrap(), "each shard was meant to get records");
        self.all.extend(texts.clone());
        texts
    }

    /// Each record was processed by one of the workers.
    fn assert_nothing_lost(&self, processed: &[Vec<String>]) {
        let processed: BTreeSet<&String> = processed.iter().flatten().collect();
        let lost: Vec<_> = self.all.iter().filter(|text| !processed.contains(text)).collect();
        assert!(lost.is_empty(), "{} of {} records were lost: {lost:?}", lost.len(), self.all.len());
    }
}

/// No record twice.
fn assert_no_duplicates(texts: &[String]) {
    let once: BTreeSet<&String> = texts.iter().collect();
    assert_eq!(once.len(), texts.len(), "{texts:?}");
}

/// Puts rounds of records until a condition holds.
async fn put_until(producer: &mut Producer<'_>, prefix: &str, is_met: impl AsyncFn() -> bool) {
    let mut round = 0;
    until(prefix, async || {
        round += 1;
        producer.put(&format!("{prefix}-{round}"), 16).await;
        is_met().await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kcl_and_bindd_take_over_from_each_other_and_read_nothing_twice() {
    let (kcl, env) = (Kcl::build().await, environment().await);
    let mut producer = Producer::new(&env);
    let first_worker = kcl.start(&env, "kcl-1");
    let first = producer.put("first", 48).await;
    first_worker.until_processed(&first).await;
    until_all_checkpointed(&env, &producer.last).await;
    let by_kcl = first_worker.stop().await;
    assert_no_duplicates(&by_kcl);
    let foreign = rows(&env).await;
    assert!(foreign.values().all(|row| row["leaseOwner"].as_s().unwrap() == "kcl-1"), "{foreign:?}");

    let second = producer.put("second", 48).await;
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&second).await;
    until_all_checkpointed(&env, &producer.last).await;
    sidecar.stop().await;
    assert_eq!(app.accepted().into_iter().collect::<BTreeSet<_>>(), second.iter().cloned().collect());
    assert_no_duplicates(&app.accepted());
    let ours = rows(&env).await;
    for (shard, row) in &ours {
        let missing: Vec<_> =
            foreign[shard].keys().filter(|name| *name != "leaseOwner" && !row.contains_key(*name)).collect();
        assert!(missing.is_empty(), "bindd removed {missing:?} of {shard}");
        assert!(!row.contains_key("leaseOwner") && row.contains_key("bdStream"), "{row:?}");
    }

    let third_worker = kcl.start(&env, "kcl-2");
    let third = producer.put("third", 48).await;
    third_worker.until_processed(&third).await;
    until_all_checkpointed(&env, &producer.last).await;
    let again = rows(&env).await;
    for (shard, row) in &again {
        let own = ours[shard].iter().filter(|(name, _)| name.starts_with("bd"));
        assert!(
            own.clone().count() > 0 && own.into_iter().all(|(name, value)| row.get(name) == Some(value)),
            "{row:?}"
        );
    }
    let by_kcl_again = third_worker.stop().await;
    assert_eq!(by_kcl_again.iter().cloned().collect::<BTreeSet<_>>(), third.into_iter().collect());
    assert_no_duplicates(&by_kcl_again);
    producer.assert_nothing_lost(&[by_kcl, app.accepted(), by_kcl_again]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kcl_and_bindd_share_a_stream_and_each_takes_over_when_the_other_is_killed() {
    let (kcl, env) = (Kcl::build().await, environment().await);
    let mut producer = Producer::new(&env);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let first = producer.put("alone", 16).await;
    app.until_accepted(&first).await;

    let worker = kcl.start(&env, "kcl-1");
    put_until(&mut producer, "joined", async || has_work(&worker) && shares(&env, "kcl-1", 2).await).await;
    let (by_app, by_kcl) = (app.accepted().len(), worker.records().len());
    put_until(&mut producer, "shared", async || {
        app.accepted().len() >= by_app + 40 && worker.records().len() >= by_kcl + 40
    })
    .await;
    worker.assert_well();
    let mut processed = vec![worker.kill().await];
    let rest = producer.put("killed", 32).await;
    app.until_accepted(&rest).await;

    let worker = kcl.start(&env, "kcl-2");
    put_until(&mut producer, "joined-again", async || has_work(&worker) && shares(&env, "kcl-2", 2).await).await;
    sidecar.crash();
    let rest = producer.put("crashed", 32).await;
    worker.until_processed(&rest).await;
    until_all_checkpointed(&env, &producer.last).await;
    assert!(worker.taken().len() >= 4, "{:?}", worker.taken());
    processed.extend([worker.stop().await, app.accepted()]);
    producer.assert_nothing_lost(&processed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bindd_joins_a_live_worker_of_the_kcl_takes_its_share_only_and_the_rest_when_the_other_is_killed() {
    let (kcl, env) = (Kcl::build().await, environment().await);
    let mut producer = Producer::new(&env);
    let worker = kcl.start(&env, "kcl-1");
    let first = producer.put("alone", 32).await;
    worker.until_processed(&first).await;

    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    put_until(&mut producer, "joined", async || shares_of(&env, "kcl-1").await == (2, 2)).await;
    let (by_app, by_kcl) = (app.accepted().len(), worker.records().len());
    put_until(&mut producer, "shared", async || {
        // Neither takes from the other any more.
        assert_eq!(shares_of(&env, "kcl-1").await, (2, 2));
        app.accepted().len() >= by_app + 60 && worker.records().len() >= by_kcl + 60
    })
    .await;
    worker.assert_well();
    let by_kcl = worker.kill().await;
    let rest = producer.put("killed", 32).await;
    app.until_accepted(&rest).await;
    assert_eq!(shares_of(&env, "kcl-1").await, (0, 4));
    sidecar.stop().await;
    producer.assert_nothing_lost(&[by_kcl, app.accepted()]);
}

/// How many shards a worker owns, and how many others own.
async fn shares_of(env: &Environment, worker: &str) -> (usize, usize) {
    let owners = owners(env).await;
    let own = owners.iter().filter(|owner| *owner == worker).count();
    (own, owners.len() - own)
}

fn has_work(worker: &KclWorker) -> bool {
    !worker.records().is_empty()
}

/// Whether this worker owns at least this many shards and another worker the rest.
async fn shares(env: &Environment, worker: &str, count: usize) -> bool {
    let (own, others) = shares_of(env, worker).await;
    own >= count && others > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_the_kcl_follows_a_seek_and_a_release() {
    let (kcl, env) = (Kcl::build().await, environment().await);
    let mut producer = Producer::new(&env);
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let first = producer.put("first", 32).await;
    app.until_accepted(&first).await;
    sidecar.stop().await;

    let worker = kcl.start(&env, "kcl-1");
    let second = producer.put("second", 32).await;
    worker.until_processed(&second).await;
    until_all_checkpointed(&env, &producer.last).await;
    // A worker of the KCL cannot be requested to drain.
    leases(&env, "seek --all --to trim_horizon --force").await;
    worker.until_processed(&first).await;
    until("the second records to come again", async || {
        let records = worker.records();
        second.iter().all(|text| records.iter().filter(|record| *record == text).count() >= 2).then_some(())
    })
    .await;
    leases(&env, "release --all --force").await;
    let third = producer.put("third", 32).await;
    worker.until_processed(&third).await;
    let records = worker.stop().await;
    producer.assert_nothing_lost(&[records]);
}

/// Runs `bindd leases` for the component of the environment.
async fn leases(env: &Environment, line: &str) {
    let folder = env.settings(None).resources_paths[0].display().to_string();
    let args = format!("bindd leases {line} --resources-path {folder}");
    let command = settings::parse(args.split_whitespace().map(OsString::from)).unwrap();
    let report = Box::pin(execute(command, &Stop::new())).await;
    assert!(report.code == 0 && report.output.contains("4 changed"), "{report:?}");
}

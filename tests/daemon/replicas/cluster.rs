//! Three sidecars on one stream and one lease table, each behind the fault-injecting proxies.

use super::app::App;
use super::facts::Facts;
use super::load::Load;
use super::proxy::{Fault, Proxy, Rule};
use super::worker::Worker;
use crate::resharding::middle;
use aws_sdk_kinesis::types::{Shard, StreamStatus};
use bindd::embedded::{Aws, EmbeddedSettings};
use bindd::testing::until;
use std::fmt::Write as _;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const WORKERS: usize = 3;
const STREAM: &str = "orders";
/// Time between two records of a key.
const PACE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mode: &'static str,
    pub(crate) lease: &'static str,
    pub(crate) shards: i32,
    /// Whether the proxies inject random faults.
    pub(crate) has_faults: bool,
    /// Whether records may be delivered twice.
    pub(crate) may_repeat: bool,
}

impl Setup {
    /// Leases that expire soon, and random faults.
    pub(crate) const FAULTY: Self = Self { mode: "shared", lease: "2s", shards: 4, has_faults: true, may_repeat: true };
    /// Leases that do not expire on a slow machine, and no faults: nothing may be delivered twice.
    pub(crate) const CLEAN: Self = Self { lease: "30s", has_faults: false, may_repeat: false, ..Self::FAULTY };
}

/// Faults of all calls of both services, some longer than a lease of [`Setup::FAULTY`].
const FAULTS: [Rule; 10] = [
    Rule::new("", Fault::Throttled, 0.04),
    Rule::new("", Fault::Failed, 0.02),
    Rule::new("", Fault::Unavailable, 0.02),
    Rule::new("", Fault::CallLost, 0.02),
    Rule::new("", Fault::ReplyLost, 0.04),
    Rule::new("", Fault::Repeated, 0.04),
    Rule::new("", Fault::Delayed(Duration::from_millis(300)), 0.04),
    Rule::new("", Fault::Stalled(Duration::from_secs(3)), 0.005),
    Rule::new("", Fault::Cut(30), 0.02),
    // Events of a subscription come for minutes; these break off after about ten seconds, within a record. What waits
    // during the five seconds after which Kinesis accepts the next subscription still fits in.
    Rule::new("SubscribeToShard", Fault::Cut(100_000), 0.2),
];

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) app: App,
    pub(crate) workers: Vec<Worker>,
    pub(crate) load: Load,
    client: aws_sdk_kinesis::Client,
    proxies: [Proxy; 2],
    may_repeat: bool,
    begun: Instant,
    _aws: Aws,
    _folder: TempDir,
}

impl Cluster {
    /// Starts the services, the app and the load, but no worker.
    pub(crate) async fn start(setup: Setup) -> Self {
        let aws = Aws::start(EmbeddedSettings::default()).await.unwrap();
        let address = |url: String| url.trim_start_matches("http://").parse().unwrap();
        let proxies = [
            Proxy::start(address(aws.kinesis_url()), fastrand::u64(..)).await,
            Proxy::start(address(aws.dynamodb_url()), fastrand::u64(..)).await,
        ];
        if setup.has_faults {
            proxies.iter().for_each(|proxy| proxy.set(&FAULTS));
        }
        let client = crate::environment::kinesis_client(&aws.kinesis_url());
        client.create_stream().stream_name(STREAM).shard_count(setup.shards).send().await.unwrap();
        until_active(&client).await;
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("components")).unwrap();
        let component = component(setup, &proxies);
        std::fs::write(folder.path().join("components/orders.yaml"), component).unwrap();
        let app = App::start(WORKERS).await;
        app.change(|behaviour| behaviour.time = Duration::from_millis(5));
        let workers = (0..WORKERS).map(|number| Worker::new(folder.path(), number, app.address(number))).collect();
        let load = Load::start(client.clone(), STREAM, PACE);
        let may_repeat = setup.may_repeat;
        Self { app, workers, load, client, proxies, may_repeat, begun: Instant::now(), _aws: aws, _folder: folder }
    }

    /// Starts all workers, and waits until records of all keys arrive.
    pub(crate) async fn start_workers(&mut self) {
        for worker in &mut self.workers {
            worker.start().await;
        }
        self.until_flowing().await;
    }

    /// Waits until a record of each key was accepted that was put after this call.
    pub(crate) async fn until_flowing(&self) {
        self.until_flowing_except("").await;
    }

    pub(crate) async fn until_flowing_except(&self, key: &str) {
        let now = self.load.put();
        until("records of all keys to arrive", async || {
            now.iter().all(|(name, count)| name == key || self.app.next(name) > *count).then_some(())
        })
        .await;
    }

    /// Waits until the app has accepted so many records more.
    pub(crate) async fn until_more(&self, count: usize) {
        let enough = self.app.accepted() + count;
        until("more records to be accepted", async || (self.app.accepted() >= enough).then_some(())).await;
    }

    /// Waits until a worker has sent a record after this call.
    pub(crate) async fn until_called_by(&self, worker: usize) {
        let before = self.app.calls_of(worker);
        until("a record from a worker", async || (self.app.calls_of(worker) > before).then_some(())).await;
    }

    /// Records that were put and not accepted yet.
    pub(crate) fn waiting(&self) -> usize {
        self.load.put().values().sum::<usize>().saturating_sub(self.app.accepted())
    }

    async fn open_shards(&self) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(STREAM).send().await.unwrap().shards.unwrap_or_default();
        let mut open: Vec<Shard> = listed.into_iter().filter(is_open).collect();
        open.sort_by_key(|shard| end(shard, Side::Starting));
        open
    }

    /// Splits the `nth` open shard, in the order of the hash keys.
    pub(crate) async fn split(&self, nth: usize) {
        let shards = self.open_shards().await;
        let shard = &shards[nth % shards.len()];
        let call = self.client.split_shard().stream_name(STREAM).shard_to_split(&shard.shard_id);
        call.new_starting_hash_key(middle(shard)).send().await.unwrap();
        until_active(&self.client).await;
    }

    /// Merges the `nth` open shard with the next one.
    pub(crate) async fn merge(&self, nth: usize) {
        let shards = self.open_shards().await;
        let [left, right] = &shards.windows(2).nth(nth % (shards.len() - 1)).unwrap() else { unreachable!() };
        assert_eq!(end(left, Side::Ending) + 1, end(right, Side::Starting), "neighbours");
        let call = self.client.merge_shards().stream_name(STREAM).shard_to_merge(&left.shard_id);
        call.adjacent_shard_to_merge(&right.shard_id).send().await.unwrap();
        until_active(&self.client).await;
    }

    /// Whether a long run wants another round after this many.
    pub(crate) fn goes_on(&self, rounds: usize) -> bool {
        rounds == 0 || self.begun.elapsed() < super::duration()
    }

    /// Stops the load, waits until everything was accepted, stops the workers, and prints the facts.
    pub(crate) async fn finish(mut self, name: &str) {
        let put = self.load.stop().await;
        until("everything to be accepted", async || {
            put.iter().all(|(key, count)| self.app.next(key) >= *count).then_some(())
        })
        .await;
        for worker in &mut self.workers {
            worker.stop().await;
        }
        let facts = Facts::new(&put, &self.app.journal());
        let injected: usize = self.proxies.iter().map(Proxy::injected).sum();
        #[expect(clippy::print_stdout, reason = "the facts of a run are its result")]
        {
            println!("{name}: {facts}; {injected} faults in {:.0} s", self.begun.elapsed().as_secs_f64());
        }
        let remarks = facts.remarks.join("\n");
        assert_eq!((facts.lost, facts.out_of_order, facts.overlapping), (0, 0, 0), "{name}: {facts}\n{remarks}");
        if !self.may_repeat {
            assert_eq!(facts.duplicates, 0, "{name}: {facts}\n{remarks}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", Facts::new(&self.load.put(), &self.app.journal()));
            for (number, worker) in self.workers.iter().enumerate() {
                let log = worker.log();
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("worker {number}:\n{}", lines[lines.len().saturating_sub(200)..].join("\n"));
            }
        }
    }
}

async fn until_active(client: &aws_sdk_kinesis::Client) {
    until("the stream to be active", async || {
        let response = client.describe_stream_summary().stream_name(STREAM).send().await.ok()?;
        (response.stream_description_summary?.stream_status == StreamStatus::Active).then_some(())
    })
    .await;
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Starting,
    Ending,
}

/// One end of a shard's hash keys.
fn end(shard: &Shard, side: Side) -> u128 {
    let range = shard.hash_key_range().unwrap();
    let text = match side {
        Side::Starting => range.starting_hash_key(),
        Side::Ending => range.ending_hash_key(),
    };
    text.parse().unwrap()
}

fn component(setup: Setup, [kinesis, dynamodb]: &[Proxy; 2]) -> String {
    let mut text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nspec:\n  \
                    type: bindings.aws.kinesis\n  version: v1\n  metadata:\n"
        .to_owned();
    for (name, value) in [
        ("streamName", STREAM),
        ("consumerName", "orders-in"),
        ("direction", "input"),
        ("mode", setup.mode),
        ("initialPosition", "trim_horizon"),
        ("leaseDuration", setup.lease),
        ("region", "us-east-1"),
        ("endpoint", &kinesis.url()),
        ("leaseEndpoint", &dynamodb.url()),
        ("accessKey", "test"),
        ("secretKey", "test"),
    ] {
        writeln!(text, "    - {{name: {name}, value: \"{value}\"}}").unwrap();
    }
    text
}

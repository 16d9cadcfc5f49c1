//! A folder of components, and the sidecar that serves them.

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig};
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use bindd::daemon::{self, Running, Shutdown};
use bindd::domain::Stop;
use bindd::settings::Settings;
use bindd::testing::{BackendSettings, Keeping, KeptRecord, NullBackend};
use bindd::testing::{until, within};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

const REGION: &str = "us-east-1";

/// How long a graceful stop may take: longer than any fact, so that a busy machine does not decide about a test.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// What makes a component patient, for the same reason.
const PATIENT: [(&str, &str); 3] =
    [("requestTimeout", "100s"), ("maxRequestTimeout", "100s"), ("attemptTimeout", "60s")];

/// A backend that keeps everything.
pub(crate) async fn keeping(shards: usize) -> NullBackend {
    let settings = BackendSettings { shards, keeping: Keeping::Everything, seed: 11, ..BackendSettings::default() };
    NullBackend::start(settings).await.unwrap()
}

/// A folder with component files.
#[derive(Debug)]
pub(crate) struct Components(TempDir);

impl Components {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A folder with the Kinesis output `orders` to the stream of that name at `url`. It is patient; `fields` may say
    /// otherwise.
    pub(crate) fn kinesis(url: &str, fields: &[(&str, &str)]) -> Self {
        let own = [("streamName", "orders"), ("direction", "output")];
        Self::new().with("orders", "bindings.aws.kinesis", url, &patient(&own, fields))
    }

    /// Adds the DynamoDB output `rows` to the table of that name at `url`. It is patient; `fields` may say otherwise.
    pub(crate) fn patient_rows(self, url: &str, fields: &[(&str, &str)]) -> Self {
        self.with("rows", "bindings.aws.dynamodb", url, &patient(&[("table", "rows")], fields))
    }

    /// Adds a file.
    pub(crate) fn with(self, name: &str, kind: &str, url: &str, fields: &[(&str, &str)]) -> Self {
        let mut text = format!("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n");
        write!(text, "spec:\n  type: {kind}\n  version: v1\n  metadata:\n").unwrap();
        let connection = [("region", REGION), ("endpoint", url), ("accessKey", "test"), ("secretKey", "test")];
        for (field, value) in connection.iter().chain(fields) {
            writeln!(text, "    - name: {field}\n      value: {value:?}").unwrap();
        }
        std::fs::write(self.0.path().join(format!("{name}.yaml")), text).unwrap();
        self
    }

    /// Starts a sidecar that serves them.
    pub(crate) async fn sidecar(&self) -> Sidecar {
        let mut settings = Settings::local("shop", self.0.path());
        settings.graceful_shutdown = Some(GRACE);
        let running = daemon::start(&settings, daemon::load(&settings).unwrap()).await.unwrap();
        let address = running.http_address();
        Sidecar { running, address }
    }
}

/// Fields in front, then those of [`PATIENT`] that are not given, then the given ones.
fn patient<'a>(own: &[(&'a str, &'a str)], given: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let patient = PATIENT.iter().filter(|(name, _)| given.iter().all(|(known, _)| known != name));
    own.iter().chain(patient).chain(given).copied().collect()
}

/// A running sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    running: Running,
    pub(crate) address: SocketAddr,
}

impl Sidecar {
    /// The metrics page.
    pub(crate) fn page(&self) -> String {
        self.running.metrics().page().unwrap()
    }

    /// Answers those that still wait so long before the end of a stop.
    pub(crate) fn with_response_margin(mut self, before_end: Duration) -> Self {
        self.running = self.running.with_response_margin(before_end);
        self
    }

    /// Stops as a signal does.
    pub(crate) async fn stop(self) -> Shutdown {
        let stop = Stop::new();
        stop.finish();
        within("the sidecar to stop", self.running.run_until(&stop)).await
    }
}

/// The SDK's Kinesis client for an endpoint, without retries.
pub(crate) fn kinesis_client(url: &str) -> aws_sdk_kinesis::Client {
    aws_sdk_kinesis::Client::new(&at(url))
}

/// The SDK's DynamoDB client for an endpoint, without retries.
pub(crate) fn dynamodb_client(url: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&at(url))
}

fn at(url: &str) -> SdkConfig {
    let keys = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}

/// Creates a stream and waits until it takes records.
pub(crate) async fn create_stream(client: &aws_sdk_kinesis::Client, stream: &str, shards: i32) {
    client.create_stream().stream_name(stream).shard_count(shards).send().await.unwrap();
    until("the stream to be active", async || {
        let answer = client.describe_stream_summary().stream_name(stream).send().await.ok()?;
        (answer.stream_description_summary?.stream_status == StreamStatus::Active).then_some(())
    })
    .await;
}

/// Every record of a stream, shard by shard.
pub(crate) async fn read_back(client: &aws_sdk_kinesis::Client, stream: &str) -> Vec<KeptRecord> {
    let mut stored = Vec::new();
    for shard in client.list_shards().stream_name(stream).send().await.unwrap().shards() {
        let from = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
        let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = from.send().await.unwrap().shard_iterator;
        while let Some(token) = iterator {
            let page = client.get_records().shard_iterator(token).send().await.unwrap();
            stored.extend(page.records.iter().map(|record| KeptRecord {
                shard: shard.shard_id().to_owned(),
                // Some emulators pad numbers; a number is told without.
                sequence: record.sequence_number().trim_start_matches('0').to_owned(),
                partition_key: record.partition_key().unwrap_or_default().to_owned(),
                data: record.data().as_ref().to_vec().into(),
            }));
            iterator = page.next_shard_iterator.filter(|_| !page.records.is_empty());
        }
    }
    stored
}

//! Component files, and the sidecar that serves them.

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig};
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use bindd::daemon::{self, Running, Shutdown};
use bindd::domain::Stop;
use bindd::settings::Settings;
use bindd::testing::{BackendRecord, BackendSettings, NullBackend, Recording};
use bindd::testing::{until, within};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

const REGION: &str = "us-east-1";

/// The graceful shutdown timeout: so long that a slow machine does not fail a test.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// Timeouts of components, for the same reason.
const LONG_TIMEOUTS: [(&str, &str); 3] =
    [("requestTimeout", "100s"), ("maxRequestTimeout", "100s"), ("attemptTimeout", "60s")];

/// A backend that stores all records and items.
pub(crate) async fn recording_backend(shards: usize) -> NullBackend {
    let settings = BackendSettings { shards, recording: Recording::Everything, seed: 11, ..BackendSettings::default() };
    NullBackend::start(settings).await.unwrap()
}

/// A folder with component files.
#[derive(Debug)]
pub(crate) struct Components(TempDir);

impl Components {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// The Kinesis output `orders` to the stream of that name at `url`, with long timeouts unless `fields` sets others.
    pub(crate) fn kinesis(url: &str, fields: &[(&str, &str)]) -> Self {
        let own = [("streamName", "orders"), ("direction", "output")];
        Self::new().with("orders", "bindings.aws.kinesis", url, &with_long_timeouts(&own, fields))
    }

    /// Adds the DynamoDB output `rows` to the table of that name at `url`, with long timeouts unless `fields` sets others.
    pub(crate) fn with_items_output(self, url: &str, fields: &[(&str, &str)]) -> Self {
        self.with("rows", "bindings.aws.dynamodb", url, &with_long_timeouts(&[("table", "rows")], fields))
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
        let running = Box::pin(daemon::start(&settings, daemon::load(&settings).await.unwrap())).await.unwrap();
        let address = running.http_address();
        Sidecar { running, address }
    }
}

/// `own`, then those of [`LONG_TIMEOUTS`] that are not in `given`, then `given`.
fn with_long_timeouts<'a>(own: &[(&'a str, &'a str)], given: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let timeouts = LONG_TIMEOUTS.iter().filter(|(name, _)| given.iter().all(|(known, _)| known != name));
    own.iter().chain(timeouts).chain(given).copied().collect()
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
        within("the sidecar to stop", Box::pin(self.running.run_until(&stop))).await
    }
}

/// The SDK's Kinesis client for an endpoint, without retries.
pub(crate) fn kinesis_client(url: &str) -> aws_sdk_kinesis::Client {
    aws_sdk_kinesis::Client::new(&sdk_config(url))
}

/// The SDK's DynamoDB client for an endpoint, without retries.
pub(crate) fn dynamodb_client(url: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&sdk_config(url))
}

fn sdk_config(url: &str) -> SdkConfig {
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
        let response = client.describe_stream_summary().stream_name(stream).send().await.ok()?;
        (response.stream_description_summary?.stream_status == StreamStatus::Active).then_some(())
    })
    .await;
}

/// Every record of a stream, shard by shard.
pub(crate) async fn read_back(client: &aws_sdk_kinesis::Client, stream: &str) -> Vec<BackendRecord> {
    let mut stored = Vec::new();
    for shard in client.list_shards().stream_name(stream).send().await.unwrap().shards() {
        let from = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
        let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = from.send().await.unwrap().shard_iterator;
        while let Some(token) = iterator {
            let page = client.get_records().shard_iterator(token).send().await.unwrap();
            stored.extend(page.records.iter().map(|record| BackendRecord {
                shard: shard.shard_id().to_owned(),
                // Some emulators pad sequence numbers with zeros; responses have no padding.
                sequence: record.sequence_number().trim_start_matches('0').to_owned(),
                partition_key: record.partition_key().unwrap_or_default().to_owned(),
                data: record.data().as_ref().to_vec().into(),
            }));
            iterator = page.next_shard_iterator.filter(|_| !page.records.is_empty());
        }
    }
    stored
}

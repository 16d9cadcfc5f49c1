//! The environment of one test: embedded services, component files, sidecars.

use crate::calls::{self, Response};
use crate::fakes::RecordingApp;
use crate::secrecy::{SECRET_KEY, watch_log};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType, StreamStatus};
use bindd::daemon::{self, Prepare, Running, Shutdown, StartError};
use bindd::domain::Stop;
use bindd::embedded::{Aws, EmbeddedSettings};
use bindd::settings::{AppEndpoint, Settings};
use bindd::testing::{until, within};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const REGION: &str = "us-east-1";

fn test_keys() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}

/// The SDK's Kinesis client for an endpoint.
pub(crate) fn kinesis_client(url: &str) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(test_keys())
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

#[derive(Debug)]
pub(crate) struct Environment {
    aws: Aws,
    folder: TempDir,
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
}

impl Environment {
    pub(crate) async fn start() -> Self {
        watch_log();
        let aws = Aws::start(EmbeddedSettings::default()).await.unwrap();
        let dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(aws.dynamodb_url())
            .credentials_provider(test_keys())
            .build();
        let folder = TempDir::new().unwrap();
        let kinesis = kinesis_client(&aws.kinesis_url());
        Self { aws, folder, kinesis, dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb) }
    }

    pub(crate) fn kinesis_url(&self) -> String {
        self.aws.kinesis_url()
    }

    pub(crate) fn dynamodb_url(&self) -> String {
        self.aws.dynamodb_url()
    }

    /// Creates a stream and waits until it is active.
    pub(crate) async fn stream(&self, name: &str, shards: i32) {
        self.kinesis.create_stream().stream_name(name).shard_count(shards).send().await.unwrap();
        self.until_active(name).await;
    }

    pub(crate) async fn until_active(&self, stream: &str) {
        until("the stream to be active", async || {
            let response = self.kinesis.describe_stream_summary().stream_name(stream).send().await.ok()?;
            let status = response.stream_description_summary?.stream_status;
            (status == StreamStatus::Active).then_some(())
        })
        .await;
    }

    pub(crate) async fn shards(&self, stream: &str) -> Vec<Shard> {
        self.kinesis.list_shards().stream_name(stream).send().await.unwrap().shards.unwrap_or_default()
    }

    /// Puts texts `<prefix>0`, `<prefix>1`, … under the keys `key-0` to `key-4` in turn, and returns them.
    pub(crate) async fn put(&self, stream: &str, prefix: &str, count: usize) -> Vec<String> {
        let texts: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
        for (number, text) in texts.iter().enumerate() {
            let request = self.kinesis.put_record().stream_name(stream).data(Blob::new(text.as_bytes()));
            request.partition_key(format!("key-{}", number % 5)).send().await.unwrap();
        }
        texts
    }

    /// The first records of the first shard.
    pub(crate) async fn records(&self, stream: &str) -> Vec<Record> {
        let shard = self.shards(stream).await.remove(0).shard_id;
        let from = self.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard);
        let iterator = from.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
        self.kinesis.get_records().set_shard_iterator(iterator).send().await.unwrap().records
    }

    /// Waits until every record of the first shard arrived more than `age` ago. `latest` starts one second before the
    /// time of the service, which has a resolution of one second, so a record counts as old only after that.
    pub(crate) async fn until_older_than(&self, stream: &str, age: Duration) {
        let records = self.records(stream).await;
        let newest = records.last().and_then(|record| record.approximate_arrival_timestamp).unwrap();
        let arrived = SystemTime::try_from(newest).unwrap();
        until("the records to be old", async || {
            #[expect(clippy::disallowed_methods, reason = "the emulator uses the system clock")]
            let now = SystemTime::now();
            now.duration_since(arrived).is_ok_and(|passed| passed > age).then_some(())
        })
        .await;
    }

    /// Creates a table with the key `id` and waits until it is active.
    pub(crate) async fn table(&self, name: &str) {
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
        let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let request = self.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        request.key_schema(key).attribute_definitions(id.build().unwrap()).send().await.unwrap();
        until("the table to be active", async || {
            let table = self.dynamodb.describe_table().table_name(name).send().await.ok()?.table?;
            (table.table_status == Some(TableStatus::Active)).then_some(())
        })
        .await;
    }

    /// Writes a Kinesis component with these fields and those of the connection.
    pub(crate) fn kinesis_component(&self, name: &str, fields: &[(&str, &str)]) {
        let leases = self.dynamodb_url();
        let fields = [&[("leaseEndpoint", leases.as_str())], fields].concat();
        self.component(name, "bindings.aws.kinesis", &self.kinesis_url(), &fields);
    }

    /// Writes a DynamoDB component with these fields and those of the connection.
    pub(crate) fn dynamodb_component(&self, name: &str, fields: &[(&str, &str)]) {
        self.component(name, "bindings.aws.dynamodb", &self.aws.dynamodb_url(), fields);
    }

    /// Writes a Kinesis input that starts at the oldest record. Its leases do not expire on a slow machine.
    pub(crate) fn input(&self, name: &str, stream: &str, mode: &str) {
        self.input_with_leases(name, stream, mode, "1m");
    }

    /// As [`Self::input`], with leases that expire soon, for workers that crash. A record may be delivered twice.
    pub(crate) fn input_with_short_leases(&self, name: &str, stream: &str, mode: &str) {
        self.input_with_leases(name, stream, mode, "2s");
    }

    fn input_with_leases(&self, name: &str, stream: &str, mode: &str, lease: &str) {
        self.kinesis_component(
            name,
            &[
                ("streamName", stream),
                ("consumerName", name),
                ("mode", mode),
                ("initialPosition", "trim_horizon"),
                ("leaseDuration", lease),
                ("direction", "input"),
            ],
        );
    }

    /// Writes a component with these fields and those of the connection.
    pub(crate) fn component(&self, name: &str, kind: &str, endpoint: &str, fields: &[(&str, &str)]) {
        let mut text = format!("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n");
        write!(text, "spec:\n  type: {kind}\n  version: v1\n  metadata:\n").unwrap();
        let connection = [("region", REGION), ("endpoint", endpoint), ("accessKey", "test"), ("secretKey", SECRET_KEY)];
        for (field, value) in connection.iter().chain(fields) {
            writeln!(text, "    - name: {field}\n      value: \"{value}\"").unwrap();
        }
        self.file(&format!("{name}.yaml"), &text);
    }

    /// Writes a secret store of this file.
    pub(crate) fn secret_store(&self, name: &str, secrets: &Path) {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: \
             secretstores.local.file\n  version: v1\n  metadata: [{{name: secretsFile, value: {secrets:?}}}]\n"
        );
        self.file(&format!("{name}.yaml"), &text);
    }

    /// The folder of components.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder of components.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Settings of a sidecar for an app, with the components written so far.
    pub(crate) fn settings(&self, app: Option<&RecordingApp>) -> Settings {
        let mut settings = Settings::local("shop", self.folder.path());
        // So long that a slow machine does not fail a test.
        settings.graceful_shutdown = Some(Duration::from_secs(600));
        settings.app = app.map(|app| AppEndpoint {
            address: app.address().ip().to_string(),
            port: app.address().port(),
            protocol: app.protocol(),
        });
        settings
    }

    pub(crate) async fn sidecar(&self, app: Option<&RecordingApp>) -> Sidecar {
        Sidecar::start(&self.settings(app)).await.unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Sidecar {
    running: Running,
    http: SocketAddr,
}

impl Sidecar {
    pub(crate) async fn start(settings: &Settings) -> Result<Self, StartError> {
        let running = Box::pin(daemon::start(settings, Box::pin(daemon::load(settings)).await?)).await?;
        let http = running.http_address();
        Ok(Self { running, http })
    }

    /// As [`Self::start`], with components that are prepared, also those that change later.
    pub(crate) async fn start_prepared(settings: &Settings, prepare: Arc<dyn Prepare>) -> Result<Self, StartError> {
        let mut files = Box::pin(daemon::load(settings)).await?;
        prepare.prepare(&mut files.components).await.unwrap();
        let running = Box::pin(daemon::start_prepared(settings, files, Some(prepare))).await?;
        let http = running.http_address();
        Ok(Self { running, http })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.http
    }

    pub(crate) fn grpc_address(&self) -> SocketAddr {
        self.running.grpc_address()
    }

    pub(crate) const fn internal_grpc_address(&self) -> Option<SocketAddr> {
        self.running.internal_grpc_address()
    }

    pub(crate) const fn public_address(&self) -> Option<SocketAddr> {
        self.running.public_address()
    }

    pub(crate) const fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.metrics_address()
    }

    /// Calls an output binding with an unchanged body.
    pub(crate) async fn invoke(&self, binding: &str, body: &str) -> Response {
        calls::post(self.http, &format!("/v1.0/bindings/{binding}"), body).await
    }

    /// Waits until the health endpoint reports ready.
    pub(crate) async fn until_ready(&self) {
        until("the sidecar to be ready", async || {
            (calls::get(self.http, "/v1.0/healthz").await.status == 204).then_some(())
        })
        .await;
    }

    /// Stops as a signal does.
    pub(crate) async fn stop(self) -> Shutdown {
        let stop = Stop::new();
        stop.finish();
        within("the sidecar to stop", Box::pin(self.running.run_until(&stop))).await
    }

    /// Serves until a stop.
    pub(crate) async fn run_until(self, stop: &Stop) -> Shutdown {
        Box::pin(self.running.run_until(stop)).await
    }

    /// Serves until `POST /v1.0/shutdown`.
    pub(crate) async fn serve(self) -> Shutdown {
        within("the sidecar to get a shutdown request", Box::pin(self.running.run_until(&Stop::new()))).await
    }

    /// Crashes: nothing is drained, checkpointed or released.
    pub(crate) fn crash(self) {
        drop(self.running);
    }
}

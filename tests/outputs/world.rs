//! A folder of components, and the sidecar that serves them.

use crate::waiting::within;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use bindd::daemon::{self, Running, Shutdown};
use bindd::domain::Stop;
use bindd::settings::Settings;
use bindd::testing::{BackendSettings, Keeping, NullBackend};
use std::fmt::Write as _;
use std::net::SocketAddr;
use tempfile::TempDir;

const REGION: &str = "us-east-1";

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

    /// A folder with the Kinesis output `orders` to the stream of that name at `url`.
    pub(crate) fn kinesis(url: &str, fields: &[(&str, &str)]) -> Self {
        let fields = [&[("streamName", "orders"), ("direction", "output")], fields].concat();
        Self::new().with("orders", "bindings.aws.kinesis", url, &fields)
    }

    /// Adds a file.
    pub(crate) fn with(self, name: &str, kind: &str, url: &str, fields: &[(&str, &str)]) -> Self {
        let mut text = format!("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n");
        write!(text, "spec:\n  type: {kind}\n  version: v1\n  metadata:\n").unwrap();
        let connection = [("region", REGION), ("endpoint", url), ("accessKey", "test"), ("secretKey", "test")];
        for (field, value) in connection.iter().chain(fields) {
            writeln!(text, "    - name: {field}\n      value: \"{value}\"").unwrap();
        }
        std::fs::write(self.0.path().join(format!("{name}.yaml")), text).unwrap();
        self
    }

    /// Starts a sidecar that serves them.
    pub(crate) async fn sidecar(&self) -> Sidecar {
        let settings = Settings::local("shop", self.0.path());
        let running = daemon::start(&settings, daemon::load(&settings).unwrap()).await.unwrap();
        let address = running.http_address();
        Sidecar { running, address }
    }
}

/// A running sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    running: Running,
    pub(crate) address: SocketAddr,
}

impl Sidecar {
    /// Stops as a signal does.
    pub(crate) async fn stop(self) -> Shutdown {
        let stop = Stop::new();
        stop.finish();
        within("the sidecar to stop", self.running.run_until(&stop)).await
    }
}

/// The SDK's Kinesis client for an endpoint, without retries.
pub(crate) fn kinesis_client(url: &str) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

/// The SDK's DynamoDB client for an endpoint, without retries.
pub(crate) fn dynamodb_client(url: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

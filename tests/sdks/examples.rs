//! The apps of `examples`, run by `bindd dev` as their comments show.

use crate::calls;
use crate::packages::{go, node, python};
use crate::ports::Ports;
use crate::program::Program;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use bindd::testing::until;
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;
use tokio::process::Command;

const NODE: &str = "examples/node";
const GO: &str = "examples/go";
const PYTHON: &str = "examples/python";

/// `bindd dev` with the samples of components and an app.
struct Example {
    program: Program,
    ports: Ports,
}

impl Example {
    /// Starts the app with the words of a command; waits until it receives events.
    async fn start(app_protocol: &str, app: &[PathBuf]) -> Self {
        let ports = Ports::reserve();
        let mut bindd = Command::new(env!("CARGO_BIN_EXE_bindd"));
        bindd.args(["dev", "--resources-path", "components", "--enable-metrics=false"]);
        bindd.args(["--app-port", &ports.app().port().to_string(), "--app-protocol", app_protocol]);
        bindd.args(["--dapr-http-port", &ports.http().port().to_string()]);
        bindd.args(["--dapr-grpc-port", &ports.grpc().port().to_string()]);
        bindd.args(["--dynamodb-port", &ports.dynamodb().port().to_string(), "--"]).args(app);
        bindd.current_dir(env!("CARGO_MANIFEST_DIR"));
        let (mut program, http) = (Program::start(&mut bindd), ports.http());
        let ready = until("the app to receive events", async || {
            TcpStream::connect(http).await.ok()?;
            (calls::get(http, "/v1.0/healthz").await.status == 204).then_some(())
        });
        program.during("the app to receive events", Box::pin(ready)).await;
        Self { program, ports }
    }

    /// Waits until the table has this number of items; returns them as text. Then stops everything as Ctrl-C does.
    async fn stop_with_items(mut self, count: usize) -> String {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{}", self.ports.dynamodb()))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(config.build());
        let items = until("the items to be stored", async || {
            let items = dynamodb.scan().table_name("orders").send().await.ok()?.items?;
            (items.len() == count).then(|| format!("{items:?}"))
        });
        let items = self.program.during("the items to be stored", Box::pin(items)).await;
        self.program.interrupt();
        self.program.finish().await;
        items
    }
}

/// An app without an SDK, which stores each record under the place of the record in the stream.
async fn check_plain(app: &[PathBuf]) {
    let example = Example::start("http", app).await;
    let order = r#"{"operation": "create", "data": {"id": "42"}, "metadata": {"partitionKey": "customer-7"}}"#;
    let answer = calls::post(example.ports.http(), "/v1.0/bindings/orders-out", order).await;
    assert_eq!(answer.status, 204);
    let items = example.stop_with_items(1).await;
    assert!(items.contains("shardId-") && items.contains("42"), "{items}");
}

/// An app with an SDK, which writes an order itself, and stores what each of its two inputs receives.
async fn check_sdk(app_protocol: &str, app: &[PathBuf]) {
    let items = Example::start(app_protocol, app).await.stop_with_items(2).await;
    assert!(
        items.contains("orders-shared/1") && items.contains("orders-fanout/1") && items.contains("12.5"),
        "{items}"
    );
}

fn in_repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_in_python_stores_a_record() {
    check_plain(&["python3".into(), in_repository("examples/python/app.py")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_in_node_stores_a_record() {
    check_plain(&["node".into(), in_repository("examples/node/app.mjs")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_in_go_stores_a_record() {
    check_plain(&[go(GO).await.join("app")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_with_the_sdk_for_javascript_stores_its_order() {
    check_sdk("http", &["node".into(), node(NODE).await.join("sdk_app.mjs")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_with_the_sdk_for_go_stores_its_order() {
    check_sdk("http", &[go(GO).await.join("sdk_app")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_with_the_sdk_for_python_stores_its_order() {
    check_sdk("grpc", &[python(PYTHON).await, in_repository("examples/python/sdk_app.py")]).await;
}

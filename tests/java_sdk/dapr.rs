//! Dapr's SDK for Java 1.16.0 as a client of a whole sidecar.

use crate::client::{Client, Waits};
use crate::maven::build;
use serde_json::json;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_java_calls_outputs_and_shuts_the_sidecar_down() {
    let classpath = build("dapr", "dapr").await;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-Dfile.encoding=UTF-8", "-cp", &classpath, "SidecarClient"]);
    let codes = [json!("NOT_FOUND"), json!("INVALID_ARGUMENT")];
    let client = Client::new(command, Waits::Http, codes);
    Client { sets_metadata: false, ..client }.check().await;
}

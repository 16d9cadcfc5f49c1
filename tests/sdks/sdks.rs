//! The programs of each language.

use crate::client::{Client, Waits};
use crate::packages::{go, node, python};
use crate::service::Service;
use bindd::settings::AppProtocol;
use serde_json::json;
use std::path::Path;
use tokio::process::Command;

const JAVASCRIPT: &str = "tests/sdks/javascript";
const PYTHON: &str = "tests/sdks/python";
const GO: &str = "tests/sdks/go";

async fn javascript(program: &str, protocol: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(program).arg(protocol).current_dir(node(JAVASCRIPT).await);
    command
}

async fn python_program(program: &str) -> Command {
    let mut command = Command::new(python(PYTHON).await);
    command.arg(program).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(PYTHON));
    command
}

async fn go_program(program: &str) -> Command {
    Command::new(go(GO).await.join(program))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_client_for_javascript_calls_outputs_and_shuts_the_sidecar_down() {
    let client = Client::new(javascript("client.mjs", "http").await, Waits::Http, [json!(404), json!(400)]);
    Client { sends_bytes: false, ..client }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_client_for_javascript_sees_what_daprd_answers_with_dapr_compat() {
    let client = Client::new(javascript("client.mjs", "http").await, Waits::Http, [json!(500), json!(500)]);
    Client { sends_bytes: false, dapr_compat: true, ..client }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grpc_client_for_javascript_calls_outputs_and_shuts_the_sidecar_down() {
    let client = Client::new(javascript("client.mjs", "grpc").await, Waits::Grpc, [json!(5), json!(3)]);
    Client { sends_bytes: false, ..client }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_python_calls_outputs_and_shuts_the_sidecar_down() {
    let codes = [json!("NOT_FOUND"), json!("INVALID_ARGUMENT")];
    Client::new(python_program("client.py").await, Waits::Http, codes).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_go_calls_outputs_and_shuts_the_sidecar_down() {
    let codes = [json!("NotFound"), json!("InvalidArgument")];
    Client::new(go_program("client").await, Waits::Grpc, codes).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_go_sees_what_daprd_answers_with_dapr_compat() {
    let codes = [json!("Internal"), json!("Internal")];
    let client = Client::new(go_program("client").await, Waits::Grpc, codes);
    Client { dapr_compat: true, ..client }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_server_for_javascript_receives_every_record() {
    let command = javascript("server.mjs", "http").await;
    let service = Service::new(command, AppProtocol::Http);
    Service { takes_bytes: false, shows_metadata: false, ..service }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_server_for_javascript_receives_bytes_too_if_the_content_type_tells() {
    let command = javascript("server.mjs", "http").await;
    let service = Service::new(command, AppProtocol::Http);
    Service { content_type: "auto", shows_metadata: false, ..service }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grpc_server_for_javascript_receives_every_record() {
    let command = javascript("server.mjs", "grpc").await;
    let service = Service::new(command, AppProtocol::Grpc);
    Service { takes_bytes: false, shows_metadata: false, ..service }.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flask_app_receives_every_record() {
    let command = python_program("flask_app.py").await;
    Service::new(command, AppProtocol::Http).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fastapi_app_receives_every_record() {
    let command = python_program("fastapi_app.py").await;
    Service::new(command, AppProtocol::Http).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grpc_app_for_python_receives_every_record() {
    let command = python_program("grpc_app.py").await;
    Service::new(command, AppProtocol::Grpc).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_service_for_go_receives_every_record() {
    let mut command = go_program("service").await;
    command.arg("http");
    Service::new(command, AppProtocol::Http).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grpc_service_for_go_receives_every_record() {
    let mut command = go_program("service").await;
    command.arg("grpc");
    Service::new(command, AppProtocol::Grpc).check().await;
}

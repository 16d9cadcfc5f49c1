//! §7: what Dapr's SDKs need before their first call. `tests/sdks` runs the SDKs themselves.

use super::{environment, exchange, request};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::testing::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "secret";

/// A sidecar that asks for a token, and whose app does not listen yet.
async fn sidecar(env: &Environment) -> (Sidecar, RecordingApp) {
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let mut settings = env.settings(Some(&app));
    settings.api_token = Some(TOKEN.into());
    (Sidecar::start(&settings).await.unwrap(), app)
}

#[tokio::test]
async fn an_sdk_finds_its_sidecar_before_the_app_listens() {
    let env = environment().await;
    let (sidecar, _app) = sidecar(&env).await;
    let token = format!("dapr-api-token: {TOKEN}\r\n");
    let javascript = format!("{token}user-agent: dapr-sdk-js/v3.18.0 http/1\r\n");
    let metadata = exchange(sidecar.address(), &request("GET /v1.0/metadata", &javascript, "")).await;
    assert_eq!((metadata.status, metadata.json()["id"].as_str()), (200, Some("shop")), "7.2 metadata with a body");
    for (says, headers) in [("7.3 without a token", ""), ("7.3 with a token", token.as_str())] {
        let outbound = exchange(sidecar.address(), &request("GET /v1.0/healthz/outbound", headers, "")).await;
        assert_eq!((outbound.status, outbound.body.as_str()), (204, ""), "{says}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_connection_to_the_grpc_api_is_ready_before_the_app_listens() {
    let env = environment().await;
    let (sidecar, _app) = sidecar(&env).await;
    let mut stream = TcpStream::connect(sidecar.grpc_address()).await.unwrap();
    // The preface of HTTP/2 and empty settings, which is all that the SDK for Go sends before it is ready.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    within("7.4 the settings of the server", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "7.4 the first frame has the settings");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_call_of_the_sdk_for_javascript_succeeds_without_a_body() {
    let env = environment().await;
    let (sidecar, _app) = sidecar(&env).await;
    let headers = format!("dapr-api-token: {TOKEN}\r\ncontent-type: application/json\r\n");
    let body = r#"{"operation":"create","data":{"id":"1"},"metadata":{}}"#;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", &headers, body)).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "7.2 an empty body becomes an empty string");
    let headers = format!("dapr-api-token: {TOKEN}\r\ncontent-type: text/plain\r\n");
    let put = exchange(sidecar.address(), &request("PUT /v1.0/metadata/team", &headers, "orders")).await;
    assert_eq!(put.status, 204, "7.2 metadata are set as plain text");
    let shutdown = exchange(sidecar.address(), &request("POST /v1.0/shutdown", &headers, "")).await;
    assert_eq!(shutdown.status, 204, "7.2 shutdown");
    sidecar.serve().await;
}

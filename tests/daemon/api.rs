//! The HTTP API besides the bindings: metadata, metrics, tokens, limits.

use crate::calls::{get, post, send, send_bytes};
use crate::environment::{Environment, Sidecar};
use bindd::http::AllowedOrigins;
use bindd::testing::until;
use bytes::Bytes;
use http::Request;

async fn start_with_output() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env
}

#[tokio::test]
async fn metadata_names_app_and_components() {
    let env = start_with_output().await;
    let sidecar = env.sidecar(None).await;
    let response = get(sidecar.address(), "/v1.0/metadata").await;
    assert_eq!((response.status.as_u16(), response.field("id").as_str()), (200, "shop"));
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["components"][0]["name"], "orders-out");
    assert_eq!(body["components"][0]["type"], "bindings.aws.kinesis");
    assert_eq!(body["components"][0]["capabilities"], serde_json::json!(["OUTPUT_BINDING"]));
    sidecar.stop().await;
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let env = start_with_output().await;
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    sidecar.invoke("orders-out", r#"{"operation":"create","data":1}"#).await;
    let page = get(sidecar.metrics_address().unwrap(), "/metrics").await;
    let line = page.text().lines().find(|line| line.starts_with("bindd_output_requests_total{"));
    let line = line.unwrap_or_else(|| panic!("no requests in {}", page.text()));
    assert!(line.contains("orders-out") && line.contains("204") && line.ends_with(" 1"), "{line}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_token_is_required_except_for_health() {
    let env = start_with_output().await;
    let mut settings = env.settings(None);
    settings.api_token = Some("let-me-in".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let address = sidecar.address();
    assert_eq!(get(address, "/v1.0/metadata").await.status, 401);
    assert_eq!(sidecar.invoke("orders-out", r#"{"operation":"create","data":1}"#).await.status, 401);
    assert_ne!(get(address, "/v1.0/healthz/outbound").await.status, 401);
    let with_token = Request::get("/v1.0/metadata").header("dapr-api-token", "let-me-in");
    assert_eq!(send(address, with_token, "").await.status, 200);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let env = start_with_output().await;
    let mut settings = env.settings(None);
    settings.max_body_size = Some(1_000);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let body = format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(2_000));
    let response = sidecar.invoke("orders-out", &body).await;
    assert_eq!((response.status.as_u16(), response.field("errorCode").as_str()), (413, "ERR_MALFORMED_REQUEST"));
    sidecar.stop().await;
}

#[tokio::test]
async fn request_heads_may_be_4_kib_larger_than_the_flag_says() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.read_buffer_size = 8 << 10;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    // Beyond the limit, what came in the same read still passes.
    for (size, status) in [(10_000, 204), (100_000, 431)] {
        let request = Request::get("/v1.0/healthz/outbound").header("x", "y".repeat(size));
        assert_eq!(send(sidecar.address(), request, "").await.status, status, "{size}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn pages_and_foreign_names_are_refused_by_the_api_and_the_metrics() {
    let env = start_with_output().await;
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    settings.access.origins = AllowedOrigins::parse("https://shop.example").unwrap();
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let (api, metrics) = (sidecar.address(), sidecar.metrics_address().unwrap());
    for (address, path) in [(api, "/v1.0/metadata"), (metrics, "/metrics")] {
        for (origin, status) in [("https://evil.example", 403), ("https://shop.example", 200)] {
            assert_eq!(send(address, Request::get(path).header("origin", origin), "").await.status, status, "{path}");
        }
        // Beside the true name: each counts.
        assert_eq!(send(address, Request::get(path).header("host", "evil.example"), "").await.status, 403, "{path}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn an_address_that_another_program_uses_is_served_once_it_is_free() {
    let env = Environment::start().await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let mut settings = env.settings(None);
    settings.http_addresses = vec![address, "127.0.0.1:0".parse().unwrap()];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    assert_ne!(sidecar.address(), address);
    assert_eq!(get(sidecar.address(), "/v1.0/healthz/outbound").await.status, 204, "the other one serves at once");
    drop(held);
    until("the freed address to be listened on", async || tokio::net::TcpStream::connect(address).await.ok().map(drop))
        .await;
    assert_eq!(get(address, "/v1.0/healthz/outbound").await.status, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn text_that_is_not_unicode_cannot_be_a_key() {
    let env = start_with_output().await;
    env.table("people").await;
    env.dynamodb_component("people", &[("table", "people")]);
    env.kinesis_component("by-name", &[("streamName", "orders"), ("direction", "output"), ("partitionKeyFrom", "/n")]);
    let sidecar = env.sidecar(None).await;
    for (binding, body) in [
        ("people", r#"{"operation":"create","data":{"id":"\ud800"}}"#),
        ("people", r#"{"operation":"create","data":{"id":"a","\udc00":1}}"#),
        ("people", r#"{"operation":"get","data":{"key":{"id":"\udfff"}}}"#),
        ("by-name", r#"{"operation":"create","data":{"n":"\ud800"}}"#),
        ("orders-out", r#"{"operation":"create","data":1,"metadata":{"partitionKey":"\ud800"}}"#),
    ] {
        let response = sidecar.invoke(binding, body).await;
        assert_eq!(response.status, 400, "{body}: {}", response.text());
    }
    let latin = Bytes::from_static(b"{\"operation\":\"create\",\"data\":{\"id\":\"M\xfcller\"}}");
    let response = send_bytes(sidecar.address(), Request::post("/v1.0/bindings/people"), latin).await;
    assert_eq!((response.status.as_u16(), response.field("errorCode").as_str()), (400, "ERR_MALFORMED_REQUEST"));
    assert!(response.text().contains("offset 37 in data.id"), "{}", response.text());
    let items = env.dynamodb.scan().table_name("people").send().await.unwrap();
    assert_eq!(items.count, 0);
    sidecar.stop().await;
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    assert_eq!(get(sidecar.address(), "/v1.0/bindings/orders-out").await.status, 404);
    assert_eq!(post(sidecar.address(), "/v1.0/nothing", "").await.status, 404);
    sidecar.stop().await;
}

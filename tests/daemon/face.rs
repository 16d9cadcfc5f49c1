//! The HTTP face beside the bindings: metadata, metrics, tokens, limits.

use crate::calls::{get, post, send};
use crate::world::{Sidecar, World};
use http::Request;

async fn world_with_output() -> World {
    let world = World::start().await;
    world.stream("orders", 1).await;
    world.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    world
}

#[tokio::test]
async fn metadata_names_app_and_components() {
    let world = world_with_output().await;
    let sidecar = world.sidecar(None).await;
    let answer = get(sidecar.address(), "/v1.0/metadata").await;
    assert_eq!((answer.status.as_u16(), answer.field("id").as_str()), (200, "shop"));
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["components"][0]["name"], "orders-out");
    assert_eq!(body["components"][0]["type"], "bindings.aws.kinesis");
    assert_eq!(body["components"][0]["capabilities"], serde_json::json!(["OUTPUT_BINDING"]));
    sidecar.stop().await;
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let world = world_with_output().await;
    let mut settings = world.settings(None);
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
async fn a_token_is_asked_for_everywhere_but_at_health() {
    let world = world_with_output().await;
    let mut settings = world.settings(None);
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
    let world = world_with_output().await;
    let mut settings = world.settings(None);
    settings.max_body_size = Some(1_000);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let body = format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(2_000));
    let answer = sidecar.invoke("orders-out", &body).await;
    assert_eq!((answer.status.as_u16(), answer.field("errorCode").as_str()), (413, "ERR_MALFORMED_REQUEST"));
    sidecar.stop().await;
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let world = World::start().await;
    let sidecar = world.sidecar(None).await;
    assert_eq!(get(sidecar.address(), "/v1.0/bindings/orders-out").await.status, 404);
    assert_eq!(post(sidecar.address(), "/v1.0/nothing", "").await.status, 404);
    sidecar.stop().await;
}

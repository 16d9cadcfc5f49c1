//! §4.1, §4.2, §4.3: health, metadata and shutdown.

use super::{environment, exchange, request};
use crate::environment::Sidecar;
use bindd::daemon::Shutdown;
use serde_json::json;

#[tokio::test]
async fn health() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    sidecar.until_ready().await;
    let wrong = json!({"errorCode": "ERR_HEALTH_APPID_NOT_MATCH", "message": "dapr app-id does not match"});
    for (says, path, status, body) in [
        ("4.1 ready", "/v1.0/healthz", 204, None),
        ("4.1 outbound", "/v1.0/healthz/outbound", 204, None),
        ("4.1 the app-id", "/v1.0/healthz?appid=shop", 204, None),
        ("4.1 another app-id", "/v1.0/healthz?appid=other", 500, Some(&wrong)),
        ("4.1 an empty app-id", "/v1.0/healthz?appid=", 500, Some(&wrong)),
    ] {
        let answer = exchange(sidecar.address(), &request(&format!("GET {path}"), "", "")).await;
        assert_eq!(answer.status, status, "{says}");
        match body {
            Some(body) => assert_eq!(&answer.json(), body, "{says}"),
            None => assert_eq!(answer.body, "", "{says}"),
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn before_the_app_listens_only_outbound_is_healthy() {
    let env = environment().await;
    let app = crate::fakes::RecordingApp::start().await;
    let mut settings = env.settings(Some(&app));
    // A port without a listener.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    settings.app.as_mut().unwrap().port = free;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let outbound = exchange(sidecar.address(), &request("GET /v1.0/healthz/outbound", "", "")).await;
    assert_eq!(outbound.status, 204, "4.1 outbound");
    let full = exchange(sidecar.address(), &request("GET /v1.0/healthz?appid=other", "", "")).await;
    assert_eq!((full.status, full.json()["errorCode"].as_str()), (500, Some("ERR_HEALTH_NOT_READY")), "4.1 first");
    assert!(full.json()["message"].as_str().unwrap().starts_with("dapr is not ready: ["), "{}", full.body);
    sidecar.stop().await;
}

#[tokio::test]
async fn metadata() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    for (says, method_and_path, status) in [
        ("4.2 any body is a value", "PUT /v1.0/metadata/cliPID", 204),
        ("4.2 the key is unescaped", "PUT /v1.0/metadata/a%20b", 204),
        ("4.2 an empty key is no route", "PUT /v1.0/metadata/", 404),
        ("4.2 POST is no route", "POST /v1.0/metadata/key", 404),
    ] {
        let put = request(method_and_path, "content-type: application/json\r\n", "{7");
        assert_eq!(exchange(sidecar.address(), &put).await.status, status, "{says}");
    }
    let page = exchange(sidecar.address(), &request("GET /v1.0/metadata", "", "")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/json")), "4.2");
    let page = page.json();
    assert_eq!(page["id"], "shop", "4.2 id");
    assert!(page["runtimeVersion"].as_str().unwrap().split('.').count() == 3, "4.2 runtimeVersion");
    assert!(page.get("enabledFeatures").is_none(), "4.2 this sidecar does not watch its files");
    let extended = &page["extended"];
    assert_eq!((&extended["cliPID"], &extended["a b"]), (&json!("{7"), &json!("{7")), "4.2 extended");
    assert_eq!(extended["daprRuntimeVersion"], page["runtimeVersion"], "4.2 extended always has it");
    let connection = json!({"protocol": "http", "channelAddress": "127.0.0.1"});
    assert_eq!(page["appConnectionProperties"], connection, "4.2 without an app");
    let actors = json!({"runtimeStatus": "DISABLED", "hostReady": false, "placement": "placement: disconnected"});
    assert_eq!(page["actorRuntime"], actors, "4.2 actorRuntime");
    assert!(page.get("resiliencies").is_none() && page.get("subscriptions").is_none(), "4.2 empty members are omitted");
    let large = request("PUT /v1.0/metadata/large", "", &"x".repeat(1 << 20));
    let refused = exchange(sidecar.address(), &large).await;
    assert_eq!((refused.status, refused.json()["errorCode"].as_str()), (507, Some("ERR_METADATA_FULL")));
    sidecar.stop().await;
}

#[tokio::test]
async fn the_public_port_serves_health_and_metadata_without_a_token() {
    let env = environment().await;
    let mut settings = env.settings(None);
    settings.public_address = Some("127.0.0.1:0".parse().unwrap());
    settings.api_token = Some("s3cret".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    sidecar.until_ready().await;
    let public = sidecar.public_address().unwrap();
    for (method_and_path, status) in [
        ("GET /v1.0/healthz", 204),
        ("GET /v1.0/healthz/outbound", 204),
        ("GET /v1.0/metadata", 200),
        ("POST /v1.0/bindings/orders", 404),
        ("POST /v1.0/shutdown", 404),
        ("PUT /v1.0/metadata/key", 404),
    ] {
        assert_eq!(exchange(public, &request(method_and_path, "", "")).await.status, status, "4.1 {method_and_path}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_forced_shutdown_is_answered_and_ends_at_once() {
    let env = environment().await;
    for (value, expected) in [("TRUE", Shutdown::Aborted), ("1", Shutdown::Clean)] {
        let sidecar = env.sidecar(None).await;
        let post = request("POST /v1.0/shutdown", &format!("dapr-force-shutdown: {value}\r\n"), "");
        let (address, serving) = (sidecar.address(), sidecar.serve());
        let (shutdown, answer) = tokio::join!(serving, exchange(address, &post));
        assert_eq!((shutdown, answer.status), (expected, 204), "4.3 {value}");
    }
}

//! Requests that are refused before a handler sees them; over real sockets where the socket matters.

use super::super::admission::ConnectInfo;
use super::super::connection::Respond;
use super::super::routes::Api;
use super::super::{Access, AllowedHosts, AllowedOrigins, ApiState, HttpSettings, bind, serve_metrics};
use super::answers::CALLER;
use super::fake_binding::state;
use super::running::{LONG, Running, exchange};
use crate::domain::Stop;
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use secrecy::SecretString;
use std::sync::Arc;
use tokio::net::TcpStream;

const CREATE: &str = r#"{"operation":"create","data":1}"#;
const SHOP: &str = "https://shop.example";

async fn send(
    state: &Arc<ApiState>,
    info: ConnectInfo,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Api::new(Arc::clone(state)).respond(request.body(Body::from(CREATE)).unwrap(), info).await
}

fn allowing(origins: &str) -> HttpSettings {
    let origins = AllowedOrigins::parse(origins).unwrap();
    HttpSettings { access: Access { origins, ..Access::default() }, ..HttpSettings::default() }
}

#[tokio::test]
async fn a_web_page_reaches_no_route_but_health() {
    let token = Some(SecretString::from("s3cret"));
    let (state, fake) = state(HttpSettings { api_token: token, ..HttpSettings::default() });
    for header in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        for (method, path) in [
            ("POST", "/v1.0/bindings/orders"),
            ("PUT", "/v1.0/bindings/orders"),
            ("OPTIONS", "/v1.0/bindings/orders"),
            ("GET", "/v1.0/metadata"),
            ("POST", "/v1.0/shutdown"),
            ("POST", "/v1.0/healthz"),
            ("GET", "/nowhere"),
        ] {
            for headers in [&[header][..], &[header, ("dapr-api-token", "s3cret")]] {
                let answer = send(&state, CALLER, method, path, headers).await;
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path} {headers:?}");
                assert_eq!(answer.headers()["content-type"], "application/json");
                assert!(!answer.headers().contains_key("vary"));
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(json["errorCode"], "ERR_FORBIDDEN");
                assert!(json["message"].as_str().unwrap().contains("--allowed-origins"), "{json}");
            }
        }
        for path in ["/v1.0/healthz", "/v1.0/healthz/outbound"] {
            assert_eq!(send(&state, CALLER, "GET", path, &[header]).await.status(), StatusCode::NO_CONTENT);
        }
    }
    assert!(fake.seen.lock().unwrap().is_empty() && !state.stop.is_finishing());
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_and_read_the_response() {
    let page = [("origin", SHOP), ("sec-fetch-site", "cross-site")];
    for (origins, expected) in [(SHOP, SHOP), ("*", "*")] {
        let (state, _) = state(allowing(origins));
        let answer = send(&state, CALLER, "POST", "/v1.0/bindings/orders", &page).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let headers = answer.headers();
        assert_eq!(
            (&headers["access-control-allow-origin"], &headers["vary"]),
            (&expected.parse().unwrap(), &"Origin".parse().unwrap())
        );
        let failed = send(&state, CALLER, "POST", "/v1.0/bindings/none", &page).await;
        assert_eq!(failed.status(), StatusCode::NOT_FOUND);
        assert!(failed.headers().contains_key("access-control-allow-origin"), "the page must see why");
    }
    let (state, _) = state(allowing(SHOP));
    let other = send(&state, CALLER, "GET", "/v1.0/healthz", &[("origin", "https://evil.example")]).await;
    assert_eq!(other.status(), StatusCode::NO_CONTENT);
    assert!(
        !other.headers().contains_key("access-control-allow-origin"),
        "it may send the request but not read the response"
    );
}

#[tokio::test]
async fn a_preflight_needs_no_token_and_only_allowed_origins_get_one() {
    let settings = HttpSettings { api_token: Some(SecretString::from("s3cret")), ..allowing(SHOP) };
    let (state, _) = state(settings);
    let requested = [("access-control-request-method", "POST"), ("access-control-request-headers", "dapr-api-token")];
    let from = |origin| [&[("origin", origin)][..], &requested].concat();
    let answer = send(&state, CALLER, "OPTIONS", "/v1.0/bindings/orders", &from(SHOP)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], SHOP);
    assert_eq!(headers["access-control-allow-headers"], "dapr-api-token");
    assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert_eq!(headers.get_all("vary").iter().count(), 2);
    let evil = send(&state, CALLER, "OPTIONS", "/v1.0/bindings/orders", &from("https://evil.example")).await;
    assert_eq!(evil.status(), StatusCode::FORBIDDEN);
    let tokenless = send(&state, CALLER, "POST", "/v1.0/bindings/orders", &from(SHOP)).await;
    assert_eq!(tokenless.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn shutdown_is_accepted_from_loopback_or_with_a_token() {
    let elsewhere = ConnectInfo { is_local_loopback: false, is_peer_loopback: false, peer: None };
    let (open, _) = state(HttpSettings::default());
    let refused = send(&open, elsewhere, "POST", "/v1.0/shutdown", &[]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8(body.to_vec()).unwrap().contains("DAPR_API_TOKEN"));
    assert!(!open.stop.is_finishing());
    assert_eq!(send(&open, CALLER, "POST", "/v1.0/shutdown", &[]).await.status(), StatusCode::NO_CONTENT);
    assert!(open.stop.is_finishing());
    let settings = HttpSettings { api_token: Some(SecretString::from("s3cret")), ..HttpSettings::default() };
    let (guarded, _) = state(settings);
    assert_eq!(send(&guarded, elsewhere, "POST", "/v1.0/shutdown", &[]).await.status(), StatusCode::UNAUTHORIZED);
    assert!(!guarded.stop.is_finishing());
    let with_token = send(&guarded, elsewhere, "POST", "/v1.0/shutdown", &[("dapr-api-token", "s3cret")]).await;
    assert_eq!(with_token.status(), StatusCode::NO_CONTENT);
    assert!(guarded.stop.is_finishing());
}

fn get(path: &str, version: &str, headers: &str) -> String {
    format!("GET {path} HTTP/{version}\r\n{headers}connection: close\r\n\r\n")
}

#[tokio::test]
async fn a_loopback_socket_accepts_only_loopback_and_listed_host_names() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    for (request, status) in [
        (get("/v1.0/healthz", "1.1", "host: localhost\r\n"), 204),
        (get("/v1.0/healthz", "1.1", "host: evil.example\r\n"), 403),
        (get("/v1.0/metadata", "1.1", "host: evil.example:3500\r\n"), 403),
        (get("/v1.0/metadata", "1.1", ""), 403),
        (get("/v1.0/metadata", "1.0", ""), 200),
        (get("http://evil.example/v1.0/metadata", "1.1", "host: localhost\r\n"), 403),
        (get("http://localhost/v1.0/metadata", "1.1", "host: localhost\r\n"), 200),
    ] {
        let answer = exchange(&mut running.connect().await, &request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{request}\n{answer}");
        assert!(status != 403 || answer.contains("--allowed-hosts") || answer.contains("no Host"), "{answer}");
    }
    let hosts = AllowedHosts::parse("sidecar.example").unwrap();
    let access = Access { hosts, ..Access::default() };
    let listed = Running::start(HttpSettings { access, ..HttpSettings::default() }, LONG).await;
    let request = get("/v1.0/metadata", "1.1", "host: sidecar.example:3500\r\n");
    assert!(exchange(&mut listed.connect().await, &request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_authority_of_http_2_is_checked_like_host() {
    let running = Running::start(HttpSettings::default(), LONG).await;
    let io = TokioIo::new(running.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let mut client = Supervisor::new();
    client.spawn("client", connection);
    for (host, status) in [("localhost:3500", StatusCode::OK), ("evil.example", StatusCode::FORBIDDEN)] {
        let request = Request::get(format!("http://{host}/v1.0/metadata")).version(Version::HTTP_2);
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn the_metrics_page_has_the_same_checks() {
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners.addresses()[0];
    let stop = Stop::new();
    let mut tasks = Supervisor::new();
    tasks.spawn("metrics", serve_metrics(listeners, Metrics::new(), Access::default(), stop.clone()));
    for (headers, status) in [
        ("host: 127.0.0.1:9090\r\n", "200"),
        ("host: evil.example\r\n", "403"),
        ("host: localhost\r\norigin: https://evil.example\r\n", "403"),
        ("host: localhost\r\nsec-fetch-site: cross-site\r\n", "403"),
        ("host: localhost\r\nsec-fetch-site: none\r\n", "200"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = exchange(&mut stream, &get("/metrics", "1.1", headers)).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{headers}");
    }
}

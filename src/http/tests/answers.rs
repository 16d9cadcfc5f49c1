use super::super::admission::ConnectInfo;
use super::super::connection::Respond;
use super::super::routes::Api;
use super::super::{ApiState, AppConnection, HttpSettings};
use super::fake_binding::{Fake, state, state_with_buffer};
use crate::domain::DataForm;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use secrecy::SecretString;
use std::sync::Arc;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(super) async fn send(state: &Arc<ApiState>, request: Request<Body>) -> Answer {
    send_owned(Arc::clone(state), request).await
}

async fn send_owned(state: Arc<ApiState>, request: Request<Body>) -> Answer {
    let (head, body) = Api::new(state).respond(request, CALLER).await.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, body }
}

fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap()
}

pub(super) async fn post(state: &Arc<ApiState>, path: &str, body: &str) -> Answer {
    send(state, request("POST", path, body)).await
}

async fn get(state: &Arc<ApiState>, path: &str) -> Answer {
    send(state, request("GET", path, "")).await
}

pub(super) fn usual() -> (Arc<ApiState>, Arc<Fake>) {
    state(HttpSettings::default())
}

pub(super) fn strict() -> Arc<ApiState> {
    state(HttpSettings { strict_dapr_errors: true, max_body_size: Some(64), ..HttpSettings::default() }).0
}

/// A program on this machine that calls an address other than loopback, so that `Host` is not checked.
pub(super) const CALLER: ConnectInfo = ConnectInfo { is_local_loopback: false, is_peer_loopback: true, peer: None };

pub(super) const ORDERS: &str = "/v1.0/bindings/orders";

#[tokio::test]
async fn a_create_is_answered_204_with_its_metadata_as_headers() {
    let (state, fake) = usual();
    for (method, path) in
        [("POST", ORDERS), ("PUT", "//v1.0/bindings//orders/"), ("POST", "/v1.0/bindings/%6frders?x=1")]
    {
        let answer = send(&state, request(method, path, r#"{"operation":"create","data":{"b":1.0}}"#)).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
        assert_eq!(answer.headers["metadata.sequencenumber"], "495");
        assert!(!answer.headers.contains_key("content-type"));
        assert!(!answer.headers.contains_key("metadata.bad"), "it does not fit into a header");
    }
    assert_eq!(&fake.seen.lock().unwrap()[2].data[..], br#"{"b":1.0}"#);
    let page = state.metrics.page().unwrap();
    let line = r#"bindd_output_requests_total{component="orders",operation="create",status="204"} 3"#;
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn data_from_the_component_is_returned_with_200_as_json() {
    let answer = post(&usual().0, ORDERS, r#"{"operation":"echo","data":"x"}"#).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, r#""x""#));
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn the_trace_of_the_client_reaches_the_component_and_is_returned() {
    let (state, fake) = usual();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut traced = request("POST", ORDERS, r#"{"operation":"create","metadata":{"traceparent":"mine","k":"v"}}"#);
    traced.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(send(&state, traced).await.headers["traceparent"], parent);
    let metadata = fake.seen.lock().unwrap()[0].metadata.clone();
    assert_eq!((metadata.get("traceparent"), metadata.get("k")), (Some(parent), Some("v")));
    let mut broken = request("POST", ORDERS, r#"{"operation":"create"}"#);
    broken.headers_mut().insert("baggage", "nothing".parse().unwrap());
    let answer = send(&state, broken).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["errorCode"], "ERR_MALFORMED_REQUEST");
}

#[tokio::test]
async fn failures_have_their_statuses_and_the_texts_of_dapr() {
    let (state, _) = usual();
    let prefix = |name: &str| format!("error invoking output binding {name}: ");
    for (path, operation, status, message) in [
        (ORDERS, "", 400, prefix("orders") + "operation field is missing from request"),
        ("/v1.0/bindings/a+b", "create", 404, prefix("a b") + "couldn't find output binding a b"),
        (ORDERS, "deny", 403, prefix("orders") + "not allowed"),
        (ORDERS, "throttle", 429, prefix("orders") + "too much"),
        (
            ORDERS,
            "list",
            400,
            prefix("orders")
                + "binding orders does not support operation list. \
             supported operations:create echo wait panic throttle lose deny mix bury condition refuse",
        ),
    ] {
        let body = format!(r#"{{"operation":"{operation}"}}"#);
        let answer = post(&state, path, &body).await;
        assert_eq!(answer.status, status, "{message}");
        let plain = serde_json::json!({"errorCode": "ERR_INVOKE_OUTPUT_BINDING", "message": message});
        let mut json = answer.json();
        let info = json.as_object_mut().unwrap().remove("details").unwrap()[0].take();
        assert_eq!(json, plain);
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(info["domain"], "dapr.io");
        let reason = match status {
            400 => "VALIDATION",
            403 => "ACCESS_DENIED",
            404 => "RESOURCE_NOT_FOUND",
            _ => "THROTTLED",
        };
        assert_eq!((info["reason"].as_str(), &info["metadata"]), (Some(reason), &serde_json::Value::Null));
        let strict_answer = post(&strict(), path, &body).await;
        let metadata = (operation == "deny").then_some("403");
        for answer in [&answer, &strict_answer] {
            let header = answer.headers.get("metadata.statuscode");
            assert_eq!(header.map(|value| value.to_str().unwrap()), metadata, "also with errors");
        }
        assert_eq!(strict_answer.status, 500, "{message}");
        assert_eq!(strict_answer.json(), plain);
        assert!(!strict_answer.headers.contains_key("retry-after"));
        if operation == "throttle" {
            assert_eq!(answer.headers["retry-after"], "2", "one and a half seconds, rounded up");
        }
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_reported() {
    let body = r#"{"operation":"lose"}"#;
    let answer = post(&usual().0, ORDERS, body).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let json = answer.json();
    assert!(json["message"].as_str().unwrap().ends_with("the request may have been carried out)"), "{json}");
    assert_eq!(json["details"][0]["metadata"]["ambiguous"], "true");
    assert_eq!(json["details"][0]["reason"], "DEADLINE");
    let strict_answer = post(&strict(), ORDERS, body).await;
    let expected = "error invoking output binding orders: no reply in time";
    assert_eq!(
        strict_answer.json(),
        serde_json::json!({"errorCode": "ERR_INVOKE_OUTPUT_BINDING", "message": expected})
    );
}

#[tokio::test]
async fn strict_responses_are_exactly_those_of_dapr() {
    let (precise_state, strict_state) = (usual().0, strict());
    let created = post(&strict_state, ORDERS, r#"{"operation":"create"}"#).await;
    assert_eq!(created.status, StatusCode::NO_CONTENT);
    assert!(created.headers.keys().all(|name| !name.as_str().starts_with("metadata.")), "{:?}", created.headers);
    for (state, status) in [(&precise_state, 207), (&strict_state, 200)] {
        let mixed = post(state, ORDERS, r#"{"operation":"mix"}"#).await;
        assert_eq!((mixed.status.as_u16(), mixed.body.as_str()), (status, "[]"));
        assert_eq!(mixed.headers["metadata.failed"], "1");
        assert_eq!(mixed.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn the_error_json_has_the_details_of_the_failure() {
    let (state, _) = usual();
    let answer = post(&state, ORDERS, r#"{"operation":"bury"}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.headers["metadata.deadlettered"], "true");
    let info = answer.json()["details"][0].clone();
    assert_eq!((&info["reason"], &info["metadata"]["requestId"]), (&"UPSTREAM".into(), &"r-1".into()));
    assert_eq!((&info["metadata"]["deadLettered"], &info["metadata"]["ambiguous"]), (&"true".into(), &"true".into()));
    let answer = post(&state, ORDERS, r#"{"operation":"condition"}"#).await;
    assert_eq!(
        (answer.status, answer.json()["details"][0]["reason"].as_str()),
        (StatusCode::CONFLICT, Some("CONDITION_FAILED"))
    );
    let dapr = post(&strict(), ORDERS, r#"{"operation":"bury"}"#).await;
    assert!(dapr.json().get("details").is_none() && !dapr.headers.contains_key("metadata.deadlettered"));
}

#[tokio::test]
async fn a_raw_body_is_the_data_if_the_component_allows_it() {
    let (state, fake) = usual();
    let raw = |state: &Arc<ApiState>, body: &str| {
        let mut request = request("POST", ORDERS, body);
        let headers = request.headers_mut();
        headers.insert("content-type", "application/octet-stream".parse().unwrap());
        headers.insert("metadata.partitionkey", "k".parse().unwrap());
        headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
        send_owned(Arc::clone(state), request)
    };
    for (body, code) in [("\u{0}not json", "ERR_MALFORMED_REQUEST"), (r#"{"order":7}"#, "ERR_INVOKE_OUTPUT_BINDING")] {
        let refused = raw(&state, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "bodies are requests unless allowed otherwise");
        assert_eq!(refused.json()["errorCode"], code);
        assert!(refused.body.contains("allowRawBody"), "{}", refused.body);
        assert!(!raw(&strict(), body).await.body.contains("allowRawBody"), "daprd has no raw bodies");
    }
    let response = raw(&state, r#"{"operation":"create"}"#).await;
    assert_eq!(response.status, StatusCode::NO_CONTENT, "as in Dapr, a JSON request is a request");
    fake.takes_raw.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(raw(&state, "\u{0}not json").await.status, StatusCode::NO_CONTENT);
    let seen = fake.seen.lock().unwrap().pop().unwrap();
    assert_eq!((seen.operation.as_str(), &seen.data[..], seen.form), ("create", &b"\0not json"[..], DataForm::Raw));
    assert_eq!(seen.metadata.get("partitionKey"), Some("k"));
    assert!(seen.metadata.get("traceparent").is_some());
}

#[tokio::test]
async fn bodies_beyond_the_buffer_are_refused_until_memory_is_released() {
    let (state, fake) = state_with_buffer(HttpSettings::default(), Some(64));
    let service = Api::new(Arc::clone(&state));
    let waiting = request("POST", ORDERS, &format!("{:<60}", r#"{"operation":"wait"}"#));
    let mut first = Box::pin(service.respond(waiting, CALLER));
    assert!(futures_util::poll!(&mut first).is_pending());
    let refused = service.respond(request("POST", ORDERS, r#"{"operation":"create"}"#), CALLER).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let json: serde_json::Value =
        serde_json::from_slice(&refused.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(json["errorCode"], "ERR_INVOKE_OUTPUT_BINDING", "nothing is wrong with the request");
    assert!(json["message"].as_str().unwrap().starts_with("error invoking output binding orders: the sidecar holds"));
    assert_eq!(
        (&json["details"][0]["reason"], &json["details"][0]["metadata"]["limit"]),
        (&"UNAVAILABLE".into(), &"64".into())
    );
    fake.go.add_permits(1);
    assert_eq!(first.await.status(), StatusCode::NO_CONTENT);
    let after = service.respond(request("POST", ORDERS, r#"{"operation":"create"}"#), CALLER).await;
    assert_eq!(after.status(), StatusCode::NO_CONTENT);
    let never = service.respond(request("POST", ORDERS, &" ".repeat(65)), CALLER).await;
    assert_eq!(never.status(), StatusCode::PAYLOAD_TOO_LARGE, "a body that can never fit must not be retried");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let (state, _) = state(HttpSettings { max_body_size: Some(64), ..HttpSettings::default() });
    let fitting = format!("{:<64}", r#"{"operation":"create"}"#);
    assert_eq!(post(&state, ORDERS, &fitting).await.status, StatusCode::NO_CONTENT);
    let answer = post(&state, ORDERS, &format!("{fitting} ")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["message"], "failed deserializing HTTP body: stream too large");
    assert_eq!(post(&strict(), ORDERS, &format!("{fitting} ")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_panic_is_answered_and_counted_and_unknown_names_share_a_label() {
    let (state, _) = usual();
    let answer = post(&state, ORDERS, r#"{"operation":"panic"}"#).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["errorCode"], "ERR_INTERNAL");
    assert!(!answer.body.contains("on purpose"));
    for name in ["x", "y"] {
        post(&state, &format!("/v1.0/bindings/{name}"), &format!(r#"{{"operation":"{name}"}}"#)).await;
    }
    let page = state.metrics.page().unwrap();
    for line in [
        r#"{component="orders",operation="panic",status="500"} 1"#,
        r#"{component="unknown",operation="unknown",status="404"} 2"#,
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_answered_as_in_dapr() {
    let (state, _) = usual();
    for (method, path) in [
        ("GET", ORDERS),
        ("OPTIONS", "/v1.0/metadata"),
        ("POST", "/v1.0/bindings/"),
        ("POST", "/v1.0/bindings/a/b"),
        ("GET", "/"),
    ] {
        let answer = send(&state, request(method, path, "")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(answer.json()["errorCode"], "ERR_DIRECT_INVOKE");
    }
    let answer = post(&state, "/v1.0/bindings/a%zz", "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let text = r#"failed to unescape request parameter "name". Error: invalid URL escape "%zz""#;
    assert_eq!(answer.body, format!("{text}\n"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn the_token_is_required_except_for_health() {
    let (state, _) = state(HttpSettings { api_token: Some(SecretString::from("s3cret")), ..HttpSettings::default() });
    for token in [None, Some("wrong!"), Some("s3cre"), Some("s3cret!")] {
        let mut call = request("POST", ORDERS, r#"{"operation":"create"}"#);
        if let Some(token) = token {
            call.headers_mut().insert("dapr-api-token", token.parse().unwrap());
        }
        let answer = send(&state, call).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, "invalid api token\n"));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    let mut call = request("POST", ORDERS, r#"{"operation":"create"}"#);
    call.headers_mut().insert("dapr-api-token", "s3cret".parse().unwrap());
    assert_eq!(send(&state, call).await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/healthz").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/healthz/outbound").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/metadata").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn health_reports_what_is_pending() {
    let (state, _) = usual();
    let guards = (state.ready.guard("app"), state.ready.guard("orders-in"), state.outbound.guard("http"));
    let answer = get(&state, "/v1.0/healthz").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let expected =
        serde_json::json!({"errorCode": "ERR_HEALTH_NOT_READY", "message": "dapr is not ready: [app orders-in]"});
    assert_eq!(answer.json(), expected);
    assert_eq!(get(&state, "/v1.0/healthz?appid=other").await.json(), expected, "readiness comes first");
    assert_eq!(get(&state, "/v1.0/healthz/outbound").await.json()["errorCode"], "ERR_OUTBOUND_HEALTH_NOT_READY");
    drop(guards);
    assert_eq!(get(&state, "/v1.0/healthz?appid=s%68op").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/healthz?appid=").await.json()["errorCode"], "ERR_HEALTH_APPID_NOT_MATCH");
    assert_eq!(get(&state, "/v1.0/healthz?appid=shop").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/healthz?appid=other").await.json()["errorCode"], "ERR_HEALTH_APPID_NOT_MATCH");
}

#[tokio::test]
async fn without_an_app_port_the_connection_of_the_app_is_still_described() {
    let (mut state, _) = usual();
    Arc::get_mut(&mut state).unwrap().app = AppConnection::default();
    let expected = serde_json::json!({"protocol": "http", "channelAddress": "127.0.0.1"});
    assert_eq!(get(&state, "/v1.0/metadata").await.json()["appConnectionProperties"], expected);
}

#[tokio::test]
async fn metadata_and_shutdown_answer_as_dapr_does() {
    let (state, _) = usual();
    let version = env!("CARGO_PKG_VERSION");
    let expected = serde_json::json!({
        "id": "shop",
        "runtimeVersion": version,
        "components": [{"name": "orders", "type": "bindings.fake", "version": "v1", "capabilities": ["OUTPUT_BINDING"]}],
        "enabledFeatures": ["HotReload"],
        "extended": {"appPID": "7", "daprRuntimeVersion": version},
        "appConnectionProperties": {"port": 3000, "protocol": "http", "channelAddress": "127.0.0.1"},
        "actorRuntime": {"runtimeStatus": "DISABLED", "hostReady": false, "placement": "placement: disconnected"},
    });
    assert_eq!(send(&state, request("PUT", "/v1.0/metadata/appPID", "7")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&state, "/v1.0/metadata").await.json(), expected);
    assert!(!state.stop.is_finishing());
    assert_eq!(post(&state, "/v1.0/shutdown", "").await.status, StatusCode::NO_CONTENT);
    assert!(state.stop.is_finishing());
}

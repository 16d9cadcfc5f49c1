//! Every documented status of every route is provoked over a socket, and each answer is as documented.

use super::super::endpoint::{OTHER_BLOCKS, ROUTES, Route};
use super::super::{ApiState, Drained, HttpSettings, bind, serve_public};
use super::api_schema::{ApiSchema, DOCUMENT};
use super::fake_binding::state;
use super::openapi::operations;
use super::openapi_components::managing;
use super::running::{LONG, Running, exchange, rest};
use crate::domain::{ApiProtocol, ApiRule, ApiRules, Stop};
use crate::tasks::Supervisor;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SMALL: usize = 64;

pub(super) struct Received {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

fn parse(text: &str) -> Received {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    Received { status, headers: lines.map(header).collect(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// What was documented and what was seen.
pub(super) struct Coverage {
    schema: ApiSchema,
    /// Method, path and status.
    seen: BTreeSet<(String, String, u16)>,
    codes: BTreeSet<String>,
}

impl Coverage {
    fn new() -> Self {
        Self { schema: ApiSchema::new(DOCUMENT), seen: BTreeSet::new(), codes: BTreeSet::new() }
    }

    /// Checks an answer of a route.
    fn check(&mut self, route: &Route, received: &Received) {
        let method = route.method.as_str();
        let operation = format!("/paths/{}/{}", route.path.replace('/', "~1"), method.to_ascii_lowercase());
        self.schema.check_response(&operation, received.status, &received.headers, &received.body);
        self.seen.insert((method.to_owned(), route.path.to_owned(), received.status));
        let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let errors = body.as_array().into_iter().flatten().map(|error| &error["code"]);
        let codes = std::iter::once(&body["errorCode"]).chain(errors).filter_map(serde_json::Value::as_str);
        self.codes.extend(codes.map(str::to_owned));
    }

    /// Sends a request and checks that it gets this status, as documented.
    pub(super) async fn expect(&mut self, address: SocketAddr, route: &Route, request: Sent<'_>, status: u16) {
        let text = request.text(route);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let received = parse(&exchange(&mut stream, &text).await);
        assert_eq!(received.status, status, "{text}\n{}", String::from_utf8_lossy(&received.body));
        self.check(route, &received);
    }
}

#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    /// The app in the path of a data connector.
    pub(super) app: &'a str,
    /// The value of the parameter in the path, and the query.
    pub(super) parameter: &'a str,
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

pub(super) const PLAIN: Sent<'static> =
    Sent { app: "shop", parameter: "orders", query: "", host: "localhost", headers: "", body: "{}" };

impl Sent<'_> {
    fn text(&self, route: &Route) -> String {
        let Self { app, parameter, query, host, headers, body } = self;
        let segment = |part: &str| match part {
            "{app}" => (*app).to_owned(),
            part if part.starts_with('{') => (*parameter).to_owned(),
            part => part.to_owned(),
        };
        let path = route.path.split('/').map(segment).collect::<Vec<_>>().join("/");
        let length = body.len();
        format!(
            "{} {path}{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}",
            route.method
        )
    }
}

fn route(method: &str, path: &str) -> &'static Route {
    ROUTES.iter().find(|route| route.method == method && route.path == path).unwrap()
}

fn denying_all() -> HttpSettings {
    let rule = |name: &str| ApiRule { name: name.to_owned(), version: "v1".to_owned(), protocol: ApiProtocol::Http };
    let api_rules = ApiRules {
        denied: ["bindings", "metadata", "shutdown", "components"].map(rule).to_vec(),
        ..ApiRules::default()
    };
    HttpSettings { api_rules, ..HttpSettings::default() }
}

fn small() -> HttpSettings {
    HttpSettings { max_body_size: Some(SMALL), ..managed() }
}

pub(super) async fn running(settings: HttpSettings) -> Running {
    Running::start(settings, LONG).await
}

/// What every route answers: 403 to a foreign name, and besides health 400, 401 and 404.
async fn refusals(coverage: &mut Coverage) {
    let usual = running(HttpSettings::default()).await;
    let api_token = Some(SecretString::from("s3cret"));
    let guarded = running(HttpSettings { api_token, ..managed() }).await;
    let (denying, managing) = (running(denying_all()).await, running(managed()).await);
    for route in &ROUTES {
        coverage.expect(usual.address, route, Sent { host: "evil.example", ..PLAIN }, 403).await;
        if route.endpoint.is_health() {
            continue;
        }
        coverage.expect(usual.address, route, Sent { headers: "baggage: nothing\r\n", ..PLAIN }, 400).await;
        coverage.expect(guarded.address, route, PLAIN, 401).await;
        coverage.expect(guarded.address, route, Sent { headers: "dapr-api-token: wrong\r\n", ..PLAIN }, 401).await;
        coverage.expect(denying.address, route, PLAIN, 404).await;
        if route.path.contains('{') {
            let headers = if route.endpoint.is_admin() { ADMIN } else { "" };
            let sent = Sent { app: "a%zz", parameter: "a%zz", headers, ..PLAIN };
            coverage.expect(managing.address, route, sent, 400).await;
        }
    }
    assert!(!usual.state.stop.is_finishing() && !guarded.state.stop.is_finishing());
}

async fn pages(coverage: &mut Coverage) {
    let usual = running(HttpSettings::default()).await;
    let (address, health) = (usual.address, route("GET", "/v1.0/healthz"));
    let outbound = route("GET", "/v1.0/healthz/outbound");
    coverage.expect(address, health, PLAIN, 204).await;
    coverage.expect(address, health, Sent { query: "?appid=other", ..PLAIN }, 500).await;
    coverage.expect(address, outbound, PLAIN, 204).await;
    let pending = (usual.state.ready.guard("app"), usual.state.outbound.guard("orders"));
    coverage.expect(address, health, PLAIN, 500).await;
    coverage.expect(address, outbound, PLAIN, 500).await;
    drop(pending);
    for path in ["/v1.0/metadata", "/v1.0-alpha1/inputs", "/v1.0-alpha1/openapi.json"] {
        coverage.expect(address, route("GET", path), PLAIN, 200).await;
    }
    coverage.expect(address, route("POST", "/v1.0/shutdown"), PLAIN, 204).await;
    assert!(usual.state.stop.is_finishing());
}

async fn values(coverage: &mut Coverage) {
    let set = route("PUT", "/v1.0/metadata/{key}");
    let usual = running(HttpSettings::default()).await;
    coverage.expect(usual.address, set, PLAIN, 204).await;
    while usual.state.extended.set(&uuid::Uuid::new_v4().to_string(), "").is_ok() {}
    coverage.expect(usual.address, set, Sent { parameter: "one-more", ..PLAIN }, 507).await;
    bodies(coverage, set).await;
}

/// What opens the routes that manage components.
pub(super) const ADMIN: &str = "dapr-api-token: s3cret\r\n";

pub(super) fn managed() -> HttpSettings {
    HttpSettings { admin_token: Some(SecretString::from("s3cret")), ..HttpSettings::default() }
}

/// What routes with a body answer to one that cannot be read.
pub(super) async fn bodies(coverage: &mut Coverage, route: &Route) {
    let large = "x".repeat(SMALL + 1);
    let headers = if route.endpoint.is_admin() { ADMIN } else { "" };
    let sent = Sent { headers, ..PLAIN };
    coverage.expect(running(small()).await.address, route, Sent { body: &large, ..sent }, 413).await;
    let full = Running::start_with_buffer(managed(), LONG, Some(SMALL)).await;
    let mut held = full.state.body_memory.reservation();
    held.grow(SMALL - 1).unwrap();
    coverage.expect(full.address, route, sent, 503).await;
    let slow = running(managed()).await;
    let mut stream = TcpStream::connect(slow.address).await.unwrap();
    let request = Sent { body: &large, ..sent }.text(route);
    stream.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
    let received = parse(&rest(&mut stream).await);
    assert_eq!(received.status, 408);
    coverage.check(route, &received);
}

async fn calls(coverage: &mut Coverage, method: &str) {
    let invoke = route(method, "/v1.0/bindings/{name}");
    let usual = running(HttpSettings::default()).await;
    for (operation, status) in [
        ("create", 204),
        ("echo", 200),
        ("mix", 207),
        ("nothing", 400),
        ("deny", 403),
        ("condition", 409),
        ("throttle", 429),
        ("panic", 500),
        ("refuse", 501),
        ("bury", 502),
        ("lose", 504),
    ] {
        let body = format!(r#"{{"operation":"{operation}","data":1,"metadata":{{"k":"v"}}}}"#);
        coverage.schema.check("/components/schemas/InvokeRequest", &serde_json::from_str(&body).unwrap());
        coverage.expect(usual.address, invoke, Sent { body: &body, ..PLAIN }, status).await;
    }
    coverage.expect(usual.address, invoke, Sent { body: "not json", ..PLAIN }, 400).await;
    let unknown = Sent { parameter: "unknown", body: r#"{"operation":"create"}"#, ..PLAIN };
    coverage.expect(usual.address, invoke, unknown, 404).await;
    coverage.expect(usual.address, invoke, Sent { parameter: "switched-off", ..unknown }, 409).await;
    bodies(coverage, invoke).await;
}

/// The public port serves some of the routes, without a token.
async fn public(coverage: &mut Coverage) {
    let settings = HttpSettings { api_token: Some(SecretString::from("s3cret")), ..HttpSettings::default() };
    let mut tasks: Supervisor<Drained> = Supervisor::new();
    let mut start = async |state: Arc<ApiState>| {
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let address = listeners.addresses()[0];
        tasks.spawn("public", serve_public(listeners, state, Stop::new(), LONG));
        address
    };
    let (usual, denying) = (start(state(settings).0).await, start(state(denying_all()).0).await);
    for route in &ROUTES {
        let is_health = route.endpoint.is_health();
        let status = if route.endpoint.is_public() { if is_health { 204 } else { 200 } } else { 404 };
        coverage.expect(usual, route, PLAIN, status).await;
        if !is_health {
            coverage.expect(denying, route, PLAIN, 404).await;
        }
    }
}

/// The answer to what bindd does not serve.
async fn not_served(coverage: &mut Coverage) {
    let usual = running(HttpSettings::default()).await;
    let blocks = OTHER_BLOCKS.iter().map(|(segment, _)| format!("/v1.0/{segment}/x"));
    for path in blocks.chain(["/".to_owned(), "/v1.0/bindings".to_owned(), "/v2".to_owned()]) {
        let mut stream = usual.connect().await;
        let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let received = parse(&exchange(&mut stream, &request).await);
        assert_eq!(received.status, 404, "{path}");
        let body = serde_json::from_slice(&received.body).unwrap();
        coverage.schema.check("/components/responses/NotFound/content/application~1json/schema", &body);
    }
}

// Paused, so that the wait for a silent client takes no time.
#[tokio::test(start_paused = true)]
async fn every_documented_status_is_answered_and_no_other() {
    let mut coverage = Coverage::new();
    refusals(&mut coverage).await;
    pages(&mut coverage).await;
    values(&mut coverage).await;
    calls(&mut coverage, "POST").await;
    calls(&mut coverage, "PUT").await;
    managing(&mut coverage).await;
    public(&mut coverage).await;
    not_served(&mut coverage).await;
    let document = coverage.schema.document();
    let statuses = |(method, path, operation): (String, String, &serde_json::Value)| {
        let statuses: Vec<u16> =
            operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect();
        statuses.into_iter().map(move |status| (method.clone(), path.clone(), status)).collect::<Vec<_>>()
    };
    let documented: BTreeSet<_> = operations(document).into_iter().flat_map(statuses).collect();
    assert_eq!(coverage.seen, documented);
    let schemas = &document["components"]["schemas"];
    let codes = [("Error", "errorCode"), ("DataConnectorError", "code")]
        .map(|(schema, member)| schemas[schema]["properties"][member]["enum"].as_array().unwrap());
    let documented: BTreeSet<_> = codes.into_iter().flatten().map(|code| code.as_str().unwrap().to_owned()).collect();
    assert_eq!(coverage.codes, documented);
}

//! Each route that manages components or data connectors, called by all who may not.

use super::api::{ComponentsApi, TOKEN, json_of, output, settings, start_with};
use crate::calls::{self, Response};
use crate::captured_log::CapturedLog;
use crate::environment::{Environment, Sidecar};
use http::Request;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

const API_TOKEN: &str = "token-of-the-app";
const ROUTES: [(&str, &str); 18] = [
    ("GET", "/v1.0-alpha1/components"),
    ("POST", "/v1.0-alpha1/components"),
    ("POST", "/v1.0-alpha1/components/test"),
    ("GET", "/v1.0-alpha1/components/orders"),
    ("PUT", "/v1.0-alpha1/components/orders"),
    ("PATCH", "/v1.0-alpha1/components/orders"),
    ("DELETE", "/v1.0-alpha1/components/orders"),
    ("GET", "/v1.0-alpha1/components/orders/status"),
    ("POST", "/v1.0-alpha1/components/orders/enable"),
    ("POST", "/v1.0-alpha1/components/orders/disable"),
    ("POST", "/v1.0-alpha1/components/orders/test"),
    ("GET", "/v3/apps/shop/dataconnectors"),
    ("POST", "/v3/apps/shop/dataconnectors"),
    ("POST", "/v3/apps/shop/dataconnectors/test"),
    ("GET", "/v3/apps/shop/dataconnectors/orders"),
    ("PUT", "/v3/apps/shop/dataconnectors/orders"),
    ("DELETE", "/v3/apps/shop/dataconnectors/orders"),
    ("GET", "/v3/apps/shop/dataconnectors/orders/test"),
];

/// An address of this machine that other machines know. The system chooses it for a route to them; nothing is sent.
/// Without a network there is none: then one of loopback that is not the usual one, so that the rows are still checked.
fn other_address() -> IpAddr {
    let routed = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    routed.map(|address| address.ip()).unwrap_or(Ipv4Addr::new(127, 0, 0, 2).into())
}

struct Called {
    sidecar: Sidecar,
    loopback: SocketAddr,
    /// The same sidecar from elsewhere.
    elsewhere: SocketAddr,
    body: String,
}

impl Called {
    /// Listens on every address, with an output `orders`, which is a data connector too.
    async fn start(env: &Environment) -> Self {
        env.stream("one", 1).await;
        let mut settings = settings(env, None);
        settings.http_addresses = vec!["0.0.0.0:0".parse().unwrap()];
        settings.api_token = Some(API_TOKEN.into());
        let (sidecar, _) = start_with(&settings).await;
        let at = |ip: IpAddr| SocketAddr::new(ip, sidecar.address().port());
        let (loopback, elsewhere) = (at(Ipv4Addr::LOCALHOST.into()), at(other_address()));
        let body = output(env, "orders", "one");
        let created = ComponentsApi::at(loopback).post("", &body).await;
        assert_eq!(created.status, 201, "{}", created.text());
        Self { sidecar, loopback, elsewhere, body: body.to_string() }
    }

    async fn call(&self, to: SocketAddr, (method, path): (&str, &str), headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        calls::send(to, request, &self.body).await
    }
}

#[tokio::test]
async fn no_route_answers_a_caller_without_the_token_or_a_web_page() {
    let env = Environment::start().await;
    let called = Called::start(&env).await;
    let page = ("origin", "https://shop.example");
    let token = ("dapr-api-token", TOKEN);
    for (caller, to, headers, status) in [
        ("no token", called.loopback, &[][..], 401),
        ("a wrong token", called.loopback, &[("dapr-api-token", "wrong")], 401),
        ("an empty token", called.loopback, &[("dapr-api-token", "")], 401),
        ("the token of the other routes", called.loopback, &[("dapr-api-token", API_TOKEN)], 401),
        ("no token from elsewhere", called.elsewhere, &[], 401),
        ("a wrong token from elsewhere", called.elsewhere, &[("dapr-api-token", "wrong")], 401),
        ("the token of the other routes from elsewhere", called.elsewhere, &[("dapr-api-token", API_TOKEN)], 401),
        ("a page", called.loopback, &[token, page], 403),
        ("a page without an origin", called.loopback, &[token, ("origin", "null")], 403),
        ("a page on this machine", called.loopback, &[token, ("origin", "http://localhost:3500")], 403),
        ("a page of another site", called.loopback, &[token, ("sec-fetch-site", "cross-site")], 403),
        ("a page without the token", called.loopback, &[page], 403),
        ("a page from elsewhere", called.elsewhere, &[token, page], 403),
        ("a page of another site from elsewhere", called.elsewhere, &[token, ("sec-fetch-site", "same-site")], 403),
    ] {
        for route in ROUTES {
            let response = called.call(to, route, headers).await;
            assert_eq!(response.status, status, "{caller}: {route:?}: {}", response.text());
            let code = match (route.1.starts_with("/v3"), status) {
                (false, 401) => "\"errorCode\":\"ERR_UNAUTHORIZED\"",
                (false, _) => "\"errorCode\":\"ERR_FORBIDDEN\"",
                (true, 401) => "\"code\":\"Unauthorized\"",
                (true, _) => "\"code\":\"AccessDenied\"",
            };
            assert!(response.text().contains(code), "{caller}: {route:?}: {}", response.text());
        }
    }
    let orders = ComponentsApi::at(called.loopback).get("/orders").await;
    assert_eq!(json_of(&orders)["status"]["state"], json!("running"), "nothing was changed");
    called.sidecar.stop().await;
}

#[tokio::test]
async fn the_token_opens_the_routes_from_elsewhere_too_under_any_host_name() {
    let env = Environment::start().await;
    let called = Called::start(&env).await;
    let is_loopback = called.elsewhere.ip().is_loopback();
    for (method, path) in ROUTES.iter().filter(|(method, _)| *method == "GET") {
        let response = called.call(called.elsewhere, (method, path), &[("dapr-api-token", TOKEN)]).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let url = format!("http://sidecar.example{path}");
        for (to, status) in [(called.loopback, 403), (called.elsewhere, if is_loopback { 403 } else { 200 })] {
            let response = called.call(to, (method, &url), &[("dapr-api-token", TOKEN)]).await;
            assert_eq!(response.status, status, "{to} {url}: {}", response.text());
        }
    }
    let api = ComponentsApi::at(called.elsewhere);
    assert_eq!(api.delete("/orders").await.status, 204);
    called.sidecar.stop().await;
}

#[tokio::test]
async fn refused_tokens_are_in_the_audit_log_and_a_flood_of_them_is_one_line() {
    let env = Environment::start().await;
    let called = Called::start(&env).await;
    let log = CapturedLog::default();
    let recording = log.record();
    for _ in 0..20 {
        for route in ROUTES {
            called.call(called.elsewhere, route, &[]).await;
            called.call(called.loopback, route, &[("dapr-api-token", "a-wrong-t0ken")]).await;
        }
    }
    called.call(called.loopback, ROUTES[0], &[("dapr-api-token", TOKEN)]).await;
    drop(recording);
    let lines: Vec<String> = log.lines().into_iter().filter(|line| line.contains("refused for its token")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let elsewhere = format!("peer=\"{}:", called.elsewhere.ip());
    for (line, parts) in
        lines.iter().zip([["token=\"missing\"", elsewhere.as_str()], ["token=\"wrong\"", "peer=\"127.0.0.1:"]])
    {
        let all = [" audit: ", "method=\"GET\"", "route=\"/v1.0-alpha1/components\"", "more=0", "ERR_UNAUTHORIZED"];
        assert!(parts.iter().chain(&all).all(|part| line.contains(part)), "{line}");
        assert!(!line.contains("a-wrong-t0ken"), "{line}");
    }
    called.sidecar.stop().await;
}

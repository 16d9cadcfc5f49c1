//! §1.6, §1.7: tokens, CORS, limits, protocols and trace headers.

use super::{Row, check, environment, exchange, request};
use crate::environment::Sidecar;
use bindd::http::AllowedOrigins;

const CREATE: &str = r#"{"operation":"create","data":1}"#;
const METADATA: &str = "GET /v1.0/metadata";

#[tokio::test]
async fn tokens() {
    let env = environment().await;
    let mut settings = env.settings(None);
    settings.api_token = Some("s3cret".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let plain = &[("content-type", Some("text/plain; charset=utf-8")), ("x-content-type-options", Some("nosniff"))];
    let row = |says, headers: &str, status, body| Row {
        says,
        request: request("POST /v1.0/bindings/orders", headers, CREATE),
        status,
        headers: if status == 401 { plain } else { &[] },
        body,
    };
    check(
        sidecar.address(),
        &[
            row("1.6 no token", "", 401, "invalid api token\n"),
            row("1.6 a wrong token", "dapr-api-token: other\r\n", 401, "invalid api token\n"),
            row("1.6 the token", "dapr-api-token: s3cret\r\n", 204, ""),
            Row {
                says: "1.6 outbound health needs none",
                request: request("GET /v1.0/healthz/outbound", "", ""),
                status: 204,
                headers: &[],
                body: "",
            },
        ],
    )
    .await;
    sidecar.stop().await;
}

#[tokio::test]
async fn cross_origin_requests() {
    let env = environment().await;
    let preflight = "origin: https://shop.example\r\naccess-control-request-method: POST\r\n\
                     access-control-request-headers: dapr-api-token\r\n";
    let off = env.sidecar(None).await;
    let answer = exchange(off.address(), &request("OPTIONS /v1.0/metadata", "", "")).await;
    assert_eq!((answer.status, answer.header("vary")), (404, None), "1.6 without --allowed-origins there is no CORS");
    off.stop().await;

    let mut settings = env.settings(None);
    settings.api_token = Some("s3cret".to_owned().into());
    for (says, list, allowed) in
        [("1.6 a list", "https://shop.example,https://other.example", "https://shop.example"), ("1.6 all", "*", "*")]
    {
        settings.access.origins = AllowedOrigins::parse(list).unwrap();
        let sidecar = Sidecar::start(&settings).await.unwrap();
        let answer = exchange(sidecar.address(), &request("OPTIONS /v1.0/metadata", preflight, "")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{says}: a preflight needs no token");
        assert_eq!(answer.header("access-control-allow-origin"), Some(allowed), "{says}");
        assert_eq!(answer.header("access-control-allow-headers"), Some("dapr-api-token"), "{says}");
        let methods = answer.header("access-control-allow-methods").unwrap();
        for method in ["head", "get", "post", "put", "patch", "delete"] {
            assert!(methods.contains(method), "{says}: {methods}");
        }
        assert!(answer.header("vary").is_some(), "{says}");
        let headers = "origin: https://shop.example\r\n";
        let answer = exchange(sidecar.address(), &request(METADATA, headers, "")).await;
        assert_eq!(answer.status, 401, "{says}: other requests need it");
        assert_eq!(answer.header("access-control-allow-origin"), Some(allowed), "{says}: and the page may read why");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn trace_headers() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let address = sidecar.address();
    let sent =
        format!("traceparent: {}\r\ntracestate: a=1\r\nbaggage: k=v\r\nbaggage: l=%20\r\n", parent.to_uppercase());
    for (says, method_and_path, body) in [
        ("1.7 an invoke", "POST /v1.0/bindings/orders", CREATE),
        ("1.7 a failed invoke", "POST /v1.0/bindings/none", CREATE),
        ("1.7 a body that cannot be read", "POST /v1.0/bindings/orders", "{"),
        ("1.7 metadata", METADATA, ""),
        ("1.7 no such route", "GET /v1.0/nothing", ""),
    ] {
        let answer = exchange(address, &request(method_and_path, &sent, body)).await;
        let values = ["traceparent", "tracestate", "baggage"].map(|name| answer.header(name));
        assert_eq!(values, [Some(parent), Some("a=1"), Some("k=v,l=%20")], "{says}");
        let answer = exchange(address, &request(method_and_path, "", body)).await;
        let made = answer.header("traceparent").unwrap_or_else(|| panic!("{says}: no traceparent"));
        assert!(made.len() == 55 && made.starts_with("00-") && made.ends_with("-00"), "{says}: {made}");
    }
    for path in ["GET /v1.0/healthz", "GET /v1.0/healthz/outbound"] {
        let answer = exchange(address, &request(path, &sent, "")).await;
        assert_eq!(answer.header("traceparent"), None, "1.7 health is not traced");
    }
    for bad in ["k", "k=%zz", "k=v;", "k y=v"] {
        let answer =
            exchange(address, &request("POST /v1.0/bindings/orders", &format!("baggage: {bad}\r\n"), CREATE)).await;
        assert_eq!(
            (answer.status, answer.json()["errorCode"].as_str()),
            (400, Some("ERR_MALFORMED_REQUEST")),
            "1.3 {bad}"
        );
        assert!(answer.json()["message"].as_str().unwrap().starts_with("invalid baggage header: "), "{bad}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn http_2_by_prior_knowledge_can_be_switched_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let env = environment().await;
    let mut settings = env.settings(None);
    for (says, http2) in [("1.6 on", true), ("1.6 off with DAPR_HTTP_DISABLE_H2C", false)] {
        settings.http2 = http2;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(sidecar.address()).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut bytes = [0; 2];
        // The first frame is SETTINGS, which is short; HTTP/1.1 closes the connection.
        let is_frame = bindd::testing::within(says, stream.read_exact(&mut bytes)).await.is_ok() && bytes == [0, 0];
        assert_eq!(is_frame, http2, "{says}");
        sidecar.stop().await;
    }
}

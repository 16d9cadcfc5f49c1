//! What `--dapr-compat` changes over HTTP: rows of docs/dapr-compatibility.md about requests and access.

use super::{environment, exchange, request};
use crate::environment::Sidecar;
use bindd::http::AllowedOrigins;
use bindd::settings::{Command, parse};
use std::ffi::OsString;

#[tokio::test]
async fn requests_are_answered_as_by_daprd() {
    let env = environment().await;
    let mut settings = env.settings(None);
    let flags = ["bindd", "--app-id", "shop", "--dapr-compat"].map(OsString::from);
    let Ok(Command::Run(compat)) = parse(flags.into_iter()) else { panic!("the flags start a sidecar") };
    assert!(compat.strict_dapr_errors && compat.http_addresses[0].ip().is_unspecified());
    assert!(compat.metrics_address.unwrap().ip().is_unspecified() && compat.grpc_addresses[0].ip().is_unspecified());
    (settings.dapr_compat, settings.strict_dapr_errors, settings.access) = (true, true, compat.access);
    settings.access.origins = AllowedOrigins::parse("https://shop.example").unwrap();
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let address = sidecar.address();
    let data = r#"{"operation":"create","data":{"b": 1.0, "a": "<", "n": 12345678901234567890}}"#;
    let page = "origin: https://shop.example\r\nhost: other.example\r\n";
    let answer = exchange(address, &request("POST /v1.0/bindings/orders", page, data)).await;
    assert_eq!(answer.status, 204, "pages and host names are not checked: {}", answer.body);
    assert!(!answer.head.contains("metadata."), "a 204 has no metadata: {}", answer.head);
    let zero = "00-00000000000000000000000000000000-0000000000000000-00";
    assert_eq!(answer.header("traceparent"), Some(zero));
    let stored = env.records("orders").await.remove(0).data.into_inner();
    assert_eq!(String::from_utf8(stored).unwrap(), r#"{"a":"\u003c","b":1,"n":12345678901234567000}"#);
    let preflight = "origin: https://evil.example\r\naccess-control-request-method: POST\r\n";
    let answer = exchange(address, &request("OPTIONS /v1.0/metadata", preflight, "")).await;
    assert_eq!(answer.status, 200, "1.6 a preflight of another origin is answered 200");
    let allow =
        ["origin", "methods"].map(|what| answer.header(&format!("access-control-allow-{what}")).map(str::to_owned));
    assert_eq!((allow, answer.header("vary").is_some()), ([None, None], true), "1.6 without permissions");
    let missing = exchange(address, &request("GET /v1.0/state/store/key", "", "")).await;
    let text = "failed getting app id either from the URL path or the header dapr-app-id";
    assert_eq!((missing.status, missing.json()["message"].as_str()), (404, Some(text)));
    let baggage = exchange(address, &request("GET /v1.0/metadata", "baggage: k\r\n", "")).await;
    assert_eq!((baggage.status, baggage.header("x-content-type-options")), (400, Some("nosniff")));
    assert!(baggage.body.starts_with("invalid baggage header: ") && baggage.body.ends_with('\n'), "{}", baggage.body);
    let failed = exchange(address, &request("POST /v1.0/bindings/none", "", r#"{"operation":"create"}"#)).await;
    let expected = "error invoking output binding none: couldn't find output binding none";
    assert_eq!((failed.status, failed.json()["message"].as_str()), (500, Some(expected)));
    sidecar.stop().await;
}

//! §1.1, §1.4: methods, paths and successful responses.

use super::{Row, check, environment, exchange, request};

const CREATE: &str = r#"{"operation":"create","data":1}"#;

#[tokio::test]
async fn routes_and_methods() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let row = |says, method_and_path: &str, status, body| Row {
        says,
        request: request(method_and_path, "", CREATE),
        status,
        headers: &[],
        body,
    };
    check(
        sidecar.address(),
        &[
            row("1.1 POST", "POST /v1.0/bindings/orders", 204, ""),
            row("1.1 PUT is the same", "PUT /v1.0/bindings/orders", 204, ""),
            row("1.1 double slashes are collapsed", "POST //v1.0//bindings/orders", 204, ""),
            row("1.1 dots are resolved", "POST /v1.0/x/../bindings/./orders", 204, ""),
            row("1.1 a trailing slash is removed", "POST /v1.0/bindings/orders/", 204, ""),
            row("1.1 the name is unescaped", "POST /v1.0/bindings/%6Frders", 204, ""),
            row("1.1 a query is ignored", "POST /v1.0/bindings/orders?metadata.partitionKey=a", 204, ""),
        ],
    )
    .await;
    for (says, method_and_path) in [
        ("1.1 GET", "GET /v1.0/bindings/orders"),
        ("1.1 DELETE", "DELETE /v1.0/bindings/orders"),
        ("1.1 PATCH", "PATCH /v1.0/bindings/orders"),
        ("1.1 OPTIONS", "OPTIONS /v1.0/bindings/orders"),
        ("1.1 more segments", "POST /v1.0/bindings/orders/more"),
        ("1.1 no name", "POST /v1.0/bindings"),
        ("1.1 no alpha version", "POST /v1.0-alpha1/bindings/orders"),
        ("1 other building blocks", "GET /v1.0/state/store/key"),
        ("1 other building blocks", "POST /v1.0/publish/pubsub/topic"),
        ("1 other building blocks", "POST /v1.0/invoke/app/method/hello"),
    ] {
        let answer = exchange(sidecar.address(), &request(method_and_path, "", CREATE)).await;
        assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (404, Some("ERR_DIRECT_INVOKE")), "{says}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{says}");
        assert!(answer.body.contains("bindd serves"), "{says}: {}", answer.body);
        assert_eq!(answer.header("allow"), None, "{says}: never 405");
    }
    let space = exchange(sidecar.address(), &request("POST /v1.0/bindings/a+b%20c", "", CREATE)).await;
    assert!(space.body.contains("couldn't find output binding a b c"), "1.1 + and %20 are spaces: {}", space.body);
    sidecar.stop().await;
}

#[tokio::test]
async fn successful_responses() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let create = request("POST /v1.0/bindings/orders", "", CREATE);
    let person = request("POST /v1.0/bindings/people", "", r#"{"operation":"create","data":{"id":"a"}}"#);
    let get = request("POST /v1.0/bindings/people", "", r#"{"operation":"get","data":{"key":{"id":"a"}}}"#);
    let nothing = &[("content-type", None)];
    check(
        sidecar.address(),
        &[
            Row { says: "1.4 Kinesis: 204 without a body", request: create, status: 204, headers: nothing, body: "" },
            Row { says: "1.4 DynamoDB: 204 without a body", request: person, status: 204, headers: nothing, body: "" },
            Row {
                says: "1.4 data: 200 and always application/json",
                request: get,
                status: 200,
                headers: &[("content-type", Some("application/json"))],
                body: r#"{"id":"a"}"#,
            },
        ],
    )
    .await;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
    assert_eq!(answer.header("metadata.shardid"), Some("shardid-000000000000"), "1.4 response metadata as headers");
    sidecar.stop().await;
}

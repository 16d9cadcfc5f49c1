//! Answers of a whole sidecar against the description of its API, which it serves itself.

use crate::api_schema::{ApiSchema, DOCUMENT};
use crate::calls::{Response, get, send};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::testing::until;
use http::Request;
use serde_json::Value;

/// The document as the sidecar serves it.
async fn described(sidecar: &Sidecar) -> ApiSchema {
    let served = get(sidecar.address(), "/v1.0-alpha1/openapi.json").await;
    assert_eq!((served.status.as_u16(), served.header("content-type")), (200, Some("application/json")));
    assert_eq!(served.text(), DOCUMENT);
    ApiSchema::new(served.text())
}

fn check(schema: &mut ApiSchema, path: &str, method: &str, response: &Response) -> Value {
    let operation = format!("/paths/{}/{method}", path.replace('/', "~1"));
    schema.check_response(&operation, response.status.as_u16(), &response.headers, &response.body);
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[tokio::test]
async fn pages_about_a_sidecar_that_reads_are_as_documented() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    env.put("orders", "text-", 5).await;
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let mut schema = described(&sidecar).await;
    app.until("all records", |events| events.len() >= 5).await;
    let page = until("both shards to be held", async || {
        let page = get(sidecar.address(), "/v1.0-alpha1/inputs").await;
        page.text().contains("\"heldShardCount\":2").then_some(page)
    })
    .await;
    let inputs = check(&mut schema, "/v1.0-alpha1/inputs", "get", &page);
    assert_eq!(inputs["inputs"][0]["shards"].as_array().unwrap().len(), 2);
    let metadata = check(&mut schema, "/v1.0/metadata", "get", &get(sidecar.address(), "/v1.0/metadata").await);
    assert_eq!(metadata["inputs"][0]["name"], "orders-in");
    assert_eq!(metadata["runtimeVersion"], schema.document()["info"]["version"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn results_of_operations_are_as_documented() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("orders").await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env.dynamodb_component("orders-table", &[("table", "orders"), ("allowedOperations", "create, update, query")]);
    let sidecar = env.sidecar(None).await;
    let mut schema = described(&sidecar).await;
    let update =
        r##"{"operation":"update","data":{"key":{"id":"1"},"set":{"a":1}},"metadata":{"returnValues":"ALL_NEW"}}"##;
    let query = r#"{"operation":"query","data":{"keyCondition":"id = :id","values":{":id":"1"}}}"#;
    let bulk = r#"{"operation":"bulkCreate","data":{"items":[{"id":"a","data":1},{"data":2,"explicitHashKey":"x"}]}}"#;
    for (binding, body, status, result) in [
        ("orders-out", r#"{"operation":"create","data":1}"#, 204, None),
        (
            "orders-out",
            r#"{"operation":"create","data":1,"metadata":{"returnResult":"true"}}"#,
            200,
            Some("StoredRecord"),
        ),
        ("orders-out", bulk, 207, None),
        ("orders-table", update, 200, Some("Attributes")),
        ("orders-table", query, 200, Some("ItemPage")),
    ] {
        schema.check("/components/schemas/InvokeRequest", &serde_json::from_str(body).unwrap());
        let response = sidecar.invoke(binding, body).await;
        assert_eq!(response.status, status, "{body}: {}", response.text());
        let value = check(&mut schema, "/v1.0/bindings/{name}", "post", &response);
        if let Some(result) = result {
            schema.check(&format!("/components/schemas/{result}"), &value);
        }
        if status == 207 {
            schema.check("/components/schemas/StoredRecord", &value[0]);
            schema.check("/components/schemas/FailedItem", &value[1]);
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn the_document_needs_the_token() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.api_token = Some("let-me-in".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let path = "/v1.0-alpha1/openapi.json";
    assert_eq!(get(sidecar.address(), path).await.status, 401);
    let with_token = Request::get(path).header("dapr-api-token", "let-me-in");
    let served = send(sidecar.address(), with_token, "").await;
    assert_eq!(served.status, 200);
    sidecar.stop().await;
}

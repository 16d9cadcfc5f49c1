//! Components that are disabled because something is wrong with them.

use super::api::{ComponentsApi, json_of, output, settings, start_with};
use crate::environment::Environment;
use bindd::daemon::Shutdown;
use serde_json::{Value, json};
use std::fs;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;

async fn state(api: ComponentsApi) -> Value {
    json_of(&api.get("/orders/status").await)["state"].clone()
}

#[tokio::test]
async fn a_component_is_disabled_and_bindd_starts_although_its_secrets_cannot_be_read() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let secrets = env.folder().join("secrets.txt");
    env.file("secrets.txt", r#"{"key": "the-secret"}"#);
    env.secret_store("local", &secrets);
    let settings = settings(&env, None);
    let (sidecar, api) = start_with(&settings).await;
    let mut referring = output(&env, "orders", "one");
    referring["auth"] = json!({"secretStore": "local"});
    referring["spec"]["metadata"][4] = json!({"name": "secretKey", "secretKeyRef": {"name": "key", "key": "key"}});
    let created = api.call(http::Method::POST, "?persist=true", &referring.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text());

    fs::remove_file(&secrets).unwrap();
    let disabled = api.post("/orders/disable?persist=true", &Value::Null).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    assert_eq!((state(api).await, sidecar.invoke("orders", CREATE).await.status.as_u16()), (json!("disabled"), 409));
    let refused = api.post("/orders/enable", &Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (400, "ERR_COMPONENT_INVALID"));
    for part in ["field `secretKey`", "the secret store `local` is not loaded", "component `local`", "secretsFile"] {
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    }
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    let (sidecar, api) = start_with(&settings).await;
    assert_eq!(state(api).await, json!("disabled"));
    // The store can be read, and does not have the secret.
    env.file("secrets.txt", "{}");
    let refused = api.patch("/orders", &json!({"disabled": false})).await;
    assert!(refused.status == 400 && refused.text().contains("has no secret `key`"), "{}", refused.text());
    env.file("secrets.txt", r#"{"key": "the-secret"}"#);
    assert_eq!(api.post("/orders/enable?persist=true", &Value::Null).await.status, 200);
    assert_eq!((state(api).await, sidecar.invoke("orders", CREATE).await.status.as_u16()), (json!("running"), 204));
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_document_with_faults_can_be_sent_disabled_and_says_them_once_it_is_enabled() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    let (sidecar, api) = start_with(&settings(&env, None)).await;
    assert_eq!(api.post("", &output(&env, "orders", "one")).await.status, 201);
    let patch = json!({"disabled": true, "spec": {"metadata": [{"name": "streamName", "value": "no such name!"}]}});
    let disabled = api.patch("/orders", &patch).await;
    assert_eq!((disabled.status.as_u16(), state(api).await), (200, json!("disabled")), "{}", disabled.text());
    let refused = api.post("/orders/enable", &Value::Null).await;
    assert_eq!(json_of(&refused)["faults"][0]["field"], json!("streamName"), "{}", refused.text());
    assert_eq!(state(api).await, json!("disabled"));
    // A component of no known type cannot be disabled either.
    let mut unknown = output(&env, "orders", "one");
    unknown["spec"]["type"] = json!("bindings.aws.kinesiss");
    unknown["spec"]["disabled"] = json!(true);
    let refused = api.put("/orders", &unknown).await;
    assert!(refused.status == 400 && refused.text().contains("bindings.aws.kinesiss"), "{}", refused.text());
    let correct = json!({"disabled": false, "spec": {"metadata": [{"name": "streamName", "value": "one"}]}});
    assert_eq!(api.patch("/orders", &correct).await.status, 200);
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    sidecar.stop().await;
}

//! Changes that would make other components faulty.

use super::api::{ComponentsApi, component, json_of, output, settings, start, start_with};
use crate::environment::Environment;
use http::Method;
use serde_json::{Value, json};
use std::fs;

async fn environment() -> Environment {
    let env = Environment::start().await;
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    env
}

/// An output whose failed records go to `letters`.
fn with_letters(env: &Environment, name: &str) -> Value {
    component(env, name, &[("streamName", "one"), ("direction", "output"), ("deadLetterBinding", "letters")])
}

async fn assert_in_use(api: ComponentsApi, (method, path): (Method, &str), body: &Value, parts: &[&str]) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let refused = api.call(method, path, &body).await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_COMPONENT_IN_USE"));
    let faults = json_of(&refused)["faults"].as_array().unwrap().clone();
    assert_eq!(faults.len(), 1, "{}", refused.text());
    for part in parts {
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    }
}

#[tokio::test]
async fn an_output_that_another_component_names_is_neither_deleted_nor_turned() {
    let env = environment().await;
    env.kinesis_component("letters", &[("streamName", "two"), ("direction", "output")]);
    let (sidecar, api) = start(&env).await;
    // With a fault of another component that was there before.
    env.file(
        "broken.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: broken}\nspec: {type: bindings.aws.kinesis}\n",
    );
    assert_eq!(api.post("", &with_letters(&env, "orders")).await.status, 201);
    let etag = api.get("/letters").await.header("etag").unwrap().to_owned();
    let file = fs::read_to_string(env.folder().join("letters.yaml")).unwrap();
    let gone = ["component `orders`", "field `deadLetterBinding`", "no component `letters`"];
    for path in ["/letters", "/letters?persist=true"] {
        assert_in_use(api, (Method::DELETE, path), &Value::Null, &gone).await;
    }
    let input =
        component(&env, "letters", &[("streamName", "two"), ("direction", "input"), ("consumerName", "letters-in")]);
    let turned = ["component `orders`", "`letters` has no output side"];
    for path in ["/letters", "/letters?persist=true"] {
        assert_in_use(api, (Method::PUT, path), &input, &turned).await;
    }
    let patch = json!({"spec": {"metadata": [{"name": "direction", "value": "input"}, {"name": "consumerName", "value": "letters-in"}]}});
    assert_in_use(api, (Method::PATCH, "/letters"), &patch, &turned).await;
    let tested = json_of(&api.post("/test", &input).await);
    assert_eq!(tested["ok"], json!(false), "{tested}");
    assert!(tested["checks"][0]["problem"].as_str().unwrap().contains("`orders`"), "{tested}");
    assert_eq!(api.get("/letters").await.header("etag"), Some(etag.as_str()));
    assert_eq!(fs::read_to_string(env.folder().join("letters.yaml")).unwrap(), file);

    // What is wrong with the document itself comes first.
    let wrong = component(&env, "letters", &[("streamName", "no such name!"), ("direction", "output")]);
    assert_eq!(api.put("/letters", &wrong).await.status, 400);
    for path in ["/orders", "/letters"] {
        assert_eq!(api.delete(path).await.status, 204, "{path}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_with_ignored_errors_is_not_left_out_for_a_change_of_another() {
    let env = environment().await;
    let (sidecar, api) = start(&env).await;
    let mut orders = with_letters(&env, "orders");
    orders["spec"]["ignoreErrors"] = json!(true);
    for document in [output(&env, "letters", "two"), orders] {
        assert_eq!(api.post("", &document).await.status, 201);
    }
    assert_in_use(api, (Method::DELETE, "/letters"), &Value::Null, &["component `orders`", "no component `letters`"])
        .await;
    // A disabled one needs nothing.
    assert_eq!(api.post("/orders/disable", &Value::Null).await.status, 200);
    assert_eq!(api.delete("/letters").await.status, 204);
    let enabled = api.post("/orders/enable", &Value::Null).await;
    assert!(enabled.status == 400 && enabled.text().contains("no component `letters`"), "{}", enabled.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn a_second_input_on_a_lease_table_is_refused_whichever_comes_first() {
    let env = environment().await;
    let (sidecar, api) = start_with(&settings(&env, None)).await;
    let input = |name: &str| {
        component(&env, name, &[("streamName", "one"), ("direction", "input"), ("consumerName", "shared")])
    };
    assert_eq!(api.post("", &input("b")).await.status, 201);
    // Documents of the API are checked in the order of their names.
    assert_in_use(api, (Method::POST, ""), &input("a"), &["component `b`", "lease table `shared`"]).await;
    let second = api.post("", &input("c")).await;
    assert!(second.status == 400 && second.text().contains("lease table `shared`"), "{}", second.text());
    sidecar.stop().await;
}

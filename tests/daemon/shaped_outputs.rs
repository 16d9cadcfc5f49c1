//! Outputs whose programs see large records, and tables whose transform makes several items of one.

use crate::environment::Environment;
use crate::shaping::{body, bulk, counted, create, sidecar, start_with, stored, table};
use serde_json::{Value, json};

/// Of every second record, the programs run on another thread.
#[tokio::test]
async fn large_and_small_records_of_a_bulk_keep_their_order() {
    let fields = [
        ("partitionKeyExpression", ".k"),
        ("explicitHashKeyExpression", ".h"),
        ("batchingFlushExpression", ".n % 5 == 0"),
        ("ordering", "key"),
    ];
    let (env, sidecar) = start_with(&fields).await;
    let data = |n: usize| json!({"n": n, "k": "same", "h": 7, "x": "y".repeat(n % 2 * 50_000)});
    let items: Vec<Value> = (0..20).map(|n| json!({"data": data(n)})).collect();
    let response = bulk(&sidecar, "out", items.into()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let found: Vec<(String, Value)> = stored(&env)
        .await
        .into_iter()
        .map(|(key, data)| (key, serde_json::from_str::<Value>(&data).unwrap()["n"].take()))
        .collect();
    assert_eq!(found, (0..20).map(|n| ("same".to_owned(), json!(n))).collect::<Vec<_>>());
    let failed = create(&sidecar, &json!({"k": [1], "x": "z".repeat(50_000)}).to_string(), json!({})).await;
    assert_eq!(failed.status, 400, "{}", failed.text());
    assert_eq!(body(&failed)["details"][0]["reason"], "EXPRESSION_FAILED");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transform_that_makes_several_items_of_one_fails_as_the_component_says() {
    let env = Environment::start().await;
    for on_error in ["fail", "passthrough", "drop-counted"] {
        env.table(on_error).await;
        table(&env, on_error, &[("table", on_error), ("transform", ".items[]"), ("transformOnError", on_error)]);
    }
    let sidecar = sidecar(&env).await;
    let item = json!({"id": "one", "items": [{"id": "a"}, {"id": "b"}]});
    let request = json!({"operation": "create", "data": item}).to_string();
    for (on_error, status, rows, result) in
        [("fail", 400, 0, "failed"), ("passthrough", 204, 1, "passed_through"), ("drop-counted", 204, 0, "dropped")]
    {
        let response = sidecar.invoke(on_error, &request).await;
        assert_eq!(response.status, status, "{on_error}: {}", response.text());
        assert_eq!(response.header("metadata.dropped"), (on_error == "drop-counted").then_some("true"));
        let results = body(&bulk(&sidecar, on_error, json!([item, {"items": [{"id": "c"}]}])).await);
        match on_error {
            "fail" => assert_eq!(results[0]["reason"], "EXPRESSION_FAILED", "{results}"),
            "passthrough" => assert_eq!(results[0], json!({"status": 204})),
            _ => assert_eq!(results[0], json!({"dropped": true})),
        }
        assert_eq!(results[1], json!({"status": 204}), "{on_error}");
        let stored = env.dynamodb.scan().table_name(on_error).send().await.unwrap().items.unwrap();
        assert_eq!(stored.len(), rows + 1, "{on_error}: {stored:?}");
        assert_eq!(counted(&sidecar, on_error, result).await, 2, "{on_error}");
        assert_eq!(counted(&sidecar, on_error, "transformed").await, 1, "{on_error}");
    }
    sidecar.stop().await;
}

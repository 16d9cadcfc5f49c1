//! Many items of a table by one request: bulks, transactions, statements.

use crate::calls::Response;
use crate::environment::{Environment, Sidecar};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::collections::HashMap;

const BY_ID: &str = r#"SELECT * FROM \\\"rows\\\" WHERE id = ?"#;
const ADD: &str = r#"INSERT INTO \\\"rows\\\" VALUE {'id': ?, 'n': ?}"#;
const ALL: &str = r#"SELECT * FROM \\\"rows\\\""#;

async fn start(fields: &[(&str, &str)]) -> (Environment, Sidecar) {
    let env = Environment::start().await;
    env.table("rows").await;
    env.dynamodb_component("rows", &[&[("table", "rows")], fields].concat());
    let sidecar = env.sidecar(None).await;
    (env, sidecar)
}

async fn call(sidecar: &Sidecar, operation: &str, data: &Value) -> Response {
    ask(sidecar, operation, &data.to_string(), "{}").await
}

async fn ask(sidecar: &Sidecar, operation: &str, data: &str, metadata: &str) -> Response {
    let body = format!(r#"{{"operation":"{operation}","data":{data},"metadata":{metadata}}}"#);
    sidecar.invoke("rows", &body).await
}

fn body(response: &Response) -> Value {
    serde_json::from_str(response.text()).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

fn counts(response: &Response) -> (&str, &str) {
    let (succeeded, failed) = (response.header("metadata.succeeded"), response.header("metadata.failed"));
    let status = if failed == Some("0") { 200 } else { 207 };
    assert_eq!(response.status, status, "{}", response.text());
    (succeeded.unwrap_or("?"), failed.unwrap_or("?"))
}

async fn stored(env: &Environment) -> HashMap<String, HashMap<String, AttributeValue>> {
    let items = env.dynamodb.scan().table_name("rows").send().await.unwrap().items.unwrap_or_default();
    items.into_iter().map(|item| (item["id"].as_s().unwrap().clone(), item)).collect()
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    item[name].as_n().unwrap().clone()
}

#[tokio::test]
async fn many_items_are_stored_and_the_later_of_a_key_stays() {
    let (env, sidecar) = start(&[("returnConsumedCapacity", "true")]).await;
    let items: Vec<Value> = (0..120).map(|n| json!({"id": format!("k{}", n % 50), "n": n})).collect();
    let response = call(&sidecar, "bulkCreate", &json!({"items": items})).await;
    assert_eq!(counts(&response), ("120", "0"), "{}", response.text());
    assert_eq!(response.status, 200);
    assert_eq!(body(&response), Value::Array(vec![json!({"status": 204}); 120]));
    assert!(response.header("metadata.consumedcapacity").is_some());
    let stored = stored(&env).await;
    assert_eq!(stored.len(), 50);
    for n in 70..120 {
        assert_eq!(number(&stored[&format!("k{}", n % 50)], "n"), n.to_string());
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_bad_item_fails_alone_with_its_place() {
    let (env, sidecar) = start(&[]).await;
    let large = "x".repeat(401 * 1024);
    let data = format!(
        r#"{{"items":[{{"id":"a"}},{{"no":"key"}},{{"id":"b","deep":[0,{{"n":1e200}}]}},{{"id":"c","t":"{large}"}},7,{{"id":5}},{{"id":"d"}}]}}"#
    );
    let response = ask(&sidecar, "bulkCreate", &data, "{}").await;
    assert_eq!(counts(&response), ("2", "5"), "{}", response.text());
    let body = body(&response);
    for (place, status, said) in [
        (1, 400, "`items[1]`"),
        (2, 400, "$.items[2].deep[1].n"),
        (3, 413, "$.items[3]"),
        (4, 400, "$.items[4]"),
        (5, 400, "`items[5]`"),
    ] {
        assert_eq!((&body[place]["index"], &body[place]["status"]), (&json!(place), &json!(status)), "{body}");
        assert!(body[place]["error"].as_str().unwrap().contains(said), "{}", body[place]);
    }
    let mut ids: Vec<_> = stored(&env).await.into_keys().collect();
    ids.sort();
    assert_eq!(ids, ["a", "d"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_item_for_which_dynamodb_refuses_a_call_is_found() {
    // The type of the key is not stated, so only DynamoDB can know that it must be a string.
    let (env, sidecar) = start(&[("partitionKeyName", "id")]).await;
    let items: Vec<Value> =
        (0..60).map(|n| if n == 33 { json!({"id": n}) } else { json!({"id": format!("k{n}")}) }).collect();
    let response = call(&sidecar, "bulkCreate", &json!({"items": items})).await;
    assert_eq!(counts(&response), ("59", "1"), "{}", response.text());
    let culprit = &body(&response)[33];
    assert_eq!(
        (&culprit["status"], &culprit["index"], &culprit["reason"]),
        (&json!(400), &json!(33), &json!("VALIDATION"))
    );
    assert_eq!(stored(&env).await.len(), 59);
    sidecar.stop().await;
}

#[tokio::test]
async fn many_items_are_read_and_deleted_by_key() {
    let (env, sidecar) = start(&[]).await;
    let items: Vec<String> = (0..130).map(|n| format!(r#"{{"id":"k{n}","n":{n}.12345678901234567890123}}"#)).collect();
    let data = format!(r#"{{"items":[{}]}}"#, items.join(","));
    assert_eq!(counts(&ask(&sidecar, "bulkCreate", &data, "{}").await), ("130", "0"));

    let mut keys: Vec<Value> = (0..130).map(|n| json!({"id": format!("k{n}")})).collect();
    keys.extend([json!({"id": "none"}), json!({"id": "k7"}), json!({"id": "k7", "n": 1, "x": 2})]);
    let response = call(&sidecar, "bulkGet", &json!({"keys": keys})).await;
    assert_eq!(counts(&response), ("132", "1"), "{}", response.text());
    let given = body(&response);
    for n in 0..130 {
        assert_eq!(given[n].to_string(), format!(r#"{{"id":"k{n}","n":{n}.12345678901234567890123}}"#));
    }
    assert_eq!((&given[130], &given[131]["id"], &given[132]["status"]), (&Value::Null, &json!("k7"), &json!(400)));

    let keys: Vec<Value> = (0..131).map(|n| json!({"id": format!("k{}", n % 129)})).collect();
    let response = call(&sidecar, "bulkDelete", &json!({"keys": keys})).await;
    assert_eq!(counts(&response), ("131", "0"), "{}", response.text());
    assert_eq!(stored(&env).await.into_keys().collect::<Vec<_>>(), ["k129"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_says_so_item_by_item() {
    let (_world, sidecar) = start(&[("maxResponseSize", "1Mi")]).await;
    let text = "x".repeat(300 * 1024);
    let items: Vec<Value> = (0..8).map(|n| json!({"id": format!("k{n}"), "text": text})).collect();
    assert_eq!(counts(&call(&sidecar, "bulkCreate", &json!({"items": items})).await), ("8", "0"));
    let keys: Vec<Value> = (0..8).map(|n| json!({"id": format!("k{n}")})).collect();
    let response = call(&sidecar, "bulkGet", &json!({"keys": keys})).await;
    assert_eq!(counts(&response), ("3", "5"));
    let given = body(&response);
    let failed: Vec<_> = given.as_array().unwrap().iter().filter(|element| element["status"] == 413).collect();
    assert_eq!(failed.len(), 5);
    assert!(failed[0]["error"].as_str().unwrap().contains("`maxResponseSize`"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_bulk_of_a_wrong_form_is_refused_as_a_whole() {
    let (_world, sidecar) = start(&[("maxBulkItems", "2")]).await;
    for (operation, data, status, said) in [
        ("bulkCreate", r#"{"items":[]}"#, 400, "is empty"),
        ("bulkCreate", r#"{"item":{}}"#, 400, "unknown field `item`"),
        ("bulkCreate", r#"[{"id":"1"}]"#, 400, r#"{"items":[{…},…]}"#),
        ("bulkGet", r#"{"keys":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#, 413, "`maxBulkItems`"),
        ("bulkDelete", r#"{"keys":7}"#, 400, r#"{"keys":[{…},…]}"#),
        ("transact", r#"{"items":[]}"#, 400, "is empty"),
        ("transactGet", r#"{"items":[{"id":"1"}]}"#, 400, "unknown field `id`"),
        ("exec", r#"{"statement":"x"}"#, 400, "does not support operation exec"),
    ] {
        let response = ask(&sidecar, operation, data, "{}").await;
        assert_eq!(response.status, status, "{operation} {data}: {}", response.text());
        assert!(response.field("message").contains(said), "{operation} {data}: {}", response.text());
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transaction_happens_whole_or_not_at_all() {
    let (env, sidecar) = start(&[]).await;
    let seed = json!({"items": [{"id": "a", "n": 1}, {"id": "b", "n": 1}, {"id": "c", "n": 5}]});
    assert_eq!(counts(&call(&sidecar, "bulkCreate", &seed).await), ("3", "0"));
    let writes = |least: u32| {
        json!({"items": [
            {"put": {"item": {"id": "new"}, "condition": "attribute_not_exists(id)"}},
            {"update": {"key": {"id": "a"}, "add": {"n": 2}}},
            {"delete": {"key": {"id": "b"}}},
            {"check": {"key": {"id": "c"}, "condition": "n >= :least", "values": {":least": least}}},
        ]})
    };
    let response = call(&sidecar, "transact", &writes(6)).await;
    assert_eq!(response.status, 409, "{}", response.text());
    assert!(response.field("message").contains("item 3: ConditionalCheckFailed"), "{}", response.text());
    assert_eq!(stored(&env).await.len(), 3);

    let response = call(&sidecar, "transact", &writes(5)).await;
    assert_eq!((response.status.as_u16(), response.text()), (204, ""));
    let stored = stored(&env).await;
    assert_eq!((number(&stored["a"], "n").as_str(), stored.contains_key("b"), stored.len()), ("3", false, 3));

    let request = json!({"items": [{"key": {"id": "a"}}, {"key": {"id": "b"}}, {"key": {"id": "new"}}]});
    let response = call(&sidecar, "transactGet", &request).await;
    assert_eq!((response.status.as_u16(), response.text()), (200, r#"[{"id":"a","n":3},null,{"id":"new"}]"#));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_sent_again_counts_once() {
    let (env, sidecar) = start(&[]).await;
    let add = |key: &str, by: u32| json!({"items": [{"update": {"key": {"id": "a"}, "add": {"n": by}}}], "idempotencyKey": key});
    let long = "order 4711 of a customer whose name is longer than a token";
    for _ in 0..3 {
        assert_eq!(call(&sidecar, "transact", &add("once", 1)).await.status, 204);
        assert_eq!(call(&sidecar, "transact", &add(long, 10)).await.status, 204);
    }
    assert_eq!(number(&stored(&env).await["a"], "n"), "11");
    let response = call(&sidecar, "transact", &add("once", 7)).await;
    assert_eq!(response.status, 409, "{}", response.text());
    let other = add("once", 1).to_string();
    let response = ask(&sidecar, "transact", &other, r#"{"idempotencyKey":"twice"}"#).await;
    assert_eq!(response.status, 400, "{}", response.text());
    let without = json!({"items": [{"update": {"key": {"id": "a"}, "add": {"n": 100}}}]});
    for _ in 0..2 {
        assert_eq!(call(&sidecar, "transact", &without).await.status, 204);
    }
    assert_eq!(number(&stored(&env).await["a"], "n"), "211");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transaction_with_an_item_twice_is_refused_with_both_places() {
    let (_world, sidecar) = start(&[]).await;
    let data = json!({"items": [
        {"put": {"item": {"id": "x"}}}, {"put": {"item": {"id": "y"}}}, {"delete": {"key": {"id": "y"}}},
    ]});
    let response = call(&sidecar, "transact", &data).await;
    assert_eq!(response.status, 400);
    assert!(response.field("message").contains("`items[1]` and `items[2]`"), "{}", response.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn statements_are_executed_by_name_alone() {
    let statements = format!(r#"{{\"by-id\": \"{BY_ID}\", \"add\": \"{ADD}\", \"all\": \"{ALL}\"}}"#);
    let (env, sidecar) = start(&[("allowedOperations", "bulkCreate, exec"), ("statements", &statements)]).await;
    let response = ask(&sidecar, "exec", r#"{"statement":"add","parameters":["a",1.50]}"#, "{}").await;
    assert_eq!((response.status.as_u16(), response.text()), (204, ""));
    assert_eq!(stored(&env).await.len(), 1);
    let response = ask(&sidecar, "exec", r#"{"statement":"add","parameters":["a",2]}"#, "{}").await;
    assert_eq!(response.status, 409, "{}", response.text());

    let response = ask(&sidecar, "exec", r#"{"statement":"by-id","parameters":["a"]}"#, "{}").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!((&body(&response)["count"], &body(&response)["items"][0]["id"]), (&json!(1), &json!("a")));
    let response = ask(&sidecar, "exec", r#"{"statement":"by-id","parameters":["none"]}"#, "{}").await;
    assert_eq!(response.text(), r#"{"items":[],"count":0}"#);

    assert_eq!(ask(&sidecar, "exec", r#"{"statement":"all","limit":0}"#, "{}").await.status, 400);
    let response = ask(&sidecar, "exec", r#"{"statement":"SELECT * FROM rows"}"#, "{}").await;
    assert_eq!(response.status, 400);
    assert!(response.field("message").ends_with("it has add, all, by-id"), "{}", response.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn rows_whose_life_is_over_are_hidden_where_the_row_tells() {
    let ids = r#"SELECT id FROM \\\"rows\\\""#;
    let statements = format!(r#"{{\"all\": \"{ALL}\", \"ids\": \"{ids}\"}}"#);
    let fields = [("allowedOperations", "bulkCreate, exec"), ("statements", &statements), ("ttlAttributeName", "ends")];
    let (_world, sidecar) = start(&fields).await;
    let items = json!({"items": [{"id": "over", "ends": 1}, {"id": "lasting", "ends": 99_999_999_999_u64}]});
    assert_eq!(counts(&call(&sidecar, "bulkCreate", &items).await), ("2", "0"));
    let all = body(&call(&sidecar, "exec", &json!({"statement": "all"})).await);
    assert_eq!((&all["count"], &all["items"][0]["id"]), (&json!(1), &json!("lasting")));
    let ids = body(&call(&sidecar, "exec", &json!({"statement": "ids"})).await);
    assert_eq!(ids["count"], json!(2), "a row without the attribute tells nothing of its life");
    sidecar.stop().await;
}

#[tokio::test]
async fn writes_that_are_refused_at_the_door_are_counted() {
    let env = Environment::start().await;
    env.table("rows").await;
    let statements = format!(r#"{{\"add\": \"{ADD}\", \"all\": \"{ALL}\"}}"#);
    let allowed = "create, get, update, delete, bulkCreate, bulkDelete, bulkGet, transact, exec";
    env.dynamodb_component(
        "rows",
        &[("table", "rows"), ("partitionKeyName", "id"), ("allowedOperations", allowed), ("statements", &statements)],
    );
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut expected = 0;
    for (operation, data, metadata, refused) in [
        ("create", r#"{"id":1e999}"#, "{}", 1),
        ("create", r#"{"id":"1"}"#, r#"{"timeout":"soon"}"#, 1),
        ("update", r#"{"key":{"id":"1"}}"#, "{}", 1),
        ("delete", r#"{"key":{}}"#, "{}", 1),
        ("bulkCreate", r#"{"items":[{"id":"1"},{"id":""},{"n":1}]}"#, "{}", 2),
        ("bulkCreate", r#"{"items":[]}"#, "{}", 1),
        ("bulkDelete", r#"{"keys":[{"id":"1"},{"x":"1"}]}"#, "{}", 1),
        ("transact", r#"{"items":[{"put":{"item":{"id":"1"}}},{"put":{}}]}"#, "{}", 2),
        ("transact", r#"{"itms":[]}"#, "{}", 1),
        ("exec", r#"{"statement":"add","parameters":[{"":1}]}"#, "{}", 1),
        ("exec", r#"{"statement":"all","parameters":[{"":1}]}"#, "{}", 0),
        ("get", r#"{"kee":{}}"#, "{}", 0),
        ("bulkGet", r#"{"keys":[{"x":"1"}]}"#, "{}", 0),
    ] {
        let response = ask(&sidecar, operation, data, metadata).await;
        assert!([400, 207].contains(&response.status.as_u16()), "{operation} {data}: {}", response.text());
        expected += refused;
        let page = crate::calls::get(sidecar.metrics_address().unwrap(), "/metrics").await;
        let line = format!(r#"bindd_output_records_total{{component="rows",state="refused"}} {expected}"#);
        assert!(page.text().contains(&line), "{operation} {data}: {line} is not in\n{}", page.text());
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn rows_of_a_statement_come_page_by_page() {
    let statements = format!(r#"{{\"all\": \"{ALL}\"}}"#);
    let (_world, sidecar) = start(&[("allowedOperations", "bulkCreate, exec"), ("statements", &statements)]).await;
    let items: Vec<Value> = (0..25).map(|n| json!({"id": format!("k{n}")})).collect();
    assert_eq!(counts(&call(&sidecar, "bulkCreate", &json!({"items": items})).await), ("25", "0"));
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let response = call(&sidecar, "exec", &json!({"statement": "all", "limit": 10, "nextToken": token})).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let page = body(&response);
        assert!(page["count"].as_u64().unwrap() <= 10);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["nextToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
    sidecar.stop().await;
}

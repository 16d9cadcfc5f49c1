//! Every operation on items except `create`, against ministack.

use crate::callers::{CallerResult, Load, send_all};
use crate::emulator::Ministack;
use crate::environment::{Components, Sidecar};
use crate::items::create_table;
use serde_json::{Value, json};

const FIELDS: &[(&str, &str)] = &[
    ("table", "rows"),
    ("attributeTypes", "tags=SS"),
    ("etagAttributeName", "version"),
    ("ttlAttributeName", "ends"),
    (
        "allowedOperations",
        "create,get,update,delete,query,list,bulkCreate,bulkGet,bulkDelete,transact,transactGet,exec",
    ),
    (
        "statements",
        r#"{"by-id": "SELECT * FROM \"rows\" WHERE id = ?", "add": "INSERT INTO \"rows\" VALUE {'id': ?, 'n': ?}"}"#,
    ),
];

async fn start() -> (Ministack, Sidecar) {
    let aws = Ministack::start().await;
    create_table(&aws.dynamodb, "rows").await;
    let sidecar = Components::new().with("rows", "bindings.aws.dynamodb", &aws.url, FIELDS).sidecar().await;
    (aws, sidecar)
}

async fn send(sidecar: &Sidecar, operation: &str, data: Value, metadata: Value) -> CallerResult {
    let body = json!({"operation": operation, "data": data, "metadata": metadata}).to_string();
    let results = send_all(sidecar.address, "rows", Load { callers: 1, records: 1 }, move |_| body.clone()).await;
    results.into_iter().next().unwrap()
}

/// The body of the response, which must have this status.
async fn expect_status(sidecar: &Sidecar, status: u16, operation: &str, data: Value, metadata: Value) -> Value {
    let result = send(sidecar, operation, data, metadata).await;
    assert_eq!(result.status.map(|status| status.as_u16()), Some(status), "{operation}: {}", result.body);
    serde_json::from_str(&result.body).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_is_read_changed_and_removed() {
    let (_aws, sidecar) = start().await;
    let key = json!({"key": {"id": "1"}});
    expect_status(&sidecar, 204, "get", key.clone(), json!({})).await;
    let item = json!({"id": "1", "n": 1.5, "state": "open", "tags": ["a", "b"]});
    expect_status(&sidecar, 204, "create", item, json!({"concurrency": "first-write"})).await;
    expect_status(&sidecar, 409, "create", json!({"id": "1"}), json!({"concurrency": "first-write"})).await;
    let some = json!({"key": {"id": "1"}, "projection": ["n", "tags"], "consistentRead": true});
    assert_eq!(expect_status(&sidecar, 200, "get", some, json!({})).await, json!({"n": 1.5, "tags": ["a", "b"]}));

    let paid = json!({
        "key": {"id": "1"}, "set": {"state": "paid"}, "add": {"seen": 2, "tags": ["c"]}, "remove": ["n"],
        "condition": "#s = :s", "names": {"#s": "state"}, "values": {":s": "open"}
    });
    let changed = expect_status(&sidecar, 200, "update", paid.clone(), json!({"returnValues": "ALL_NEW"})).await;
    let mut attributes = changed["attributes"].clone();
    assert!(attributes.as_object_mut().unwrap().remove("version").is_some());
    assert_eq!(attributes, json!({"id": "1", "seen": 2, "state": "paid", "tags": ["a", "b", "c"]}));
    expect_status(&sidecar, 409, "update", paid, json!({})).await;
    expect_status(&sidecar, 409, "update", json!({"key": {"id": "1"}, "set": {"a": 1}}), json!({"etag": "another"}))
        .await;

    expect_status(&sidecar, 409, "delete", json!({"key": {"id": "1"}, "condition": "attribute_exists(n)"}), json!({}))
        .await;
    let removed = expect_status(&sidecar, 200, "delete", key.clone(), json!({"returnValues": "ALL_OLD"})).await;
    assert_eq!(removed["attributes"]["state"], json!("paid"));
    expect_status(&sidecar, 204, "get", key, json!({})).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_found_and_ended_ones_are_not() {
    let (_aws, sidecar) = start().await;
    let items: Vec<Value> = (0..30).map(|n| json!({"id": format!("k{n}"), "n": n})).collect();
    expect_status(&sidecar, 200, "bulkCreate", json!({"items": items}), json!({})).await;
    expect_status(&sidecar, 204, "create", json!({"id": "over", "ends": 1}), json!({})).await;
    expect_status(&sidecar, 204, "get", json!({"key": {"id": "over"}}), json!({})).await;

    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = expect_status(&sidecar, 200, "list", json!({"limit": 7, "nextToken": token}), json!({})).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 30, "{seen:?}");
    let query = |id: &str| json!({"keyCondition": "id = :id", "values": {":id": id, ":n": 3}, "filter": "n >= :n", "projection": ["n"]});
    let page = expect_status(&sidecar, 200, "query", query("k7"), json!({})).await;
    assert_eq!(page, json!({"items": [{"n": 7}], "count": 1}));
    for id in ["k2", "over"] {
        assert_eq!(expect_status(&sidecar, 200, "query", query(id), json!({})).await["count"], json!(0), "{id}");
    }

    let keys = json!({"keys": [{"id": "k1"}, {"id": "none"}, {"id": "over"}], "projection": ["n"]});
    assert_eq!(expect_status(&sidecar, 200, "bulkGet", keys, json!({})).await, json!([{"n": 1}, null, null]));
    let keys: Vec<Value> = (0..30).map(|n| json!({"id": format!("k{n}")})).collect();
    expect_status(&sidecar, 200, "bulkDelete", json!({"keys": keys}), json!({})).await;
    assert_eq!(expect_status(&sidecar, 200, "list", json!({}), json!({})).await, json!({"items": [], "count": 0}));
    expect_status(&sidecar, 204, "create", json!({"id": "over"}), json!({"concurrency": "first-write"})).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_happens_whole_or_not_at_all() {
    let (_aws, sidecar) = start().await;
    expect_status(&sidecar, 204, "create", json!({"id": "1", "n": 1}), json!({})).await;
    let writes = |expected: u32| {
        json!({"items": [
            {"put": {"item": {"id": "2"}, "condition": "attribute_not_exists(id)"}},
            {"update": {"key": {"id": "1"}, "add": {"n": 1}, "condition": "n = :n", "values": {":n": expected}}},
            {"check": {"key": {"id": "none"}, "condition": "attribute_not_exists(id)"}},
        ]})
    };
    expect_status(&sidecar, 409, "transact", writes(7), json!({})).await;
    let gets =
        json!({"items": [{"key": {"id": "1"}, "projection": ["n"]}, {"key": {"id": "2"}, "projection": ["id"]}]});
    assert_eq!(expect_status(&sidecar, 200, "transactGet", gets.clone(), json!({})).await, json!([{"n": 1}, null]));
    expect_status(&sidecar, 204, "transact", writes(1), json!({})).await;
    assert_eq!(expect_status(&sidecar, 200, "transactGet", gets, json!({})).await, json!([{"n": 2}, {"id": "2"}]));
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_write_and_read() {
    let (_aws, sidecar) = start().await;
    expect_status(&sidecar, 204, "exec", json!({"statement": "add", "parameters": ["1", 1.5]}), json!({})).await;
    expect_status(&sidecar, 409, "exec", json!({"statement": "add", "parameters": ["1", 2]}), json!({})).await;
    let rows =
        expect_status(&sidecar, 200, "exec", json!({"statement": "by-id", "parameters": ["1"]}), json!({})).await;
    assert_eq!(rows, json!({"items": [{"id": "1", "n": 1.5}], "count": 1}));
    let none =
        expect_status(&sidecar, 200, "exec", json!({"statement": "by-id", "parameters": ["2"]}), json!({})).await;
    assert_eq!(none["count"], json!(0));
    sidecar.stop().await;
}

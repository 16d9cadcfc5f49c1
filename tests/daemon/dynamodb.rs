//! Every operation on items, as an app sees it.

use crate::calls::Response;
use crate::environment::{Environment, Sidecar};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use serde_json::{Value, json};

/// A table `rows` with the key `id`, and a table `visits` with the key `customer` and `at`.
async fn start(fields: &[(&str, &str)]) -> (Environment, Sidecar) {
    let env = Environment::start().await;
    env.table("rows").await;
    let element = |name: &str, role| KeySchemaElement::builder().attribute_name(name).key_type(role).build().unwrap();
    let attribute =
        |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let request = env.dynamodb.create_table().table_name("visits").billing_mode(BillingMode::PayPerRequest);
    request
        .key_schema(element("customer", KeyType::Hash))
        .key_schema(element("at", KeyType::Range))
        .attribute_definitions(attribute("customer", ScalarAttributeType::S))
        .attribute_definitions(attribute("at", ScalarAttributeType::N))
        .send()
        .await
        .unwrap();
    env.dynamodb_component("rows", &[&[("table", "rows")], fields].concat());
    let visits = [("tableName", "visits"), ("partitionKey", "customer"), ("sortKey", "at"), ("maxPageItems", "3")];
    let all = [("allowedOperations", "create, query, list, get")];
    env.dynamodb_component("visits", &[&visits[..], &all, fields].concat());
    let sidecar = env.sidecar(None).await;
    (env, sidecar)
}

async fn call(sidecar: &Sidecar, binding: &str, operation: &str, data: Value, metadata: Value) -> Response {
    let body = json!({ "operation": operation, "data": data, "metadata": metadata });
    sidecar.invoke(binding, &body.to_string()).await
}

async fn rows(sidecar: &Sidecar, operation: &str, data: Value, metadata: Value) -> Response {
    call(sidecar, "rows", operation, data, metadata).await
}

fn expect_status(response: &Response, status: u16) -> Value {
    assert_eq!(response.status.as_u16(), status, "{}", response.text());
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[tokio::test]
async fn an_item_is_created_read_changed_and_removed() {
    let (_world, sidecar) = start(&[("attributeTypes", "tags=SS,photo=B")]).await;
    let item = r#"{"id":"1","n":12345678901234567890.5,"photo":"AP8=","tags":["a","b"]}"#;
    let body = format!(r#"{{"operation":"create","data":{item}}}"#);
    expect_status(&sidecar.invoke("rows", &body).await, 204);

    let key = json!({ "key": { "id": "1" } });
    let read = rows(&sidecar, "get", key.clone(), json!({})).await;
    expect_status(&read, 200);
    assert_eq!(read.text(), item);
    let tagged = rows(
        &sidecar,
        "get",
        json!({"key": {"id": {"S": "1"}}, "projection": ["tags", "n"]}),
        json!({"itemFormat": "dynamodb-json"}),
    );
    assert_eq!(tagged.await.text(), r#"{"n":{"N":"12345678901234567890.5"},"tags":{"SS":["a","b"]}}"#);
    let as_text = rows(
        &sidecar,
        "get",
        json!({"key": {"id": "1"}, "projection": "#n", "names": {"#n": "n"}}),
        json!({"numbersAsStrings": "true"}),
    );
    assert_eq!(as_text.await.text(), r#"{"n":"12345678901234567890.5"}"#);

    let change = json!({"key": {"id": "1"}, "set": {"size": 3}, "remove": ["photo"], "add": {"seen": 1, "tags": ["c"]}, "delete": {"tags2": ["x"]}});
    expect_status(&rows(&sidecar, "update", change, json!({})).await, 204);
    let raw = json!({"key": {"id": "1"}, "updateExpression": "SET seen = seen + :one REMOVE n", "values": {":one": 1}});
    let changed = rows(&sidecar, "update", raw, json!({"returnValues": "ALL_NEW"})).await;
    assert_eq!(
        expect_status(&changed, 200)["attributes"],
        json!({"id": "1", "seen": 2, "size": 3, "tags": ["a", "b", "c"]})
    );

    let removed = rows(&sidecar, "delete", key.clone(), json!({"returnValues": "ALL_OLD"})).await;
    assert_eq!(expect_status(&removed, 200)["attributes"]["size"], json!(3));
    let absent = rows(&sidecar, "delete", key.clone(), json!({"returnValues": "ALL_OLD"})).await;
    assert_eq!(expect_status(&absent, 200), json!({"attributes": null}));
    expect_status(&rows(&sidecar, "get", key, json!({})).await, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn conditions_hold_and_a_failed_one_shows_the_item_on_request() {
    let (_world, sidecar) = start(&[]).await;
    let first =
        json!({"conditionExpression": "attribute_not_exists(#id)", "expressionAttributeNames": "{\"#id\":\"id\"}"});
    expect_status(&rows(&sidecar, "create", json!({"id": "1", "v": 1}), first.clone()).await, 204);
    expect_status(&rows(&sidecar, "create", json!({"id": "1", "v": 2}), first).await, 409);
    let with_values = json!({
        "conditionExpression": "v = :v", "expressionAttributeValues": "{\":v\":7}",
        "returnValuesOnConditionCheckFailure": "ALL_OLD"
    });
    let refused = rows(&sidecar, "create", json!({"id": "1", "v": 2}), with_values).await;
    expect_status(&refused, 409);
    let replaced = rows(&sidecar, "create", json!({"id": "1", "v": 3}), json!({"returnValues": "ALL_OLD"})).await;
    assert_eq!(expect_status(&replaced, 200)["attributes"], json!({"id": "1", "v": 1}));

    let change = |v: u32| json!({"key": {"id": "1"}, "set": {"v": 4}, "condition": "v = :old", "values": {":old": v}});
    expect_status(&rows(&sidecar, "update", change(9), json!({})).await, 409);
    expect_status(&rows(&sidecar, "update", change(3), json!({})).await, 204);
    let remove =
        |v: u32| json!({"key": {"id": "1"}, "condition": "#v = :v", "names": {"#v": "v"}, "values": {":v": v}});
    expect_status(&rows(&sidecar, "delete", remove(3), json!({})).await, 409);
    expect_status(&rows(&sidecar, "delete", remove(4), json!({})).await, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_transaction_makes_the_etags_of_its_items_stale() {
    let (_world, sidecar) = start(&[("etagAttributeName", "version"), ("maxRetries", "-1")]).await;
    let created = rows(&sidecar, "create", json!({"id": "1"}), json!({})).await;
    expect_status(&created, 204);
    let old = json!({"etag": created.header("metadata.etag").unwrap()});
    let change = json!({"items": [{"update": {"key": {"id": "1"}, "add": {"n": 1}}}], "idempotencyKey": "k"});
    expect_status(&rows(&sidecar, "transact", change.clone(), json!({})).await, 204);
    expect_status(&rows(&sidecar, "transact", change, json!({})).await, 204);
    expect_status(&rows(&sidecar, "create", json!({"id": "1", "n": 9}), old).await, 409);
    let read = rows(&sidecar, "get", json!({"key": {"id": "1"}}), json!({})).await;
    assert_eq!(expect_status(&read, 200)["n"], json!(1));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_version_is_never_written_over_a_key() {
    let (env, sidecar) = start(&[("etagAttributeName", "id")]).await;
    let refused = rows(&sidecar, "create", json!({"id": "mine"}), json!({})).await;
    expect_status(&refused, 400);
    assert!(refused.text().contains("etagAttributeName"), "{}", refused.text());
    expect_status(&rows(&sidecar, "bulkCreate", json!({"items": [{"id": "mine"}]}), json!({})).await, 400);
    assert_eq!(env.dynamodb.scan().table_name("rows").send().await.unwrap().count, 0);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_a_fresh_one_is_given() {
    let (_world, sidecar) = start(&[("etagAttributeName", "version")]).await;
    let first = json!({"concurrency": "first-write"});
    let created = rows(&sidecar, "create", json!({"id": "1"}), first.clone()).await;
    expect_status(&created, 204);
    let etag = created.header("metadata.etag").unwrap().to_owned();
    expect_status(&rows(&sidecar, "create", json!({"id": "1"}), first).await, 409);
    let read = rows(&sidecar, "get", json!({"key": {"id": "1"}, "projection": ["id"]}), json!({})).await;
    assert_eq!((read.header("metadata.etag"), read.text()), (Some(etag.as_str()), r#"{"id":"1"}"#));

    for change in
        [json!({"set": {"version": "mine"}}), json!({"updateExpression": "REMOVE #v", "names": {"#v": "version"}})]
    {
        let mut data = json!({"key": {"id": "1"}});
        data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        for (operation, data) in [("update", data.clone()), ("transact", json!({"items": [{"update": data}]}))] {
            let refused = rows(&sidecar, operation, data, json!({})).await;
            expect_status(&refused, 400);
            let part = "the update writes to `version`, the component's `etagAttributeName`";
            assert!(refused.field("message").contains(part), "{}", refused.text());
        }
    }
    let set = json!({"key": {"id": "1"}, "set": {"a": 1}});
    let updated = rows(&sidecar, "update", set.clone(), json!({"etag": etag})).await;
    expect_status(&updated, 204);
    let newer = updated.header("metadata.etag").unwrap().to_owned();
    assert_ne!(newer, etag);
    expect_status(&rows(&sidecar, "update", set, json!({"etag": etag})).await, 409);
    expect_status(&rows(&sidecar, "delete", json!({"key": {"id": "1"}}), json!({"etag": etag})).await, 409);
    expect_status(&rows(&sidecar, "delete", json!({"key": {"id": "1"}}), json!({"etag": newer})).await, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn items_whose_life_is_over_are_hidden() {
    let (env, sidecar) = start(&[("ttlAttributeName", "ends"), ("returnConsumedCapacity", "true")]).await;
    let lasting = rows(&sidecar, "create", json!({"id": "lasting"}), json!({"ttlInSeconds": "3600"})).await;
    expect_status(&lasting, 204);
    assert!(lasting.header("metadata.consumedcapacity").is_some());
    expect_status(&rows(&sidecar, "create", json!({"id": "over", "ends": 1}), json!({})).await, 204);
    let read = rows(&sidecar, "get", json!({"key": {"id": "lasting"}}), json!({})).await;
    assert!(expect_status(&read, 200)["ends"].as_u64().unwrap() > 3_600);
    expect_status(&rows(&sidecar, "get", json!({"key": {"id": "over"}}), json!({})).await, 204);
    expect_status(&rows(&sidecar, "get", json!({"key": {"id": "over"}, "projection": ["id"]}), json!({})).await, 204);
    let both = json!({"key": {"id": "lasting"}, "set": {"ends": 5}});
    let refused = rows(&sidecar, "update", both, json!({"ttlInSeconds": "5"})).await;
    expect_status(&refused, 400);
    assert!(refused.text().contains("`ends`, which the request metadata `ttlInSeconds` sets"), "{}", refused.text());

    for (at, ends) in [(1, json!(1)), (2, json!(99_999_999_999_u64)), (3, json!("never"))] {
        let visit = json!({"customer": "a", "at": at, "ends": ends});
        expect_status(&call(&sidecar, "visits", "create", visit, json!({})).await, 204);
    }
    let query =
        json!({"keyCondition": "customer = :c", "values": {":c": "a"}, "projection": "#at", "names": {"#at": "at"}});
    let page = call(&sidecar, "visits", "query", query, json!({})).await;
    assert_eq!(expect_status(&page, 200), json!({"items": [{"at": 2}, {"at": 3}], "count": 2}));
    drop(env);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_first_writer_finds_nothing_where_a_reader_finds_nothing() {
    let life = [("ttlAttributeName", "ends"), ("etagAttributeName", "version")];
    let (_world, sidecar) = start(&life).await;
    let first = json!({"concurrency": "first-write"});
    for (id, ends, status) in
        [("over", json!(1), 204), ("alive", json!(99_999_999_999_u64), 409), ("text", json!("1"), 409)]
    {
        expect_status(&rows(&sidecar, "create", json!({"id": id, "ends": ends, "old": true}), json!({})).await, 204);
        let read = rows(&sidecar, "get", json!({"key": {"id": id}}), json!({})).await;
        assert_eq!(read.status == 204, status == 204, "{id}: {}", read.text());
        expect_status(&rows(&sidecar, "create", json!({"id": id}), first.clone()).await, status);
    }
    let read = rows(&sidecar, "get", json!({"key": {"id": "over"}, "projection": ["id", "old"]}), json!({})).await;
    assert_eq!(expect_status(&read, 200), json!({"id": "over"}), "nothing is left of the expired item");
    expect_status(&rows(&sidecar, "create", json!({"id": "over"}), first).await, 409);
    sidecar.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other_by_token_until_the_end() {
    let (_world, sidecar) = start(&[]).await;
    for at in 0..8 {
        let visit = json!({"customer": "a", "at": at, "even": at % 2 == 0});
        expect_status(&call(&sidecar, "visits", "create", visit, json!({})).await, 204);
    }
    let follow = async |operation: &str, mut data: Value| {
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let page = expect_status(&call(&sidecar, "visits", operation, data.clone(), json!({})).await, 200);
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 3 && page["count"] == json!(items.len()), "{page}");
            seen.extend(items.iter().map(|item| item["at"].as_u64().unwrap()));
            pages += 1;
            match page.get("nextToken") {
                Some(token) => data["nextToken"] = token.clone(),
                None => return (seen, pages),
            }
        }
    };
    let query = json!({"keyCondition": "customer = :c", "values": {":c": "a"}, "limit": 50});
    assert_eq!(follow("query", query.clone()).await, (vec![0, 1, 2, 3, 4, 5, 6, 7], 3));
    let mut backward = query.clone();
    backward["forward"] = json!(false);
    backward["limit"] = json!(1);
    assert_eq!(follow("query", backward).await.0, [7, 6, 5, 4, 3, 2, 1, 0]);
    let mut even = query.clone();
    even["filter"] = json!("even = :t");
    even["values"] = json!({":c": "a", ":t": true});
    assert_eq!(follow("query", even).await.0, [0, 2, 4, 6]);
    let mut listed = follow("list", json!({})).await.0;
    listed.sort_unstable();
    assert_eq!(listed, [0, 1, 2, 3, 4, 5, 6, 7]);
    let mut parts = follow("list", json!({"segment": {"number": 0, "of": 2}})).await.0;
    parts.extend(follow("list", json!({"segment": {"number": 1, "of": 2}})).await.0);
    parts.sort_unstable();
    assert_eq!(parts, [0, 1, 2, 3, 4, 5, 6, 7]);

    let token =
        expect_status(&call(&sidecar, "visits", "query", query.clone(), json!({})).await, 200)["nextToken"].clone();
    let other = json!({"keyCondition": "customer = :c", "values": {":c": "b"}, "nextToken": token});
    expect_status(&call(&sidecar, "visits", "query", other, json!({})).await, 400);
    let mut spoilt = query;
    spoilt["nextToken"] = json!(format!("{}A", token.as_str().unwrap()));
    expect_status(&call(&sidecar, "visits", "query", spoilt, json!({})).await, 400);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_index_is_read_as_the_table_is() {
    let env = Environment::start().await;
    let attribute =
        |name: &str| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    let key = |name: &str| KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap();
    let index = GlobalSecondaryIndex::builder().index_name("by-state").key_schema(key("state"));
    let index = index.projection(Projection::builder().projection_type(ProjectionType::All).build()).build().unwrap();
    let request = env.dynamodb.create_table().table_name("rows").billing_mode(BillingMode::PayPerRequest);
    let request = request.key_schema(key("id")).global_secondary_indexes(index);
    let request = request.attribute_definitions(attribute("id").build().unwrap());
    request.attribute_definitions(attribute("state").build().unwrap()).send().await.unwrap();
    let fields = [("table", "rows"), ("allowedOperations", "create, query, list"), ("consistentRead", "true")];
    env.dynamodb_component("rows", &fields);
    let sidecar = env.sidecar(None).await;
    for (id, state) in [("1", json!("open")), ("2", json!("paid")), ("3", json!("open")), ("4", Value::Null)] {
        let mut item = json!({"id": id, "state": state});
        item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        expect_status(&rows(&sidecar, "create", item, json!({})).await, 204);
    }
    let open =
        json!({"index": "by-state", "keyCondition": "#s = :s", "names": {"#s": "state"}, "values": {":s": "open"}});
    let mut ids = Vec::new();
    let mut page = json!({"nextToken": ""});
    while let Some(token) = page["nextToken"].as_str() {
        let mut data = open.clone();
        data.as_object_mut().unwrap().extend([("limit".to_owned(), json!(1)), ("nextToken".to_owned(), json!(token))]);
        page = expect_status(&rows(&sidecar, "query", data, json!({})).await, 200);
        ids.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
    }
    ids.sort();
    assert_eq!(ids, ["1", "3"]);
    let listed = expect_status(&rows(&sidecar, "list", json!({"index": "by-state"}), json!({})).await, 200);
    assert_eq!(listed["count"], json!(3), "an item without the index's key is not in it");
    sidecar.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_call_and_says_where() {
    let (_world, sidecar) = start(&[]).await;
    for (binding, operation, data, part) in [
        ("visits", "create", json!({"customer": "a"}), "`at` is missing"),
        ("visits", "create", json!({"customer": "", "at": 1}), "must not be empty"),
        ("visits", "get", json!({"key": {"customer": "a"}}), "`at` is missing"),
        ("visits", "update", json!({}), "does not support operation update"),
        ("rows", "list", json!({}), "does not support operation list"),
        ("rows", "get", json!({"kee": {}}), "unknown field `kee`, did you mean `key`? known are `key`, `projection`"),
        ("rows", "transact", json!({"items": [{"put": {"itm": {}}}]}), "in `items[0]`: "),
        ("rows", "transact", json!({"items": [{"put": {"itm": {}}}]}), "unknown field `itm`, did you mean `item`?"),
        ("rows", "update", json!({"key": {"id": "1"}}), "changes nothing"),
        ("rows", "query", json!({"keyCondition": ""}), "`keyCondition` is empty"),
        ("rows", "query", json!({"keyCondition": "id = :i", "limit": 0}), "`limit` must be at least 1"),
        ("rows", "create", json!({"id": "1", "": 1}), "$[\"\"]"),
    ] {
        let response = call(&sidecar, binding, operation, data, json!({})).await;
        expect_status(&response, 400);
        assert!(response.field("message").contains(part), "{part}: {}", response.text());
    }
    let twice = r#"{"operation":"create","data":{"id":"1","a":{"b":1,"b":2}}}"#;
    let response = sidecar.invoke("rows", twice).await;
    expect_status(&response, 400);
    assert!(response.field("message").contains("$.a.b"), "{}", response.text());
    for (key, value) in [
        ("returnValues", "ALL_NEW"),
        ("ttlInSeconds", "5"),
        ("etag", "x"),
        ("timeout", "soon"),
        ("itemFormat", "yaml"),
        ("conditionExpression", "nonsense ("),
        ("expressionAttributeValues", "{"),
    ] {
        expect_status(&rows(&sidecar, "create", json!({"id": "1"}), json!({ key: value })).await, 400);
    }
    sidecar.stop().await;
}

//! Filters, transforms and computed keys of outputs.

use crate::calls::{self, Response};
use crate::environment::{Environment, Sidecar};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::Record;
use bindd::testing::until;
use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};

const SECRET: &str = "s3cret-payload";

/// A stream of one shard, and a sidecar with one output to it.
pub(crate) async fn start_with(fields: &[(&str, &str)]) -> (Environment, Sidecar) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [&[("streamName", "orders"), ("direction", "output")], fields].concat();
    kinesis(&env, "out", &fields);
    let sidecar = sidecar(&env).await;
    (env, sidecar)
}

/// As [`Environment::kinesis_component`], with quotes in values.
pub(crate) fn kinesis(env: &Environment, name: &str, fields: &[(&str, &str)]) {
    let fields = escaped(fields);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(field, value)| (*field, value.as_str())).collect();
    env.kinesis_component(name, &fields);
}

/// The same for a table.
pub(crate) fn table(env: &Environment, name: &str, fields: &[(&str, &str)]) {
    let fields = escaped(fields);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(field, value)| (*field, value.as_str())).collect();
    env.dynamodb_component(name, &fields);
}

/// Values as they are between the quotes of YAML.
fn escaped<'f>(fields: &[(&'f str, &str)]) -> Vec<(&'f str, String)> {
    fields.iter().map(|(field, value)| (*field, value.replace('\\', "\\\\").replace('"', "\\\""))).collect()
}

pub(crate) async fn sidecar(env: &Environment) -> Sidecar {
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    Sidecar::start(&settings).await.unwrap()
}

pub(crate) async fn create(sidecar: &Sidecar, data: &str, metadata: Value) -> Response {
    sidecar.invoke("out", &format!(r#"{{"operation":"create","data":{data},"metadata":{metadata}}}"#)).await
}

pub(crate) async fn bulk(sidecar: &Sidecar, binding: &str, items: Value) -> Response {
    sidecar.invoke(binding, &json!({"operation": "bulkCreate", "data": {"items": items}}).to_string()).await
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(record.data.as_ref()).unwrap()
}

pub(crate) async fn stored(env: &Environment) -> Vec<(String, String)> {
    let records = env.records("orders").await;
    let pair = |record: &Record| (record.partition_key.clone().unwrap_or_default(), text(record).to_owned());
    records.iter().map(pair).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, data)| ((*key).to_owned(), (*data).to_owned())).collect()
}

pub(crate) fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// What the metrics say of one result.
pub(crate) async fn counted(sidecar: &Sidecar, component: &str, result: &str) -> u64 {
    let page = calls::get(sidecar.metrics_address().unwrap(), "/metrics").await;
    let start = format!(r#"bindd_shaped_records_total{{component="{component}",side="output",result="{result}"}} "#);
    let line = page.text().lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
    line.unwrap_or_else(|| panic!("{start} is not in\n{}", page.text())).parse().unwrap()
}

#[tokio::test]
async fn a_request_that_does_not_match_is_answered_without_a_record() {
    let filter = r#"[{"data": {"type": ["order"], "total": [{"numeric": [">", 10]}]}}, {"partitionKey": ["all"]}]"#;
    let (env, sidecar) = start_with(&[("filter", filter), ("allowRawBody", "true")]).await;
    let order = r#"{"type": "order", "total": 10.50}"#;
    assert_eq!(create(&sidecar, order, json!({"partitionKey": "a"})).await.header("metadata.filtered"), None);
    for data in [r#"{"type": "order", "total": 10}"#, r#"{"type": "noise"}"#, "17", "null"] {
        let filtered = create(&sidecar, data, json!({"partitionKey": "a"})).await;
        let headers = (filtered.header("metadata.filtered"), filtered.header("metadata.sequencenumber"));
        assert_eq!((filtered.status.as_u16(), filtered.text(), headers), (204, "", (Some("true"), None)), "{data}");
    }
    let told = create(&sidecar, "17", json!({"returnResult": "true"})).await;
    assert_eq!((told.status.as_u16(), body(&told)), (200, json!({"filtered": true})));
    assert_eq!(create(&sidecar, "17", json!({"partitionKey": "all"})).await.header("metadata.filtered"), None);
    let raw = || Request::post("/v1.0/bindings/out").header("content-type", "application/octet-stream");
    assert_eq!(calls::send(sidecar.address(), raw(), "no JSON").await.header("metadata.filtered"), Some("true"));
    assert_eq!(calls::send(sidecar.address(), raw().header("metadata.partitionKey", "b"), order).await.status, 204);
    assert_eq!(stored(&env).await, pairs(&[("a", order), ("all", "17"), ("b", order)]));
    assert_eq!(counted(&sidecar, "out", "filtered").await, 6);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_transform_comes_before_keys_and_encoding() {
    let fields = [
        ("filter", r#"{"data": {"order": {"id": [{"exists": true}]}}}"#),
        ("transform", ".order | del(.card) | .tenant = $metadata.tenant | tojson"),
        ("partitionKeyExpression", "fromjson | .id"),
        ("explicitHashKeyExpression", "fromjson | .hash"),
        ("rawPayload", "true"),
        ("returnResult", "true"),
    ];
    let (env, sidecar) = start_with(&fields).await;
    let order = r#"{"order": {"id": 12345678901234567890123, "card": "4711", "n": 1.50}}"#;
    let written = create(&sidecar, order, json!({"tenant": "acme"})).await;
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(create(&sidecar, order, json!({"partitionKey": "mine"})).await.status, 200);
    let expected = r#"{"id":12345678901234567890123,"n":1.50,"tenant":"acme"}"#;
    let other = r#"{"id":12345678901234567890123,"n":1.50,"tenant":null}"#;
    assert_eq!(stored(&env).await, pairs(&[("12345678901234567890123", expected), ("mine", other)]));
    assert_eq!(counted(&sidecar, "out", "transformed").await, 2);
    sidecar.stop().await;
}

#[tokio::test]
async fn several_outputs_are_several_records_and_one_that_fails_fails_the_request() {
    let fields = [("transform", ".[]"), ("partitionKeyExpression", ".k"), ("maxRecordSize", "1Ki")];
    let (env, sidecar) = start_with(&fields).await;
    let two = create(&sidecar, r#"[{"k": "a"}, {"k": "b"}]"#, json!({})).await;
    assert_eq!((two.status.as_u16(), two.header("metadata.succeeded")), (200, Some("2")));
    let results = body(&two);
    assert!(results[1]["sequenceNumber"].is_string() && results.as_array().unwrap().len() == 2, "{results}");
    let one = create(&sidecar, r#"[{"k": "c"}]"#, json!({})).await;
    assert_eq!((one.status.as_u16(), one.header("metadata.attempts")), (204, Some("1")));
    assert_eq!(create(&sidecar, "[]", json!({})).await.header("metadata.filtered"), Some("true"));
    // A record without a key is found before any is written.
    let keyless = create(&sidecar, r#"[{"k": "d"}, {}]"#, json!({})).await;
    assert!(
        keyless.status == 400 && keyless.field("message").contains("`partitionKeyExpression`"),
        "{}",
        keyless.text()
    );
    let details = body(&keyless)["details"][0]["metadata"].take();
    assert_eq!((&details["records"], &details["stored"]), (&json!("2"), &json!("0")));
    let ordered = create(&sidecar, r#"[{"k": "d"}, {"k": "d"}]"#, json!({"sequenceNumberForOrdering": "1"})).await;
    assert!(ordered.status == 400 && ordered.field("message").contains("single record"), "{}", ordered.text());
    let large = create(&sidecar, &json!([{"k": "e"}, {"k": "f", "x": "x".repeat(2000)}]).to_string(), json!({})).await;
    let details = body(&large)["details"][0]["metadata"].take();
    assert_eq!((large.status.as_u16(), &details["records"], &details["stored"]), (413, &json!("2"), &json!("1")));
    assert_eq!(details["ambiguous"], json!("true"), "a repetition would store the first again");
    let keys: Vec<String> = stored(&env).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "b", "c", "e"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn each_item_of_a_bulk_has_its_own_result() {
    let fields = [
        ("filter", r#"{"data": {"drop": [{"exists": false}]}}"#),
        ("transform", ".all[]? // {n: (.n + 1)}"),
        ("maxRecordSize", "1Ki"),
    ];
    let (env, sidecar) = start_with(&fields).await;
    let items = json!([
        {"id": "one", "data": {"n": 1}, "partitionKey": "k"},
        {"id": "noise", "data": {"drop": 1}},
        {"id": "two", "data": {"all": [5, 6]}, "partitionKey": "k"},
        {"id": "wrong", "data": {"n": SECRET}},
        {"id": "bad key", "data": {"all": [7, 8]}, "explicitHashKey": "x"},
        {"data": {"n": 8}, "partitionKey": "k"},
    ]);
    let response = bulk(&sidecar, "out", items).await;
    let headers = ["succeeded", "failed", "filtered"].map(|name| response.header(&format!("metadata.{name}")));
    assert_eq!((response.status.as_u16(), headers), (207, [Some("3"), Some("2"), Some("1")]), "{}", response.text());
    let results = body(&response);
    assert_eq!(results[1], json!({"id": "noise", "filtered": true}));
    assert_eq!((&results[2]["id"], results[2]["records"].as_array().unwrap().len()), (&json!("two"), 2));
    assert_eq!((&results[3]["reason"], &results[3]["status"]), (&json!("EXPRESSION_FAILED"), &json!(400)));
    assert!(!response.text().contains(SECRET), "{results}");
    assert_eq!(results[4]["status"], json!(400));
    assert_eq!(results[4]["details"], json!({"records": "2", "stored": "0"}));
    assert!(results[5]["sequenceNumber"].is_string(), "{results}");
    let expected = [("k", r#"{"n":2}"#), ("k", "5"), ("k", "6"), ("k", r#"{"n":9}"#)];
    assert_eq!(stored(&env).await, pairs(&expected));
    let all = bulk(&sidecar, "out", json!([{"data": {"drop": 1}}])).await;
    assert_eq!((all.status.as_u16(), body(&all)), (200, json!([{"filtered": true}])));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_happens_to_a_record_whose_transform_fails_is_chosen_and_counted() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("letters").await;
    table(&env, "letters", &[("table", "letters")]);
    for on_error in ["fail", "passthrough", "drop-counted", "dead-letter"] {
        let fields = [
            ("streamName", "orders"),
            ("direction", "output"),
            ("transform", ".a.b"),
            ("transformOnError", on_error),
            ("deadLetterBinding", "letters"),
        ];
        kinesis(&env, on_error, &fields);
    }
    let sidecar = sidecar(&env).await;
    let data = json!({"a": SECRET}).to_string();
    let request = format!(r#"{{"operation":"create","data":{data},"metadata":{{"partitionKey":"k"}}}}"#);
    let invoke = async |binding: &str| sidecar.invoke(binding, &request).await;
    let failed = invoke("fail").await;
    assert_eq!((failed.status.as_u16(), failed.header("metadata.deadlettered")), (400, None));
    assert_eq!(body(&failed)["details"][0]["reason"], "EXPRESSION_FAILED");
    assert!(failed.field("message").contains("`transform` failed on the record"), "{}", failed.text());
    assert_eq!(invoke("passthrough").await.header("metadata.attempts"), Some("1"));
    let dropped = invoke("drop-counted").await;
    assert_eq!((dropped.status.as_u16(), dropped.header("metadata.dropped")), (204, Some("true")));
    let letter = invoke("dead-letter").await;
    assert_eq!(
        (letter.status.as_u16(), letter.header("metadata.deadlettered")),
        (400, Some("true")),
        "{}",
        letter.text()
    );
    for response in [&failed, &letter] {
        assert!(!response.text().contains(SECRET), "{}", response.text());
    }
    let items = json!([{"id": 1, "data": {"a": SECRET}}, {"id": 2, "data": {"a": {"b": 2}}}]);
    let several = body(&bulk(&sidecar, "dead-letter", items.clone()).await);
    assert_eq!((&several[0]["deadLettered"], &several[0]["status"]), (&json!(true), &json!(400)), "{several}");
    assert!(several[1]["sequenceNumber"].is_string());
    assert_eq!(body(&bulk(&sidecar, "drop-counted", items).await)[0], json!({"id": 1, "dropped": true}));

    assert_eq!(stored(&env).await[0], ("k".to_owned(), data.clone()));
    assert_eq!(env.records("orders").await.len(), 3);
    let rows = env.dynamodb.scan().table_name("letters").send().await.unwrap().items.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["data"] == AttributeValue::S(data.clone())), "the data as it was sent");
    assert!(rows.iter().all(|row| !format!("{:?}", row["error"]).contains(SECRET)));
    for (component, result, count) in [
        ("fail", "failed", 1),
        ("passthrough", "passed_through", 1),
        ("drop-counted", "dropped", 2),
        ("drop-counted", "transformed", 1),
        ("dead-letter", "dead_letter", 2),
    ] {
        assert_eq!(counted(&sidecar, component, result).await, count, "{component} {result}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_dead_letter_that_its_target_leaves_out_is_not_stored() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let filter = r#"{"data": {"type": ["order"]}}"#;
    kinesis(&env, "letters", &[("streamName", "orders"), ("direction", "output"), ("filter", filter)]);
    let fields =
        [("streamName", "gone"), ("direction", "output"), ("deadLetterBinding", "letters"), ("maxRetries", "0")];
    kinesis(&env, "out", &fields);
    let sidecar = sidecar(&env).await;
    let failed = create(&sidecar, "1", json!({})).await;
    assert_eq!((failed.status.as_u16(), failed.header("metadata.deadlettered")), (404, None), "{}", failed.text());
    assert_eq!(body(&failed)["details"][0]["metadata"]["deadLettered"], "false");
    assert!(failed.field("message").contains("`filter` or `transform` left the dead letter out"), "{}", failed.text());
    assert!(env.records("orders").await.is_empty());
    sidecar.stop().await;
}

#[tokio::test]
async fn interpolated_keys_are_filled_in() {
    let fields = [
        ("partitionKey", r#"${! meta("tenant") }/${! json("doc.id") }"#),
        ("explicitHashKey", r#"${! json("doc.hash") }"#),
    ];
    let (env, sidecar) = start_with(&fields).await;
    let data = r#"{"doc": {"id": 7, "hash": 5}}"#;
    assert_eq!(create(&sidecar, data, json!({"tenant": "acme"})).await.status, 204);
    // Only in files: the text of a request is its key.
    let own = r#"${! json("doc.id") }"#;
    assert_eq!(create(&sidecar, data, json!({"tenant": "acme", "partitionKey": own})).await.status, 204);
    for (data, part) in
        [(r#"{"doc": {"id": 7}}"#, "/doc/hash"), (r#"{"doc": {"id": 7, "hash": "x"}}"#, "explicitHashKey")]
    {
        let refused = create(&sidecar, data, json!({"tenant": "acme"})).await;
        assert!(refused.status == 400 && refused.field("message").contains(part), "{}", refused.text());
    }
    assert!(create(&sidecar, data, json!({})).await.field("message").contains("no metadata `tenant`"));
    assert_eq!(stored(&env).await, pairs(&[("acme/7", data), (own, data)]));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_program_over_its_limit_fails_its_record_and_nothing_else_under_load() {
    let fields = [
        (
            "transform",
            "if .n < 0 then [range(1000000000)] elif .n == 0 then [limit(100000000; repeat(\"xxxxxxxx\"))] else . end",
        ),
        ("requestTimeout", "1m"),
    ];
    let (env, sidecar) = start_with(&fields).await;
    let requests = (0..60_i32).map(|number| (number % 3 - 1) * (number + 1)).map(|n| {
        let sidecar = &sidecar;
        async move { (n, create(sidecar, &json!({"n": n}).to_string(), json!({})).await) }
    });
    for (n, response) in join_all(requests).await {
        if n > 0 {
            assert_eq!(response.status, 204, "{}", response.text());
        } else {
            assert!(response.status == 400 && response.field("message").contains("limit"), "{n}: {}", response.text());
        }
    }
    assert_eq!(env.records("orders").await.len(), 20);
    assert_eq!(calls::get(sidecar.address(), "/v1.0/healthz").await.status, 204);
    sidecar.stop().await;
}

#[tokio::test]
async fn items_of_a_table_are_filtered_and_transformed() {
    let env = Environment::start().await;
    env.table("rows").await;
    let fields = [
        ("table", "rows"),
        ("filter", r#"{"data": {"noise": [{"exists": false}]}}"#),
        ("transform", "if .several then .several[] else {id, total: (.net + .tax)} end"),
        ("allowedOperations", "create, bulkCreate, get"),
    ];
    table(&env, "out", &fields);
    let sidecar = sidecar(&env).await;
    assert_eq!(create(&sidecar, r#"{"id": "1", "net": 1, "tax": 2}"#, json!({})).await.status, 204);
    let noise = create(&sidecar, r#"{"id": "2", "noise": 1}"#, json!({})).await;
    assert_eq!((noise.status.as_u16(), noise.header("metadata.filtered")), (204, Some("true")));
    let failed = create(&sidecar, &json!({"id": "3", "net": [SECRET], "tax": 1}).to_string(), json!({})).await;
    assert!(failed.status == 400 && !failed.text().contains(SECRET), "{}", failed.text());
    assert_eq!(body(&failed)["details"][0]["reason"], "EXPRESSION_FAILED");
    let several = create(&sidecar, r#"{"several": [{"id": "4"}, {"id": "5"}]}"#, json!({})).await;
    assert!(several.status == 400 && several.field("message").contains("made 2 items"), "{}", several.text());
    assert_eq!(body(&several)["details"][0]["reason"], "EXPRESSION_FAILED");
    let items = json!([{"id": "6", "net": 2, "tax": 2}, {"noise": 1}, {"net": "x", "tax": 1}, {"id": "7", "net": 0.5, "tax": 0}]);
    let many = bulk(&sidecar, "out", items).await;
    let headers = ["succeeded", "failed", "filtered"].map(|name| many.header(&format!("metadata.{name}")));
    assert_eq!((many.status.as_u16(), headers), (207, [Some("2"), Some("1"), Some("1")]), "{}", many.text());
    let results = body(&many);
    assert_eq!((&results[0], &results[1]), (&json!({"status": 204}), &json!({"filtered": true})));
    assert_eq!(results[2]["reason"], json!("EXPRESSION_FAILED"));
    let mut rows: Vec<(String, String)> = Vec::new();
    for row in env.dynamodb.scan().table_name("rows").send().await.unwrap().items.unwrap() {
        rows.push((row["id"].as_s().unwrap().clone(), row["total"].as_n().unwrap().clone()));
    }
    rows.sort();
    assert_eq!(rows, pairs(&[("1", "3"), ("6", "4"), ("7", "0.5")]));
    assert_eq!((counted(&sidecar, "out", "transformed").await, counted(&sidecar, "out", "filtered").await), (3, 2));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_changed_method_replaces_the_components_that_use_it_and_a_wrong_one_does_not() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let method = |program: &str| {
        format!("apiVersion: dapr.io/v1alpha1\nkind: Method\nmetadata: {{name: slim}}\nspec: {{jq: '{program}'}}\n")
    };
    env.file("method.yaml", &method("{v: 1}"));
    let fields = [("streamName", "orders"), ("direction", "output"), ("dataProcessingMethodId", "slim")];
    kinesis(&env, "out", &fields);
    let mut settings = env.settings(None);
    settings.reload.watch = None;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let until_stored = async |expected: &str| {
        until("the program to be in use", async || {
            assert_eq!(create(&sidecar, "{}", json!({})).await.status, 204);
            let records = env.records("orders").await;
            records.last().is_some_and(|record| text(record) == expected).then_some(())
        })
        .await;
    };
    until_stored(r#"{"v":1}"#).await;
    env.file("method.yaml", &method("{v: 2}"));
    until_stored(r#"{"v":2}"#).await;
    // A wrong program is reported, and the component goes on; the next right one is in use again.
    env.file("method.yaml", &method("{v: "));
    env.file("method.yaml", &method("{v: 3}"));
    until_stored(r#"{"v":3}"#).await;
    sidecar.stop().await;
}

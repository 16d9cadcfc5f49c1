//! What `aggregation: lines` and `json-array` make of a record, and what they refuse.

use crate::calls::{self, Response};
use crate::environment::{Environment, Sidecar};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::Record;
use http::Request;
use serde_json::{Value, json};
use std::io::Read;

async fn start_with(fields: &[(&str, &str)]) -> (Environment, Sidecar) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [&[("streamName", "orders"), ("direction", "output")], fields].concat();
    env.kinesis_component("out", &fields);
    let sidecar = env.sidecar(None).await;
    (env, sidecar)
}

async fn create(sidecar: &Sidecar, data: &str, metadata: Value) -> Response {
    sidecar.invoke("out", &format!(r#"{{"operation":"create","data":{data},"metadata":{metadata}}}"#)).await
}

fn gunzip(record: &Record) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(record.data.as_ref()).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_single_record_has_the_form_of_many_and_what_cannot_be_split_is_refused() {
    let fields = [("aggregation", "lines"), ("partitionKey", "k"), ("allowRawBody", "true")];
    let (env, sidecar) = start_with(&fields).await;
    let written = create(&sidecar, "{\"a\": 1.50,\n \"b\": \"x y\"}", json!({})).await;
    assert_eq!((written.status.as_u16(), written.header("metadata.subsequencenumber")), (204, None));
    assert_eq!(create(&sidecar, "\"two words\"", json!({"rawPayload": "true"})).await.status, 204);
    for data in ["\"two\\nlines\"", "\"\""] {
        let refused = create(&sidecar, data, json!({"rawPayload": "true"})).await;
        assert_eq!(refused.status, 400, "{data}");
        assert!(refused.field("message").contains("`aggregation: lines`"), "{}", refused.text());
    }
    let raw = Request::post("/v1.0/bindings/out").header("content-type", "application/octet-stream");
    assert_eq!(calls::send(sidecar.address(), raw, "a\r\nb").await.status, 400);
    let records = env.records("orders").await;
    let texts: Vec<_> = records.iter().map(|record| std::str::from_utf8(record.data.as_ref()).unwrap()).collect();
    assert_eq!(texts, [r#"{"a":1.50,"b":"x y"}"#, "two words"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_array_has_json_values_and_a_wrong_item_fails_alone() {
    let fields = [("aggregation", "json-array"), ("partitionKey", "k"), ("rawPayload", "true")];
    let (env, sidecar) = start_with(&fields).await;
    let items = json!([{"data": "1.50"}, {"data": "not JSON"}, {"data": "{\"a\": null} "}]);
    let request = json!({"operation": "bulkCreate", "data": {"items": items}}).to_string();
    let response = sidecar.invoke("out", &request).await;
    assert_eq!(response.status, 207, "{}", response.text());
    let results: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&results[0]["shardId"], &results[1]["status"]), (&json!("shardId-000000000000"), &json!(400)));
    assert!(results[1]["error"].as_str().unwrap().contains("it is not one JSON value"), "{results}");
    let records = env.records("orders").await;
    let values: Vec<Value> =
        records.iter().flat_map(|record| serde_json::from_slice::<Vec<Value>>(record.data.as_ref()).unwrap()).collect();
    assert_eq!(Value::from(values).to_string(), r#"[1.50,{"a":null}]"#);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_combined_record_is_compressed_as_a_whole() {
    let fields = [("aggregation", "lines"), ("partitionKey", "k"), ("compression", "gzip")];
    let (env, sidecar) = start_with(&fields).await;
    assert_eq!(create(&sidecar, "1", json!({"compression": "gzip"})).await.status, 204);
    let refused = create(&sidecar, "1", json!({"compression": "none"})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.field("message").contains("`compression` of a request cannot differ"), "{}", refused.text());
    let items: Vec<Value> = (0..50).map(|number| json!({"data": number})).collect();
    let request = json!({"operation": "bulkCreate", "data": {"items": items}}).to_string();
    assert_eq!(sidecar.invoke("out", &request).await.status, 200);
    let records = env.records("orders").await;
    let lines: Vec<String> =
        records[1..].iter().flat_map(|record| gunzip(record).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(gunzip(&records[0]), "1");
    assert!(lines.iter().map(|line| line.parse::<u32>().unwrap()).eq(0..50), "{lines:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_the_record_of_its_caller() {
    let env = Environment::start().await;
    env.table("letters").await;
    env.dynamodb_component("rows", &[("table", "letters")]);
    let fields = [
        ("streamName", "gone"),
        ("direction", "output"),
        ("aggregation", "json-array"),
        ("partitionKey", "k"),
        ("deadLetterBinding", "rows"),
        ("maxRetries", "0"),
    ];
    env.kinesis_component("out", &fields);
    let sidecar = env.sidecar(None).await;
    let items = json!([{"data": {"n": 1}}, {"data": {"n": 2}}]);
    let bulk = json!({"operation": "bulkCreate", "data": {"items": items}}).to_string();
    assert_eq!(sidecar.invoke("out", &bulk).await.status, 207);
    assert_eq!(create(&sidecar, r#"{"n":3}"#, json!({})).await.header("metadata.deadlettered"), Some("true"));
    let rows = env.dynamodb.scan().table_name("letters").send().await.unwrap().items.unwrap();
    let mut found: Vec<&AttributeValue> = rows.iter().map(|row| &row["data"]).collect();
    found.sort_by_key(|data| data.as_s().unwrap());
    assert_eq!(found, [1, 2, 3].map(|number| AttributeValue::S(format!("{{\"n\":{number}}}"))).each_ref());
    sidecar.stop().await;
}

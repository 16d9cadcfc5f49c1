//! Every form of request and response of a Kinesis output.

use crate::calls::{self, Response};
use crate::environment::{Environment, Sidecar};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::Record;
use http::Request;
use serde_json::{Value, json};
use std::io::Read;

/// A stream of one shard, and a sidecar with one output to it.
async fn start_with(fields: &[(&str, &str)]) -> (Environment, Sidecar) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [&[("streamName", "orders"), ("direction", "output")], fields].concat();
    env.kinesis_component("out", &fields);
    let sidecar = env.sidecar(None).await;
    (env, sidecar)
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(record.data.as_ref()).unwrap()
}

async fn create(sidecar: &Sidecar, data: &str, metadata: Value) -> Response {
    sidecar.invoke("out", &format!(r#"{{"operation":"create","data":{data},"metadata":{metadata}}}"#)).await
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn a_result_is_told_in_headers_and_on_request_in_the_body() {
    let (env, sidecar) = start_with(&[]).await;
    let plain = create(&sidecar, "1", json!({})).await;
    assert_eq!((plain.status.as_u16(), plain.text(), plain.header("metadata.attempts")), (204, "", Some("1")));
    let result = create(&sidecar, "2", json!({"returnResult": "true"})).await;
    assert_eq!((result.status.as_u16(), result.header("content-type")), (200, Some("application/json")));
    assert_eq!(result.field("sequenceNumber"), env.records("orders").await[1].sequence_number);
    assert_eq!(Some(result.field("shardId").as_str()), result.header("metadata.shardid"));
    sidecar.stop().await;
}

#[tokio::test]
async fn keys_come_from_the_request_then_from_the_data() {
    let (env, sidecar) = start_with(&[("partitionKeyFrom", "/order/customer"), ("compression", "gzip")]).await;
    let order = r#"{"order": {"customer": 1234567890123456789012345, "total": 1.50}}"#;
    assert_eq!(create(&sidecar, order, json!({})).await.status, 204);
    assert_eq!(create(&sidecar, order, json!({"partitionKey": "mine", "compression": "none"})).await.status, 204);
    for data in [r#"{"order": {}}"#, r#"{"order": {"customer": ["x"]}}"#, "17"] {
        let refused = create(&sidecar, data, json!({})).await;
        assert_eq!(refused.status, 400, "{data}");
        assert!(
            refused.field("message").contains("`/order/customer` in the data (`partitionKeyFrom`)"),
            "{}",
            refused.text()
        );
        assert_eq!(body(&refused)["details"][0]["reason"], "VALIDATION");
    }
    let records = env.records("orders").await;
    let keys: Vec<_> = records.iter().map(|record| record.partition_key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["1234567890123456789012345", "mine"]);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(records[0].data.as_ref()).read_to_string(&mut unpacked).unwrap();
    assert_eq!((unpacked.as_str(), text(&records[1])), (order, order));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_poison_item_fails_alone_and_order_is_that_of_the_request() {
    let (env, sidecar) = start_with(&[("maxRecordSize", "2Ki"), ("maxBulkItems", "5")]).await;
    let long_key = "k".repeat(300);
    let items = json!([
        {"id": "first", "data": {"n": 1}, "partitionKey": "a"},
        {"id": 2, "data": "x".repeat(4000)},
        {"data": 3, "partitionKey": long_key},
        17,
        {"id": "last", "data": null, "explicitHashKey": "340282366920938463463374607431768211455"},
    ]);
    for operation in ["bulkCreate", "createBatch"] {
        let request = format!(r#"{{"operation":"{operation}","data":{{"items":{items}}}}}"#);
        let response = sidecar.invoke("out", &request).await;
        assert_eq!(response.status, 207, "{}", response.text());
        assert_eq!((response.header("metadata.succeeded"), response.header("metadata.failed")), (Some("2"), Some("3")));
        let result = body(&response);
        let statuses: Vec<_> = result.as_array().unwrap().iter().map(|line| line["status"].as_u64()).collect();
        assert_eq!(statuses, [None, Some(413), Some(400), Some(400), None]);
        assert_eq!(
            (&result[0]["id"], &result[1]["id"], &result[4]["id"]),
            (&json!("first"), &json!(2), &json!("last"))
        );
        assert_eq!((result[1]["reason"].as_str(), result[2].get("id")), (Some("TOO_LARGE"), None));
        // The text in its quotes, and a random key of 36 letters.
        assert!(result[1]["error"].as_str().unwrap().contains("4038"), "the size is reported: {result}");
        assert!(result[4]["sequenceNumber"].is_string() && result[4]["shardId"].is_string());
    }
    assert_eq!(
        env.records("orders").await.iter().map(text).collect::<Vec<_>>(),
        [r#"{"n":1}"#, "null", r#"{"n":1}"#, "null"]
    );
    sidecar.stop().await;
}

#[tokio::test]
async fn a_bulk_as_a_whole_is_200_when_all_is_stored_and_plainly_refused_when_nothing_was_tried() {
    let (_world, sidecar) = start_with(&[("maxBulkItems", "2")]).await;
    let bulk =
        async |data: Value| sidecar.invoke("out", &json!({"operation": "bulkCreate", "data": data}).to_string()).await;
    let whole = bulk(json!({"items": [{"data": 1}, {"data": 2}]})).await;
    assert_eq!((whole.status.as_u16(), whole.header("metadata.failed")), (200, Some("0")));
    let many = bulk(json!({"items": [1, 2, 3]})).await;
    assert_eq!(many.status, 413);
    assert_eq!(body(&many)["details"][0]["metadata"], json!({"size": "3", "limit": "2"}));
    for data in [json!({"items": []}), json!([]), json!(null)] {
        let refused = bulk(data).await;
        assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (400, "ERR_INVOKE_OUTPUT_BINDING"));
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn strict_answers_are_daprs() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("out", &[("streamName", "orders"), ("maxRecordSize", "1Ki")]);
    let mut settings = env.settings(None);
    settings.strict_dapr_errors = true;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let created = create(&sidecar, "1", json!({})).await;
    assert_eq!((created.status.as_u16(), created.header("metadata.sequencenumber")), (204, None));
    let failed = create(&sidecar, &format!("\"{}\"", "x".repeat(2000)), json!({})).await;
    assert_eq!((failed.status.as_u16(), body(&failed).get("details")), (500, None));
    let bulk = json!({"operation": "bulkCreate", "data": {"items": [{"data": 1}, {}]}});
    let mixed = sidecar.invoke("out", &bulk.to_string()).await;
    assert_eq!((mixed.status.as_u16(), mixed.header("metadata.failed")), (200, Some("1")));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_raw_body_is_the_record() {
    let (env, sidecar) = start_with(&[("allowRawBody", "true"), ("rawPayload", "true")]).await;
    let raw = |more: &'static [(&'static str, &'static str)]| {
        let request = Request::post("/v1.0/bindings/out").header("content-type", "application/octet-stream");
        more.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let response = calls::send(sidecar.address(), raw(&[("metadata.partitionKey", "me")]), "\u{0}any bytes\"").await;
    assert_eq!(response.status, 204, "{}", response.text());
    let headers = &[("metadata.returnResult", "true"), ("x-binding-operation", "create")][..];
    assert_eq!(calls::send(sidecar.address(), raw(headers), "").await.status, 200);
    for (headers, status) in
        [(&[("x-binding-operation", "destroy")][..], 400), (&[("metadata.decodeBase64", "true")], 400)]
    {
        assert_eq!(calls::send(sidecar.address(), raw(headers), "x").await.status, status, "{headers:?}");
    }
    assert_eq!(create(&sidecar, "\"json\"", json!({})).await.status, 204, "JSON goes on as before");
    let records = env.records("orders").await;
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["\u{0}any bytes\"", "", "json"]);
    assert_eq!(records[0].partition_key.as_deref(), Some("me"));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_fails_for_good_goes_to_the_dead_letter_binding() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("letters").await;
    env.dynamodb_component("rows", &[("table", "letters")]);
    env.kinesis_component("stream-letters", &[("streamName", "orders"), ("direction", "output")]);
    for (name, target) in [("to-rows", "rows"), ("to-stream", "stream-letters"), ("to-nowhere", "to-stream")] {
        let fields = [("streamName", "gone"), ("deadLetterBinding", target), ("maxRetries", "0")];
        env.kinesis_component(name, &fields);
    }
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let request = r#"{"operation":"create","data":{"n":1.50},"metadata":{"partitionKey":"k"}}"#;
    for binding in ["to-rows", "to-stream"] {
        let response = sidecar.invoke(binding, request).await;
        assert_eq!(
            (response.status.as_u16(), response.header("metadata.deadlettered")),
            (404, Some("true")),
            "{binding}"
        );
        let info = body(&response)["details"][0].take();
        assert_eq!(
            (&info["reason"], &info["metadata"]["deadLettered"]),
            (&json!("RESOURCE_NOT_FOUND"), &json!("true"))
        );
    }
    let rows = env.dynamodb.scan().table_name("letters").send().await.unwrap().items.unwrap();
    assert_eq!((rows.len(), &rows[0]["data"]), (1, &AttributeValue::S(r#"{"n":1.50}"#.to_owned())));
    assert_eq!(rows[0]["component"], AttributeValue::S("to-rows".to_owned()));
    let records = env.records("orders").await;
    let letter: Value = serde_json::from_slice(records[0].data.as_ref()).unwrap();
    assert_eq!((&letter["data"], &letter["error"]["kind"]), (&json!(r#"{"n":1.50}"#), &json!("not_found")));
    assert_eq!((records.len(), records[0].partition_key.as_deref()), (1, Some("k")));

    let bulk = json!({"operation": "bulkCreate", "data": {"items": [{"data": 1}, {"data": 2}, {}]}});
    let result = body(&sidecar.invoke("to-stream", &bulk.to_string()).await);
    assert_eq!((&result[0]["deadLettered"], &result[1]["deadLettered"]), (&json!(true), &json!(true)));
    assert_eq!(
        (result[2].get("deadLettered"), &result[2]["status"]),
        (None, &json!(400)),
        "a bad item is the caller's"
    );

    let lost = sidecar.invoke("to-nowhere", request).await;
    assert_eq!((lost.status.as_u16(), lost.header("metadata.deadlettered")), (404, None));
    assert!(
        lost.field("message").contains("the dead letter binding to-stream did not accept the record either"),
        "{}",
        lost.text()
    );
    let page = calls::get(sidecar.metrics_address().unwrap(), "/metrics").await;
    let line = r#"bindd_output_records_total{component="to-stream",state="dead_lettered"} 4"#;
    assert!(page.text().contains(line), "{}", page.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused_and_counted() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("out", &[("streamName", "orders"), ("direction", "output")]);
    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    for (key, value) in [
        ("timeout", "soon"),
        ("timeout", "0s"),
        ("timeout", "-1s"),
        ("compression", "zstd"),
        ("explicitHashKey", "0x10"),
        ("sequenceNumberForOrdering", "first"),
        ("rawPayload", "true"),
    ] {
        let refused = create(&sidecar, "1", json!({ key: value })).await;
        assert_eq!(refused.status, 400, "{key}: {value}");
        assert!(
            refused.field("message").contains(if key == "explicitHashKey" { "hash key" } else { key }),
            "{}",
            refused.text()
        );
    }
    assert_eq!(create(&sidecar, "1", json!({"timeout": "5", "unknown": "x"})).await.status, 204);
    let page = calls::get(sidecar.metrics_address().unwrap(), "/metrics").await;
    assert!(
        page.text().contains(r#"bindd_output_records_total{component="out",state="refused"} 7"#),
        "{}",
        page.text()
    );
    sidecar.stop().await;
}

#[tokio::test]
async fn a_timeout_of_the_request_ends_the_wait_and_tells_what_is_known() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    silent.set_nonblocking(true).unwrap();
    let env = Environment::start().await;
    let fields = [("streamName", "orders"), ("region", "us-east-1"), ("accessKey", "a"), ("secretKey", "b")];
    let mut file = String::from("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: out}\nspec:\n  ");
    file.push_str("type: bindings.aws.kinesis\n  version: v1\n  metadata:\n");
    for (name, value) in fields.iter().chain(&[("endpoint", endpoint.as_str()), ("direction", "output")]) {
        file.push_str(&format!("    - {{name: {name}, value: \"{value}\"}}\n"));
    }
    env.file("silent.yaml", &file);
    let sidecar = env.sidecar(None).await;
    // Only what was sent in time is ambiguous: a slow machine gets more time, until the service has a connection.
    let mut timeout = 200;
    let response = bindd::testing::until("the record to be sent in time", async || {
        let response = create(&sidecar, "1", json!({"timeout": format!("{timeout}ms")})).await;
        timeout *= 4;
        silent.accept().is_ok().then_some(response)
    })
    .await;
    assert_eq!(response.status, 504, "{}", response.text());
    let info = body(&response)["details"][0].take();
    assert_eq!((&info["reason"], &info["metadata"]["ambiguous"]), (&json!("DEADLINE"), &json!("true")));
    sidecar.stop().await;
}

#[tokio::test]
async fn request_bodies_are_bounded_over_all_requests() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("out", &[("streamName", "orders"), ("direction", "output")]);
    let mut settings = env.settings(None);
    settings.max_buffer = Some(1000);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    assert_eq!(create(&sidecar, "1", json!({})).await.status, 204);
    let refused = create(&sidecar, &format!("\"{}\"", "x".repeat(1000)), json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (413, "ERR_MALFORMED_REQUEST"));
    assert_eq!(create(&sidecar, "1", json!({})).await.status, 204, "a rejected record takes no space in the queue");
    sidecar.stop().await;
}

use crate::environment::Environment;
use aws_sdk_dynamodb::types::AttributeValue;

async fn start_with_outputs() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("rows").await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env.dynamodb_component("orders-table", &[("table", "rows")]);
    env
}

#[tokio::test]
async fn create_puts_the_exact_text_of_data() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let data = r#"{"z": 1.50,  "a": 12345678901234567890, "a": "twice"}"#;
    let body = format!(r#"{{"operation": "create", "data": {data}, "metadata": {{"partitionKey": "me"}}}}"#);
    let response = sidecar.invoke("orders-out", &body).await;
    assert_eq!((response.status.as_u16(), response.text()), (204, ""));

    let records = env.records("orders").await;
    assert_eq!(std::str::from_utf8(records[0].data.as_ref()).unwrap(), data);
    assert_eq!(records[0].partition_key.as_deref(), Some("me"));
    assert_eq!(response.header("metadata.sequencenumber"), Some(records[0].sequence_number.as_str()));
    assert!(response.header("metadata.shardid").is_some_and(|shard| shard.starts_with("shardId-")));
    sidecar.stop().await;
}

#[tokio::test]
async fn strings_keep_their_quotes_unless_told_otherwise() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    for (metadata, text) in [("", "\"aGk=\""), (r#""rawPayload":"true""#, "aGk="), (r#""decodeBase64":"true""#, "hi")] {
        let body = format!(r#"{{"operation":"create","data":"aGk=","metadata":{{{metadata}}}}}"#);
        let response = sidecar.invoke("orders-out", &body).await;
        assert_eq!(response.status, 204, "{}", response.text());
        let sent = env.records("orders").await.pop().unwrap();
        assert_eq!(std::str::from_utf8(sent.data.as_ref()).unwrap(), text, "{metadata}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn numbers_of_a_row_stay_exact() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let number = "12345678901234567890.123456789";
    let body =
        format!(r#"{{"operation":"create","data":{{"id":"1","n":{number},"deep":{{"list":[true,null,"x"]}}}}}}"#);
    let response = sidecar.invoke("orders-table", &body).await;
    assert_eq!(response.status, 204, "{}", response.text());
    let request = env.dynamodb.get_item().table_name("rows").key("id", AttributeValue::S("1".into()));
    let item = request.send().await.unwrap().item.unwrap();
    assert_eq!(item["n"], AttributeValue::N(number.into()));
    let list = vec![AttributeValue::Bool(true), AttributeValue::Null(true), AttributeValue::S("x".into())];
    assert_eq!(item["deep"].as_m().unwrap()["list"], AttributeValue::L(list));
    sidecar.stop().await;
}

#[tokio::test]
async fn failures_have_a_true_status_and_daprs_words() {
    let env = start_with_outputs().await;
    env.kinesis_component("lost-out", &[("streamName", "no-such-stream"), ("direction", "output")]);
    let sidecar = env.sidecar(None).await;
    let large_item = format!(r#"{{"operation":"create","data":{{"id":"{}"}}}}"#, "x".repeat(500 * 1024));
    for (binding, body, status, code) in [
        ("orders-table", large_item.as_str(), 413, "ERR_INVOKE_OUTPUT_BINDING"),
        ("nowhere", r#"{"operation":"create","data":1}"#, 404, "ERR_INVOKE_OUTPUT_BINDING"),
        ("orders-out", r#"{"data":1}"#, 400, "ERR_INVOKE_OUTPUT_BINDING"),
        ("orders-out", r#"{"operation":"destroy","data":1}"#, 400, "ERR_INVOKE_OUTPUT_BINDING"),
        ("orders-out", r#"{"operation":"#, 400, "ERR_MALFORMED_REQUEST"),
        ("orders-out", "", 400, "ERR_MALFORMED_REQUEST"),
        ("lost-out", r#"{"operation":"create","data":1}"#, 404, "ERR_INVOKE_OUTPUT_BINDING"),
        ("orders-table", r#"{"operation":"create","data":[1]}"#, 400, "ERR_INVOKE_OUTPUT_BINDING"),
        ("orders-table", r#"{"operation":"create","data":{"noid":1}}"#, 400, "ERR_INVOKE_OUTPUT_BINDING"),
    ] {
        let response = sidecar.invoke(binding, body).await;
        assert_eq!(
            (response.status.as_u16(), response.field("errorCode").as_str()),
            (status, code),
            "{body}: {}",
            response.text()
        );
        assert!(!response.field("message").is_empty(), "{body}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn strict_errors_are_all_500() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.strict_dapr_errors = true;
    let sidecar = crate::environment::Sidecar::start(&settings).await.unwrap();
    let response = sidecar.invoke("nowhere", r#"{"operation":"create","data":1}"#).await;
    assert_eq!(response.status, 500);
    assert_eq!(
        response.field("message"),
        "error invoking output binding nowhere: couldn't find output binding nowhere"
    );
    sidecar.stop().await;
}

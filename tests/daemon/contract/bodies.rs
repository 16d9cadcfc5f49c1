//! §1.2, §1.3: bodies, and what reaches the component.

use super::{environment, exchange, request};

#[tokio::test]
async fn bodies_are_read_as_go_reads_them() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let rows = [
        ("1.2 a JSON string keeps its quotes", r#"{"operation":"create","data":"abc"}"#, r#""abc""#),
        ("1.2 missing data is null", r#"{"operation":"create"}"#, "null"),
        ("1.2 null data is null", r#"{"operation":"create","data":null}"#, "null"),
        ("1.2 field names without case", r#"{"OPERATION":"create","Data":1}"#, "1"),
        ("1.2 unknown fields are ignored", r#"{"operation":"create","data":2,"more":[1]}"#, "2"),
        ("1.2 the last duplicate wins", r#"{"operation":"x","operation":"create","data":0,"data":3}"#, "3"),
        ("1.2 text after the first value is ignored", r#"{"operation":"create","data":4} and more"#, "4"),
        (
            "1.2 bindd passes on the exact text",
            r#"{"operation":"create","data":{"b": 1.0, "a": "<"}}"#,
            r#"{"b": 1.0, "a": "<"}"#,
        ),
    ];
    for (says, body, _) in rows {
        for content_type in ["", "content-type: text/plain\r\n"] {
            let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", content_type, body)).await;
            assert_eq!(answer.status, 204, "{says} {content_type}: {}", answer.body);
        }
    }
    let stored: Vec<String> = env
        .records("orders")
        .await
        .into_iter()
        .map(|record| String::from_utf8(record.data.into_inner()).unwrap())
        .collect();
    let expected: Vec<&str> = rows.iter().flat_map(|(_, _, data)| [*data, *data]).collect();
    assert_eq!(stored, expected);
    sidecar.stop().await;
}

#[tokio::test]
async fn only_the_metadata_of_the_body_counts() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let keyed = r#"{"operation":"create","data":1,"metadata":{"partitionKey":"mine"}}"#;
    let headers = "partitionKey: other\r\nmetadata.partitionKey: other\r\n";
    let answer =
        exchange(sidecar.address(), &request("POST /v1.0/bindings/orders?partitionKey=x", headers, keyed)).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let bare = r#"{"operation":"create","data":2}"#;
    exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", headers, bare)).await;
    let records = env.records("orders").await.into_iter();
    let keys: Vec<String> = records.filter_map(|record| record.partition_key).collect();
    assert_eq!(keys[0], "mine", "1.3 the map of the body");
    assert_eq!(keys[1].len(), 36, "1.3, 1.10 not the query and the headers: a random UUID, not {}", keys[1]);
    sidecar.stop().await;
}

#[tokio::test]
async fn metadata_are_merged_and_names_that_no_component_reads_are_ignored() {
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    for (says, metadata, key) in [
        ("1.2 maps of a name that is there twice are merged", r#"{"partitionKey":"a"},"metadata":{"b":"c"}"#, "a"),
        ("1.2 null is an empty map", "null", ""),
        ("1.3 the exact case counts", r#"{"PartitionKey":"x","partitionkey":"y"}"#, ""),
        ("1.10 an empty key is none", r#"{"partitionKey":""}"#, ""),
    ] {
        let body = format!(r#"{{"operation":"create","data":1,"metadata":{metadata}}}"#);
        let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", &body)).await;
        assert_eq!(answer.status, 204, "{says}: {}", answer.body);
        let stored = env.records("orders").await.pop().unwrap().partition_key.unwrap();
        assert_eq!(if stored.len() == 36 { "" } else { stored.as_str() }, key, "{says}");
    }
    let refused = r#"{"operation":"create","data":1,"metadata":{"partitionKey":1}}"#;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", refused)).await;
    assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (400, Some("ERR_MALFORMED_REQUEST")), "1.2");
    let cased = r#"{"operation":"Create","data":1}"#;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", cased)).await;
    assert!(answer.body.contains("does not support operation Create"), "1.2 the case counts: {}", answer.body);
    sidecar.stop().await;
}

#[tokio::test]
async fn rows_have_the_types_of_the_json() {
    use aws_sdk_dynamodb::types::AttributeValue as V;
    let env = environment().await;
    let sidecar = env.sidecar(None).await;
    let data = r#"{"id":"1","s":"","n":1.5,"b":true,"z":null,"l":["a",1],"m":{"k":"v"}}"#;
    let body = format!(r#"{{"operation":"create","data":{data}}}"#);
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/people", "", &body)).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let row = env.dynamodb.scan().table_name("people").send().await.unwrap().items.unwrap().remove(0);
    for (says, name, value) in [
        ("1.10 an empty text is allowed", "s", V::S(String::new())),
        ("1.10 a number is N", "n", V::N("1.5".to_owned())),
        ("1.10 a boolean is BOOL", "b", V::Bool(true)),
        ("1.10 null is NULL", "z", V::Null(true)),
        ("1.10 an array is L", "l", V::L(vec![V::S("a".to_owned()), V::N("1".to_owned())])),
        ("1.10 an object is M", "m", V::M([("k".to_owned(), V::S("v".to_owned()))].into())),
    ] {
        assert_eq!(row[name], value, "{says}");
    }
    for data in [r#""text""#, "[1]", "null"] {
        let body = format!(r#"{{"operation":"create","data":{data}}}"#);
        let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/people", "", &body)).await;
        let code = answer.json()["errorCode"].as_str().map(str::to_owned);
        assert_eq!((answer.status, code.as_deref()), (400, Some("ERR_INVOKE_OUTPUT_BINDING")), "1.10 {data}");
    }
    sidecar.stop().await;
}

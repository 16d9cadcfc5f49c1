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

//! §3.4: what the value of an item becomes, told by the stream that an output writes to.

use super::{CREATE, exchange, request};
use crate::environment::Environment;
use std::fs;

#[tokio::test]
async fn values_become_text_as_by_daprd_and_templates_are_filled_in() {
    let env = Environment::start().await;
    let rows = [
        ("3.4 the content of a text", "\"text\"", "text"),
        ("3.4 a number", "5", "5"),
        ("3.4 a number without trailing zeros", "1.50", "1.5"),
        ("3.4 a hexadecimal number", "0x10", "16"),
        ("3.4 a boolean", "true", "true"),
        ("3.4 the id of the app", "\"a-{appID}\"", "a-shop"),
        ("3.4 the namespace and the id", "\"{namespace}\"", "default.shop"),
        ("3.4 each occurrence", "\"{appID}-{appID}\"", "shop-shop"),
    ];
    env.kinesis_component("orders", &[("streamName", "stream"), ("direction", "output")]);
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    for (says, value, stream) in rows {
        env.stream(stream, 1).await;
        env.file("orders.yaml", &text.replace("value: \"stream\"", &format!("value: {value}")));
        let sidecar = env.sidecar(None).await;
        let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
        assert_eq!(answer.status, 204, "{says}: {}", answer.body);
        assert_eq!(env.records(stream).await.len(), 1, "{says}");
        sidecar.stop().await;
    }
}

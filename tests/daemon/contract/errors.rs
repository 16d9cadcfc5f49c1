//! §1.5: errors, in both formats.

use super::{environment, exchange, request};
use crate::environment::Sidecar;

const MALFORMED: &str = "ERR_MALFORMED_REQUEST";
const FAILED: &str = "ERR_INVOKE_OUTPUT_BINDING";

/// What it is about, name, body, statuses (ours, daprd's), code and message.
type ErrorRow = (&'static str, &'static str, &'static str, [u16; 2], &'static str, &'static str);

const ROWS: [ErrorRow; 7] = [
    ("1.5 empty body", "orders", "", [400, 400], MALFORMED, "failed deserializing HTTP body: EOF"),
    (
        "1.5 truncated",
        "orders",
        r#"{"operation":"#,
        [400, 400],
        MALFORMED,
        "failed deserializing HTTP body: unexpected EOF",
    ),
    (
        "1.5 syntax",
        "orders",
        "{,}",
        [400, 400],
        MALFORMED,
        "failed deserializing HTTP body: invalid character ',' looking for beginning of object key string",
    ),
    (
        "1.5 wrong type",
        "orders",
        r#"{"operation":1}"#,
        [400, 400],
        MALFORMED,
        "failed deserializing HTTP body: json: cannot unmarshal number into Go struct field \
         OutputBindingRequest.operation of type string",
    ),
    (
        "1.5 no operation, before the name is looked up",
        "none",
        "null",
        [400, 500],
        FAILED,
        "error invoking output binding none: operation field is missing from request",
    ),
    (
        "1.5 unknown binding",
        "none",
        r#"{"operation":"create"}"#,
        [404, 500],
        FAILED,
        "error invoking output binding none: couldn't find output binding none",
    ),
    (
        "1.5 unsupported operation",
        "orders",
        r#"{"operation":"read"}"#,
        [400, 500],
        FAILED,
        "error invoking output binding orders: binding orders does not support operation read. supported operations:create",
    ),
];

#[tokio::test]
async fn errors_have_the_codes_and_texts_of_daprd() {
    let env = environment().await;
    let precise = env.sidecar(None).await;
    let mut settings = env.settings(None);
    settings.strict_dapr_errors = true;
    let strict = Sidecar::start(&settings).await.unwrap();
    for (says, name, body, statuses, code, message) in ROWS {
        for (sidecar, status, is_strict) in [(&precise, statuses[0], false), (&strict, statuses[1], true)] {
            let answer = exchange(sidecar.address(), &request(&format!("POST /v1.0/bindings/{name}"), "", body)).await;
            let json = answer.json();
            assert_eq!((answer.status, json["errorCode"].as_str()), (status, Some(code)), "{says}");
            let text = json["message"].as_str().unwrap();
            assert!(text.starts_with(message), "{says}: {text}");
            assert!(!is_strict || message.ends_with("create") || text == message, "{says}: exactly, not {text}");
            assert_eq!(json.get("details").is_none(), is_strict, "{says}");
        }
    }
    precise.stop().await;
    strict.stop().await;
}

#[tokio::test]
async fn large_bodies_and_bad_names() {
    let env = environment().await;
    let mut settings = env.settings(None);
    settings.max_body_size = Some(100);
    for (is_strict, status) in [(false, 413), (true, 400)] {
        settings.strict_dapr_errors = is_strict;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        let large = request("POST /v1.0/bindings/orders", "", &" ".repeat(101));
        let answer = exchange(sidecar.address(), &large).await;
        assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (status, Some(MALFORMED)), "1.5 too large");
        assert_eq!(answer.json()["message"], "failed deserializing HTTP body: stream too large");
        let escape = exchange(sidecar.address(), &request("POST /v1.0/bindings/a%zz", "", "")).await;
        assert_eq!(escape.status, 400, "1.1 bad escape");
        assert_eq!(escape.header("x-content-type-options"), Some("nosniff"));
        assert!(escape.body.starts_with("failed to unescape request parameter \"name\". Error: "), "{}", escape.body);
        sidecar.stop().await;
    }
}

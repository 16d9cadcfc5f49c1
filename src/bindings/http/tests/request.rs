use super::*;
use crate::bindings::http::spec::TlsSpec;
use crate::domain::{DataForm, Direction};
use http::header::HOST;

fn spec(url: &str) -> Spec {
    Spec {
        url: url.to_owned(),
        response_timeout: None,
        max_response: 100,
        max_connections: 1,
        error_if_not_2xx: true,
        security: Some((HeaderName::from_static("x-token"), "s3cret".to_owned().into())),
        tls: TlsSpec::default(),
        direction: Direction::Output,
    }
}

fn request(operation: &str, metadata: &[(&str, &str)]) -> InvokeRequest {
    InvokeRequest {
        operation: operation.to_owned(),
        data: Bytes::from_static(b"{}"),
        form: DataForm::Json,
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn header<'r>(request: &'r Outgoing, name: &str) -> Option<&'r str> {
    request.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn the_operation_is_the_method_and_only_some_have_a_body() {
    for operation in OPERATIONS.iter().map(AsRef::as_ref) {
        let built = outgoing(&request(operation, &[]), &spec("http://a")).unwrap();
        let has_body = matches!(operation, "create" | "post" | "put" | "patch");
        let method = if operation == "create" { "POST".to_owned() } else { operation.to_uppercase() };
        assert_eq!(built.method.as_str(), method);
        assert_eq!(!built.body.is_empty(), has_body, "{operation}");
        assert_eq!(header(&built, "content-type").is_some(), has_body, "{operation}");
        assert_eq!(header(&built, "accept"), Some("application/json; charset=utf-8"));
    }
}

#[test]
fn metadata_with_a_capital_becomes_headers() {
    let metadata = [
        ("Accept", "text/plain"),
        ("X-Mine", "1"),
        ("other", "2"),
        ("Host", "elsewhere"),
        ("Content-Length", "7"),
        ("X-Token", "own"),
        ("Traceparent", "of the app"),
        ("traceparent", "00-1"),
        ("path", "c?d"),
    ];
    let built = outgoing(&request("get", &metadata), &spec("http://user:p%40ss@a/b")).unwrap();
    assert_eq!(built.url.path_and_query().unwrap(), "/b/c?d");
    for (name, value) in [
        ("accept", Some("text/plain")),
        ("x-mine", Some("1")),
        ("other", None),
        ("content-length", None),
        ("x-token", Some("own")),
        ("traceparent", Some("00-1")),
        // user:p@ss
        ("authorization", Some("Basic dXNlcjpwQHNz")),
    ] {
        assert_eq!(header(&built, name), value, "{name}");
    }
    assert!(!built.headers.contains_key(HOST));
}

#[test]
fn what_fits_into_no_header_is_refused_without_its_value() {
    for entry in [("X Y", "1"), ("X-Mine", "s3cret\n")] {
        let error = outgoing(&request("get", &[entry]), &spec("http://a")).unwrap_err();
        assert!(error.kind() == FailureKind::Caller && !error.to_string().contains("s3cret"), "{error}");
    }
}

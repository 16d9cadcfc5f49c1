//! The metadata of a call, as the metadata of a request to a binding.

use crate::domain::Metadata;
use crate::http::TraceContext;
use http::HeaderMap;
use http::request::Parts;

/// Headers of the protocol, which gRPC does not show to servers.
const HIDDEN: [&str; 8] = [
    "te",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-message-type",
    "grpc-message",
    "grpc-status",
    "content-length",
    "dapr-api-token",
];

/// Adds what the client sent as metadata of the call, without replacing what is in the request. `traceparent`, `tracestate`
/// and `baggage` of its trace replace what is there.
pub(super) fn add_to(metadata: &mut Metadata, head: &Parts, trace: &TraceContext) {
    let mut call = Metadata::default();
    if let Some(authority) = head.uri.authority() {
        call.insert("dapr-authority", authority.as_str());
    }
    for name in head.headers.keys().map(http::HeaderName::as_str).filter(|name| !HIDDEN.contains(name)) {
        if let Some(value) = first_value(&head.headers, name) {
            call.insert(renamed(name), value);
        }
    }
    metadata.extend_missing(call);
    trace.add_to(metadata);
}

/// As Dapr renames what it reserves for itself.
fn renamed(name: &str) -> String {
    if name.starts_with("grpc-") { format!("dapr-{name}") } else { name.to_owned() }
}

/// The first value of a header; `None` if it is not text. The name of a binary one ends with `-bin`, its value is Base64.
fn first_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    let bytes = if name.ends_with("-bin") {
        // Several values may be in one header.
        let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
        base64_simd::forgiving_decode_to_vec(first).ok()?
    } else {
        value.to_vec()
    };
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::MalformedRequest;
    use http::Request;

    fn merged(pairs: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Result<Metadata, MalformedRequest> {
        let mut request = Request::builder().uri("http://127.0.0.1:50001/dapr.proto.runtime.v1.Dapr/InvokeBinding");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut metadata: Metadata =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        add_to(&mut metadata, &head, &TraceContext::read(&head.headers, false)?);
        Ok(metadata)
    }

    #[test]
    fn metadata_of_the_call_is_added_to_that_of_the_request() {
        let metadata = merged(
            &[("tenant", "of the request")],
            &[
                ("tenant", "of the call"),
                ("shop", "first"),
                ("shop", "second"),
                ("user-agent", "grpc-go"),
                ("content-type", "application/grpc"),
                ("grpc-accept-encoding", "gzip"),
                ("grpc-timeout", "1S"),
                ("te", "trailers"),
                ("dapr-api-token", "secret"),
                ("text-bin", "aMOk"),
                ("grpc-trace-bin", "AP8"),
            ],
        )
        .unwrap();
        let mut names: Vec<&str> = metadata.names().collect();
        names.sort_unstable();
        let expected = [
            "content-type",
            "dapr-authority",
            "dapr-grpc-accept-encoding",
            "shop",
            "tenant",
            "text-bin",
            "traceparent",
            "user-agent",
        ];
        assert_eq!(names, expected);
        let values = ["tenant", "shop", "dapr-authority", "text-bin"].map(|key| metadata.get(key));
        assert_eq!(values, [Some("of the request"), Some("first"), Some("127.0.0.1:50001"), Some("hä")]);
    }

    #[test]
    fn the_trace_of_the_call_replaces_that_of_the_request() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [("traceparent", PARENT), ("baggage", "a=1"), ("baggage", "b=2")];
        let metadata = merged(&[("traceparent", "old"), ("baggage", "old")], &headers).unwrap();
        assert_eq!([metadata.get("traceparent"), metadata.get("baggage")], [Some(PARENT), Some("a=1,b=2")]);
        assert!(matches!(merged(&[], &[("baggage", "=")]), Err(MalformedRequest::Baggage(_))));
    }
}

//! Raw bodies: the body of `application/octet-stream` is the data, and headers carry the rest of the request.

use super::encoding;
use super::error::MalformedRequest;
use crate::domain::{DataForm, InvokeRequest, Metadata};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The header with the operation; `create` if it is absent.
const OPERATION: &str = "x-binding-operation";
const PREFIX: &str = "metadata.";

pub(super) fn is_octet_stream(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case("application/octet-stream")
}

/// `Content-Type` without parameters; empty if there is none.
fn media_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Adds to the error of a body that is not a JSON request: its encoding, and a hint if it looks like raw data.
pub(super) fn explain(error: MalformedRequest, headers: &HeaderMap, body: &[u8]) -> MalformedRequest {
    let (MalformedRequest::Body(problem) | MalformedRequest::Syntax { problem, .. }) = &error else { return error };
    let described = encoding::describe(headers, body);
    let looks_raw = if described.is_some() { is_octet_stream(headers) } else { looks_raw(headers, body) };
    match described {
        _ if looks_raw => MalformedRequest::RawBody(described.unwrap_or_else(|| problem.clone())),
        Some(problem) => MalformedRequest::Body(problem),
        None => error,
    }
}

/// Whether its media type is not JSON, or its first character does not begin an object.
fn looks_raw(headers: &HeaderMap, body: &[u8]) -> bool {
    let media_type = media_type(headers).to_ascii_lowercase();
    // curl sends "form" unless a media type is given.
    let is_unknown = media_type.is_empty() || media_type == "application/x-www-form-urlencoded";
    let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
    (!is_unknown && !is_json)
        || body
            .get(encoding::mark_length(body)..)
            .unwrap_or_default()
            .trim_ascii_start()
            .first()
            .is_some_and(|first| *first != b'{')
}

/// Builds the request from headers and body. `keys` are the metadata keys of the component: a header that matches one of
/// them in any case becomes metadata under that key, another one under its name in lower case.
///
/// # Errors
/// When a header's value is not UTF-8.
pub(super) fn parse(
    headers: &HeaderMap,
    data: Bytes,
    keys: &[&'static str],
) -> Result<InvokeRequest, MalformedRequest> {
    let operation = match headers.get(OPERATION) {
        Some(value) => text(OPERATION, value.as_bytes())?.trim().to_owned(),
        None => "create".to_owned(),
    };
    let mut metadata = Metadata::default();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(PREFIX) else { continue };
        let known = keys.iter().find(|known| known.eq_ignore_ascii_case(key)).copied();
        metadata.insert(known.unwrap_or(key), text(name.as_str(), value.as_bytes())?);
    }
    Ok(InvokeRequest { operation, data, form: DataForm::Raw, metadata })
}

fn text<'h>(name: &str, value: &'h [u8]) -> Result<&'h str, MalformedRequest> {
    std::str::from_utf8(value).map_err(|_| MalformedRequest::Metadata(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), http::HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    #[test]
    fn only_octet_streams_are_raw() {
        for (media_type, raw) in [
            ("application/octet-stream", true),
            ("Application/Octet-Stream; x=1", true),
            ("application/json", false),
            ("application/octet-streams", false),
        ] {
            assert_eq!(is_octet_stream(&headers(&[("content-type", media_type.as_bytes())])), raw, "{media_type}");
        }
        assert!(!is_octet_stream(&HeaderMap::new()));
    }

    #[test]
    fn only_what_is_probably_not_json_looks_raw() {
        let form = "application/x-www-form-urlencoded";
        for (media_type, body, raw) in [
            (Some("application/octet-stream"), r#"{"operation":"#, true),
            (Some("text/plain; charset=utf-8"), "", true),
            (Some("application/json"), r#" {"operation":"#, false),
            (Some("application/vnd.orders+json"), "{,}", false),
            (Some("application/json"), "order 7", true),
            (Some(form), r#"{"operation":"#, false),
            (Some(form), "order 7", true),
            (None, "\n{,}", false),
            (None, "[1]", true),
            (None, " ", false),
            (None, "\u{feff}{,}", false),
        ] {
            let headers = media_type.map_or_else(HeaderMap::new, |text| headers(&[("content-type", text.as_bytes())]));
            assert_eq!(looks_raw(&headers, body.as_bytes()), raw, "{media_type:?} {body}");
        }
    }

    #[test]
    fn headers_carry_the_rest_of_the_request() {
        let headers =
            headers(&[("metadata.partitionkey", "kü".as_bytes()), ("metadata.other", b"1"), ("x-more", b"2")]);
        let request = parse(&headers, Bytes::from_static(b"\xff\x00"), &["partitionKey"]).unwrap();
        assert_eq!((request.operation.as_str(), request.form), ("create", DataForm::Raw));
        assert_eq!((request.metadata.get("partitionKey"), request.metadata.get("other")), (Some("kü"), Some("1")));
        assert_eq!(request.data, &b"\xff\x00"[..]);
    }

    #[test]
    fn the_operation_may_be_named_and_values_must_be_text() {
        let named = headers(&[("x-binding-operation", b"bulkCreate")]);
        assert_eq!(parse(&named, Bytes::new(), &[]).unwrap().operation, "bulkCreate");
        let broken = headers(&[("metadata.a", b"\xff")]);
        let error = parse(&broken, Bytes::new(), &[]).unwrap_err();
        assert_eq!(error, MalformedRequest::Metadata("metadata.a".to_owned()));
    }
}

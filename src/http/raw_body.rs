//! A body of `application/octet-stream` as the data itself, with the rest of the request in headers.

use super::encoding;
use super::error::MalformedRequest;
use crate::domain::{DataForm, InvokeRequest, Metadata};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Names the operation; without it, `create` is meant.
const OPERATION: &str = "x-binding-operation";
const PREFIX: &str = "metadata.";

/// Whether the body says that it is no JSON.
pub(super) fn is_raw(headers: &HeaderMap) -> bool {
    essence(headers).eq_ignore_ascii_case("application/octet-stream")
}

/// What the body says it is, without parameters; empty where it says nothing.
fn essence(headers: &HeaderMap) -> &str {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Why a body could not be read as a request: in what it is encoded, and a word about raw bodies where it looks like one.
pub(super) fn explain(error: MalformedRequest, headers: &HeaderMap, body: &[u8]) -> MalformedRequest {
    let MalformedRequest::Body(problem) = error else { return error };
    let described = encoding::described(headers, body);
    let looks_raw = if described.is_some() { is_raw(headers) } else { looks_raw(headers, body) };
    let problem = described.unwrap_or(problem);
    if looks_raw { MalformedRequest::RawBody(problem) } else { MalformedRequest::Body(problem) }
}

/// Whether it says that it is something else than JSON, or cannot be the beginning of an object.
fn looks_raw(headers: &HeaderMap, body: &[u8]) -> bool {
    let said = essence(headers).to_ascii_lowercase();
    // curl says "form" of every body that it is not told about.
    let says_nothing = said.is_empty() || said == "application/x-www-form-urlencoded";
    let says_json = said.ends_with("/json") || said.ends_with("+json");
    (!says_nothing && !says_json)
        || body
            .get(encoding::mark_length(body)..)
            .unwrap_or_default()
            .trim_ascii_start()
            .first()
            .is_some_and(|first| *first != b'{')
}

/// The request that body and headers make. `keys` are the component's metadata keys in their true case; other headers
/// of the kind keep the lower case in which they came.
///
/// # Errors
/// When a header's value is not UTF-8.
pub(super) fn request(
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
            assert_eq!(is_raw(&headers(&[("content-type", media_type.as_bytes())])), raw, "{media_type}");
        }
        assert!(!is_raw(&HeaderMap::new()));
    }

    #[test]
    fn only_what_may_be_no_json_looks_raw() {
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
    fn headers_carry_what_the_body_cannot() {
        let headers =
            headers(&[("metadata.partitionkey", "kü".as_bytes()), ("metadata.other", b"1"), ("x-more", b"2")]);
        let request = request(&headers, Bytes::from_static(b"\xff\x00"), &["partitionKey"]).unwrap();
        assert_eq!((request.operation.as_str(), request.form), ("create", DataForm::Raw));
        assert_eq!((request.metadata.get("partitionKey"), request.metadata.get("other")), (Some("kü"), Some("1")));
        assert_eq!(request.data, &b"\xff\x00"[..]);
    }

    #[test]
    fn the_operation_may_be_named_and_values_must_be_text() {
        let named = headers(&[("x-binding-operation", b"bulkCreate")]);
        assert_eq!(request(&named, Bytes::new(), &[]).unwrap().operation, "bulkCreate");
        let broken = headers(&[("metadata.a", b"\xff")]);
        let error = request(&broken, Bytes::new(), &[]).unwrap_err();
        assert_eq!(error, MalformedRequest::Metadata("metadata.a".to_owned()));
    }
}

//! Recognizes JSON and text, and chooses a content type.

use http::HeaderValue;
use serde_json::value::RawValue;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const BINARY: &str = "application/octet-stream";

/// The bytes as JSON, without the white space around it. Nothing is parsed again where it is written into a body.
pub(super) fn json(data: &[u8]) -> Option<&RawValue> {
    // Most records that are not JSON are recognized by their first byte.
    let first = data.iter().find(|byte| !b" \t\r\n".contains(byte))?;
    if !b"{[\"-0123456789tfn".contains(first) {
        return None;
    }
    serde_json::from_slice(data).ok()
}

/// `application/json` only for an object or an array, because many frameworks refuse other JSON values.
pub(super) fn of_record(data: &[u8]) -> HeaderValue {
    if json(data).is_some_and(|json| json.get().starts_with(['{', '['])) {
        JSON
    } else {
        HeaderValue::from_static(of_text_or_bytes(data))
    }
}

pub(super) fn of_text_or_bytes(data: &[u8]) -> &'static str {
    if str::from_utf8(data).is_ok() { TEXT } else { BINARY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_and_arrays_are_sent_as_json() {
        for (data, expected) in [
            (&br#"{"a": 1}"#[..], "application/json"),
            (b" [1]\n", "application/json"),
            (b"\"text\"", TEXT),
            (b"42", TEXT),
            (b"null", TEXT),
            (b"hello", TEXT),
            (b"{\"a\": 1", TEXT),
            (b"{} {}", TEXT),
            (b"", TEXT),
            ("\u{feff}{}".as_bytes(), TEXT),
            (b"\x1f\x8b\x08\x00\xff", BINARY),
            (b"{\"a\": \"\xff\"}", BINARY),
        ] {
            assert_eq!(of_record(data), expected, "{data:?}");
        }
        let nested = ["[".repeat(5_000), "]".repeat(5_000)].concat();
        assert_eq!(of_record(nested.as_bytes()), "application/json");
    }
}

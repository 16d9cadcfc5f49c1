//! Describes bodies that are not JSON in UTF-8. Called only after parsing failed.

use super::json_path::path_after;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use std::str::Utf8Error;

/// RFC 8259 lets a parser skip it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Longer names of encodings are shortened.
const MAX_NAME: usize = 40;

/// The length of the byte order mark before the JSON.
pub(super) fn mark_length(body: &[u8]) -> usize {
    if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

/// The text about the first byte of `body` that is not UTF-8, with its offset and its path in the JSON.
pub(super) fn not_utf8(body: &[u8], error: Utf8Error) -> String {
    let offset = error.valid_up_to();
    let (before, rest) = body.split_at_checked(offset).unwrap_or((body, &[]));
    let path =
        path_after(std::str::from_utf8(before.get(mark_length(before)..).unwrap_or_default()).unwrap_or_default());
    let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
    let byte = rest.first().copied().unwrap_or_default();
    let what = match error.error_len() {
        Some(_) => "is not UTF-8",
        None => "begins a UTF-8 character that the body does not finish",
    };
    format!("byte 0x{byte:02x} at offset {offset}{place} {what}; send JSON in UTF-8, and other bytes as base64")
}

/// The encoding of a body that could not be parsed; `None` if it seems to be JSON in UTF-8.
pub(super) fn describe(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(name) = compression(headers, body) {
        return Some(format!(
            "the body is compressed ({name}); send it without compression and without Content-Encoding"
        ));
    }
    utf16_or_32(body).map(|name| format!("the body is encoded in {name}; send it in UTF-8"))
}

/// Detected by the first bytes, which no JSON begins with, or by `Content-Encoding` if the body is not JSON.
fn compression(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    match body {
        [0x1f, 0x8b, ..] => return Some("gzip".to_owned()),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Some("zstd".to_owned()),
        _ => {}
    }
    let coding = headers.get(CONTENT_ENCODING)?.to_str().ok()?.trim();
    let is_json = body.trim_ascii_start().starts_with(b"{") && std::str::from_utf8(body).is_ok();
    let is_compressed = !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") && !body.is_empty() && !is_json;
    is_compressed.then(|| coding.chars().take(MAX_NAME).collect())
}

/// Detected by a byte order mark, or by the zero bytes beside the first character, which is ASCII in JSON.
fn utf16_or_32(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xff, 0xfe, 0, 0, ..] | [1..=0xff, 0, 0, 0, ..] => Some("UTF-32 (little-endian)"),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0xff, ..] => Some("UTF-32 (big-endian)"),
        [0xff, 0xfe, ..] | [1..=0xff, 0, ..] => Some("UTF-16 (little-endian)"),
        [0xfe, 0xff, ..] | [0, 1..=0xff, ..] => Some("UTF-16 (big-endian)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"operation":"create"}"#;

    fn content_encoding(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())])
    }

    fn utf16(mark: &[u8], to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        [mark, &BODY.encode_utf16().flat_map(to_bytes).collect::<Vec<_>>()].concat()
    }

    fn utf32(mark: &[u8], to_bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
        [mark, &BODY.chars().flat_map(|character| to_bytes(character.into())).collect::<Vec<_>>()].concat()
    }

    #[test]
    fn other_encodings_are_detected_by_their_first_bytes() {
        for (body, name) in [
            (utf16(b"\xff\xfe", u16::to_le_bytes), "UTF-16 (little-endian)"),
            (utf16(b"", u16::to_le_bytes), "UTF-16 (little-endian)"),
            (utf16(b"\xfe\xff", u16::to_be_bytes), "UTF-16 (big-endian)"),
            (utf16(b"", u16::to_be_bytes), "UTF-16 (big-endian)"),
            (utf32(b"\xff\xfe\0\0", u32::to_le_bytes), "UTF-32 (little-endian)"),
            (utf32(b"", u32::to_le_bytes), "UTF-32 (little-endian)"),
            (utf32(b"\0\0\xfe\xff", u32::to_be_bytes), "UTF-32 (big-endian)"),
            (utf32(b"", u32::to_be_bytes), "UTF-32 (big-endian)"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), "compressed (gzip)"),
            (b"\x28\xb5\x2f\xfd\x04".to_vec(), "compressed (zstd)"),
        ] {
            let text = describe(&HeaderMap::new(), &body).unwrap();
            assert!(text.contains(name), "{name}: {text}");
        }
        for body in ["", "{", BODY, "[", "\u{feff}{", "x\u{1}"] {
            assert_eq!(describe(&HeaderMap::new(), body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn content_encoding_counts_for_what_is_not_json() {
        for (encoding, body, is_compressed) in [
            ("deflate", &b"\x78\x9c\xab\x56"[..], true),
            ("br", b"\x0b\x02\x80{}\x03", true),
            ("gzip, br", b"\x0b", true),
            ("identity", b"\xff", false),
            ("", b"\xff", false),
            ("gzip", b"{,}", false),
            ("gzip", b"", false),
        ] {
            assert_eq!(describe(&content_encoding(encoding), body).is_some(), is_compressed, "{encoding} {body:?}");
        }
        let long = describe(&content_encoding(&"x".repeat(500)), b"\xff").unwrap();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn the_error_names_the_first_bad_byte_and_its_place() {
        for (body, expected) in [
            (&b"{\"data\":{\"id\":\"M\xfcller\"}}"[..], "byte 0xfc at offset 16 in data.id is not UTF-8"),
            (b"{\"operation\":\"\xc0\xaf\"}", "byte 0xc0 at offset 14 in operation is not UTF-8"),
            (b"{\"data\":[1,\"\xed\xa0\x80\"]}", "byte 0xed at offset 12 in data[1] is not UTF-8"),
            (b"{\"\xff\":1}", "byte 0xff at offset 2 is not UTF-8"),
            (b"\xef\xbb\xbf{\"a\":\"\xff\"}", "byte 0xff at offset 9 in a is not UTF-8"),
            (b"{\"data\":\"\xe2\x82", "byte 0xe2 at offset 9 in data begins a UTF-8 character"),
        ] {
            let text = not_utf8(body, std::str::from_utf8(body).unwrap_err());
            assert!(text.starts_with(expected), "{text}");
        }
    }
}

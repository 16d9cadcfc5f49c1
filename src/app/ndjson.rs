//! Newline-delimited JSON: one record per line.

use super::base64::{self, Base64};
use super::media_type;
use serde::Serialize;

#[derive(Serialize)]
struct Bytes<'d> {
    data_base64: Base64<'d>,
}

/// Appends a line: JSON as it is, text as a JSON string, other bytes as `{"data_base64": "…"}`. So are texts with so many
/// control characters that a string of them is longer than twice the text.
///
/// # Errors
/// Never; a `Vec` accepts everything.
pub(super) fn append(body: &mut Vec<u8>, data: &[u8]) -> serde_json::Result<()> {
    match (media_type::json(data), str::from_utf8(data)) {
        (Some(json), _) => {
            let line = body.len();
            body.extend_from_slice(json.get().as_bytes());
            // In valid JSON they are white space between tokens.
            let breaks = body.iter_mut().skip(line).filter(|byte| matches!(byte, b'\n' | b'\r'));
            breaks.for_each(|byte| *byte = b' ');
        }
        (None, Ok(text)) if escaped_len(data) <= longest_string(data) => serde_json::to_writer(&mut *body, text)?,
        (None, Ok(_) | Err(_)) => serde_json::to_writer(&mut *body, &Bytes { data_base64: Base64(data) })?,
    }
    body.push(b'\n');
    Ok(())
}

/// The most that a record takes in a line, beside the members of an object.
pub(super) fn max_len(data: &[u8]) -> usize {
    base64::encoded_len(data).max(escaped_len(data).min(longest_string(data)))
}

/// The length of a text as a JSON string.
pub(super) fn escaped_len(text: &[u8]) -> usize {
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0x00..=0x1f => 6,
        _ => 1,
    };
    2 + text.iter().map(escaped).sum::<usize>()
}

const fn longest_string(text: &[u8]) -> usize {
    2 + 2 * text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_record_is_one_line() {
        let mut body = Vec::new();
        for data in [&b"{\n  \"n\": 1.50,\r\n  \"t\": \"a\\nb\"\n}\n"[..], b"42", b"plain \"text\"\n", b"\xff\x00", b""]
        {
            append(&mut body, data).unwrap();
        }
        append(&mut body, b"\x1b[1mred\x1b[0m").unwrap();
        append(&mut body, b"\x01\x02").unwrap();
        let lines = "{   \"n\": 1.50,    \"t\": \"a\\nb\" }\n42\n\"plain \\\"text\\\"\\n\"\n{\"data_base64\":\"/wA=\"}\n\"\"\n\"\\u001b[1mred\\u001b[0m\"\n\
             {\"data_base64\":\"AQI=\"}\n";
        assert_eq!(str::from_utf8(&body).unwrap(), lines);
    }

    proptest! {
        #[test]
        fn any_record_is_one_line_of_json(data: Vec<u8>) {
            let mut body = Vec::new();
            append(&mut body, &data).unwrap();
            prop_assert!(body.iter().filter(|byte| **byte == b'\n').count() == 1 && body.ends_with(b"\n"));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }
}

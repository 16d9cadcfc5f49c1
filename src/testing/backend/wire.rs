//! Reads put requests by scanning for strings, without a JSON parser, for speed.
//!
//! Payloads are base64 and contain no quotes, so one search skips a payload. It is decoded only on demand.

use super::shards;

/// One record of a call; borrows from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The payload in base64.
    pub(super) data: &'a str,
    /// The partition key with its JSON escapes.
    pub(super) key: &'a str,
    /// `ExplicitHashKey`, or the MD5 of the partition key.
    pub(super) hash_key: u128,
}

impl Entry<'_> {
    /// Payload and key in bytes, as the limits count.
    pub(super) fn size(&self) -> usize {
        self.data_len() + self.key.len()
    }

    fn data_len(&self) -> usize {
        let padding = self.data.bytes().rev().take_while(|byte| *byte == b'=').count();
        (self.data.len() / 4 * 3).saturating_sub(padding)
    }

    /// The payload; `None` when it is not base64.
    pub(super) fn payload(&self) -> Option<Vec<u8>> {
        base64_simd::STANDARD.decode_to_vec(self.data).ok()
    }

    /// The partition key without JSON escapes.
    pub(super) fn partition_key(&self) -> String {
        unescaped(self.key)
    }
}

/// A `PutRecord` or `PutRecords` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put<'a> {
    /// Name of the stream, or its ARN.
    pub(super) stream: &'a str,
    pub(super) entries: Vec<Entry<'a>>,
}

/// Reads a body; `None` when a record lacks payload or key, or the body is incomplete.
pub(super) fn read_put(text: &str) -> Option<Put<'_>> {
    let mut put = Put { stream: "", entries: Vec::new() };
    let (mut data, mut key, mut explicit) = (None, None, None);
    let mut scanner = StringScanner { text, at: 0 };
    loop {
        let step = scanner.step();
        // A brace between two strings ends the object that was being read.
        if step.gap.contains('}') && (data.is_some() || key.is_some()) {
            put.entries.push(entry(data.take()?, key.take()?, explicit.take())?);
        }
        let Some(name) = step.string else { break };
        if !scanner.is_name() {
            continue;
        }
        match name {
            "Data" => data = Some(scanner.value()?),
            "PartitionKey" => key = Some(scanner.value()?),
            "ExplicitHashKey" => explicit = Some(scanner.value()?),
            "StreamName" | "StreamARN" => put.stream = scanner.value()?,
            _ => {}
        }
    }
    (data.is_none() && key.is_none() && !put.entries.is_empty()).then_some(put)
}

fn entry<'a>(data: &'a str, key: &'a str, explicit: Option<&str>) -> Option<Entry<'a>> {
    let hash_key = match explicit {
        Some(digits) => digits.parse().ok()?,
        None if key.contains('\\') => shards::hash_key(&unescaped(key)),
        None => shards::hash_key(key),
    };
    Some(Entry { data, key, hash_key })
}

fn unescaped(raw: &str) -> String {
    serde_json::from_str(&format!("\"{raw}\"")).unwrap_or_else(|_| raw.to_owned())
}

/// Iterates over the strings of a JSON text.
struct StringScanner<'a> {
    text: &'a str,
    at: usize,
}

/// The next string, and the text before it.
struct Step<'a> {
    gap: &'a str,
    string: Option<&'a str>,
}

impl<'a> StringScanner<'a> {
    fn step(&mut self) -> Step<'a> {
        let rest = &self.text[self.at..];
        let Some(quote) = rest.find('"') else {
            self.at = self.text.len();
            return Step { gap: rest, string: None };
        };
        let gap = &rest[..quote];
        self.at += quote + 1;
        Step { gap, string: self.until_quote() }
    }

    fn until_quote(&mut self) -> Option<&'a str> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        loop {
            let quote = self.at + self.text[self.at..].find('"')?;
            self.at = quote + 1;
            let slashes = bytes[start..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
            if slashes % 2 == 0 {
                return Some(&self.text[start..quote]);
            }
        }
    }

    /// Whether a colon follows, so that the string just read was the name of a field.
    fn is_name(&self) -> bool {
        self.text[self.at..].trim_start().starts_with(':')
    }

    /// The value of the field just read; `None` when it is not a string.
    fn value(&mut self) -> Option<&'a str> {
        let step = self.step();
        step.string.filter(|_| step.gap.trim() == ":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_in_any_order_of_fields() {
        let text = r#"{"Records":[{"Data":"YQ==","PartitionKey":"k \"1\""},
            {"ExplicitHashKey":"7","PartitionKey":"}","Data":""}], "StreamName" : "orders"}"#;
        let put = read_put(text).unwrap();
        assert_eq!((put.stream, put.entries.len()), ("orders", 2));
        assert_eq!(put.entries[0].partition_key(), "k \"1\"");
        assert_eq!(put.entries[0].hash_key, shards::hash_key("k \"1\""));
        assert_eq!(put.entries[0].payload().unwrap(), b"a");
        assert_eq!((put.entries[1].key, put.entries[1].hash_key, put.entries[1].size()), ("}", 7, 1));
    }

    #[test]
    fn a_single_record_is_read_as_well() {
        let put = read_put(r#"{"StreamName":"s","Data":"aGk=","PartitionKey":"k"}"#).unwrap();
        assert_eq!((put.stream, put.entries.len(), put.entries[0].size()), ("s", 1, 3));
    }

    #[test]
    fn sizes_are_those_of_the_payload() {
        for length in 0..20 {
            let data = base64_simd::STANDARD.encode_to_string(vec![b'x'; length]);
            assert_eq!(Entry { data: &data, key: "", hash_key: 0 }.size(), length);
        }
    }

    #[test]
    fn incomplete_records_are_rejected() {
        for text in [
            "",
            "{}",
            r#"{"Data":"YQ=="}"#,
            r#"{"PartitionKey":"k"}"#,
            r#"{"Data":"YQ==","PartitionKey":"k"#,
            r#"{"Data":5,"PartitionKey":"k"}"#,
            r#"{"Data":"YQ==","PartitionKey":"k","ExplicitHashKey":"x"}"#,
        ] {
            assert_eq!(read_put(text), None, "{text}");
        }
    }
}

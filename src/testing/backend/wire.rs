//! Reads put requests by walking from string to string, without parsing them.
//!
//! Payloads are base64, which holds no quotes: one search skips one. Nothing is decoded that nobody asks for.

use super::shards;

/// One record of a call, as it lies in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The payload in base64.
    pub(super) data: &'a str,
    /// The partition key between its quotes, escapes as they are.
    pub(super) key: &'a str,
    /// Where it belongs, by `ExplicitHashKey` or the partition key's MD5.
    pub(super) hash_key: u128,
}

impl Entry<'_> {
    /// What counts towards limits: payload and key, in bytes.
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

    /// The partition key without escapes.
    pub(super) fn partition_key(&self) -> String {
        unescaped(self.key)
    }
}

/// A `PutRecord` or `PutRecords` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put<'a> {
    /// Name of the stream, or its ARN.
    pub(super) stream: &'a str,
    /// The records in the order given.
    pub(super) entries: Vec<Entry<'a>>,
}

/// Reads a body; `None` when a record lacks payload or key, or the body is cut.
pub(super) fn read_put(text: &str) -> Option<Put<'_>> {
    let mut put = Put { stream: "", entries: Vec::new() };
    let (mut data, mut key, mut explicit) = (None, None, None);
    let mut walk = Walk { text, at: 0 };
    loop {
        let step = walk.step();
        // A brace between two strings ends the object that was being read.
        if step.gap.contains('}') && (data.is_some() || key.is_some()) {
            put.entries.push(entry(data.take()?, key.take()?, explicit.take())?);
        }
        let Some(name) = step.string else { break };
        if !walk.is_name() {
            continue;
        }
        match name {
            "Data" => data = Some(walk.value()?),
            "PartitionKey" => key = Some(walk.value()?),
            "ExplicitHashKey" => explicit = Some(walk.value()?),
            "StreamName" | "StreamARN" => put.stream = walk.value()?,
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

/// A walk over the strings of a JSON text.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

/// What lay before the next string, and the string.
struct Step<'a> {
    gap: &'a str,
    string: Option<&'a str>,
}

impl<'a> Walk<'a> {
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

    /// The string that is the value of the field just read; `None` when it is none.
    fn value(&mut self) -> Option<&'a str> {
        let step = self.step();
        step.string.filter(|_| step.gap.trim() == ":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_whatever_the_order_of_fields() {
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
    fn half_records_are_refused() {
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

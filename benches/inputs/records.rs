//! Prepared answers of `GetRecords`, in which only the sequence numbers change.

use std::ops::Range;

/// Digits of a sequence number that change; those before them are fixed.
const DIGITS: usize = 20;
const PREFIX: &str = "495903382714908529";

/// Records as JSON, one after another, with a comma before each but the first.
#[derive(Debug)]
pub(crate) struct Records {
    text: Vec<u8>,
    /// For each record its end in the text, and where its number is.
    records: Vec<(usize, Range<usize>)>,
}

impl Records {
    /// `count` records with `size` bytes of data, and so many different keys in turn.
    pub(crate) fn new(count: usize, size: usize, keys: usize) -> Self {
        let data = base64_simd::STANDARD.encode_to_string(data(size));
        let (mut text, mut records) = (Vec::new(), Vec::with_capacity(count));
        for number in 0..count {
            if number > 0 {
                text.push(b',');
            }
            let head = format!(
                r#"{{"ApproximateArrivalTimestamp":1764000000.000,"Data":"{data}","PartitionKey":"key-{}","SequenceNumber":"{PREFIX}"#,
                number % keys.max(1)
            );
            text.extend_from_slice(head.as_bytes());
            let digits = text.len()..text.len() + DIGITS;
            text.extend_from_slice(&[b'0'; DIGITS]);
            text.extend_from_slice(b"\"}");
            records.push((text.len(), digits));
        }
        Self { text, records }
    }

    /// The answer for a shard's records from `first` on.
    pub(crate) fn answer(&self, shard: usize, first: u64, limit: usize) -> Vec<u8> {
        let records = &self.records[..limit.min(self.records.len())];
        let text = &self.text[..records.last().map_or(0, |(end, _)| *end)];
        let next = first + records.len() as u64;
        let head = format!(
            r#"{{"MillisBehindLatest":{},"NextShardIterator":"{}","Records":["#,
            if records.is_empty() { 0 } else { 60_000 },
            iterator(shard, next)
        );
        let mut body = Vec::with_capacity(head.len() + text.len() + 2);
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(text);
        body.extend_from_slice(b"]}");
        for ((_, digits), number) in records.iter().zip(first..) {
            let digits = digits.start + head.len()..digits.end + head.len();
            body[digits].copy_from_slice(format!("{number:020}").as_bytes());
        }
        body
    }
}

/// The data of every record, which is also the body of a request that the baseline sends.
pub(crate) fn data(size: usize) -> Vec<u8> {
    let mut data = vec![b'x'; size.max(2)];
    (data[0], data[size.max(2) - 1]) = (b'"', b'"');
    data
}

pub(crate) fn iterator(shard: usize, next: u64) -> String {
    format!("{shard}:{next}")
}

/// The shard and the next record of an iterator.
pub(crate) fn parse_iterator(text: &str) -> Option<(usize, u64)> {
    let (shard, next) = text.split_once(':')?;
    Some((shard.parse().ok()?, next.parse().ok()?))
}

/// The number of a record from its sequence number.
pub(crate) fn parse_sequence(text: &str) -> Option<u64> {
    text.strip_prefix(PREFIX)?.parse().ok()
}

//! `GetRecords` in JSON: the request, and the parts of the response that are used. Pure.

use super::page::Page;
use super::record::WireRecord;
use crate::domain::{ShardId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'r> {
    shard_iterator: &'r str,
    limit: usize,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<&'r str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'b> {
    #[serde(borrow)]
    records: Vec<OutputRecord<'b>>,
    #[serde(default)]
    next_shard_iterator: Option<String>,
    #[serde(default)]
    millis_behind_latest: Option<u64>,
    #[serde(default)]
    child_shards: Option<Vec<ChildShard>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OutputRecord<'b> {
    sequence_number: String,
    #[serde(default)]
    partition_key: Option<String>,
    #[serde(borrow)]
    data: Cow<'b, str>,
    /// Seconds.
    #[serde(default)]
    approximate_arrival_timestamp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChildShard {
    shard_id: String,
}

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(rename = "__type", default)]
    code: Option<String>,
    #[serde(default, alias = "Message")]
    message: Option<String>,
}

pub(super) fn request(iterator: &str, limit: usize, stream_arn: Option<&str>) -> Vec<u8> {
    // Strings and numbers can always be serialised; an empty body would be refused.
    serde_json::to_vec(&Input { shard_iterator: iterator, limit, stream_arn }).unwrap_or_default()
}

/// `None` if it is not what the API says.
pub(super) fn page(body: &[u8]) -> Option<Page> {
    let output: Output<'_> = serde_json::from_slice(body).ok()?;
    let children = output.child_shards.unwrap_or_default();
    Some(Page {
        records: output.records.into_iter().map(wire_record).collect::<Option<_>>()?,
        next_iterator: output.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
        behind: output.millis_behind_latest.map(Duration::from_millis),
        children: children.into_iter().map(|child| ShardId::new(child.shard_id)).collect(),
    })
}

fn wire_record(record: OutputRecord<'_>) -> Option<WireRecord> {
    let data = base64_simd::STANDARD.decode_to_vec(record.data.as_bytes()).ok()?;
    let arrival = record.approximate_arrival_timestamp.map(|seconds| (seconds * 1e3).round());
    Some(WireRecord {
        sequence_number: record.sequence_number,
        partition_key: record.partition_key.unwrap_or_default(),
        data: Bytes::from(data),
        arrival: arrival.filter(|millis| millis.abs() < 1e18).map(|millis| Timestamp::from_millis(millis as i64)),
    })
}

/// Code and message of an error response, as far as it has them.
pub(super) fn error(body: &[u8]) -> (Option<String>, Option<String>) {
    let Failure { code, message } = serde_json::from_slice(body).unwrap_or_default();
    let code = code.as_deref().and_then(|code| code.rsplit('#').next()?.split(':').next()).map(str::to_owned);
    (code, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_request_has_the_names_of_the_api() {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
        for (arn, expected) in [
            (None, json!({ "ShardIterator": "a\"b", "Limit": 7 })),
            (Some(arn), json!({ "ShardIterator": "a\"b", "Limit": 7, "StreamARN": arn })),
        ] {
            let body: serde_json::Value = serde_json::from_slice(&request("a\"b", 7, arn)).unwrap();
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn a_response_is_read_with_all_that_is_used() {
        let body = json!({
            "Records": [
                { "SequenceNumber": "49", "PartitionKey": "k\u{e4}\"", "Data": "AP8=", "EncryptionType": "NONE",
                  "ApproximateArrivalTimestamp": 1_764_000_000.123 },
                { "SequenceNumber": "50", "Data": "" },
            ],
            "NextShardIterator": "next", "MillisBehindLatest": 12,
            "ChildShards": [{ "ShardId": "shardId-1", "ParentShards": ["shardId-0"] }],
            "Other": {},
        });
        let page = page(body.to_string().as_bytes()).unwrap();
        let [first, second] = page.records.as_slice() else { panic!("{page:?}") };
        assert_eq!((first.sequence_number.as_str(), first.partition_key.as_str()), ("49", "k\u{e4}\""));
        assert_eq!(
            (first.data.as_ref(), first.arrival),
            (&b"\0\xff"[..], Some(Timestamp::from_millis(1_764_000_000_123)))
        );
        assert_eq!((second.partition_key.as_str(), second.data.len(), second.arrival), ("", 0, None));
        assert_eq!((page.next_iterator.as_deref(), page.behind), (Some("next"), Some(Duration::from_millis(12))));
        assert_eq!(page.children, [ShardId::new("shardId-1")]);
    }

    #[test]
    fn the_end_of_a_shard_has_no_iterator() {
        for body in [
            r#"{"Records":[],"NextShardIterator":null}"#,
            r#"{"Records":[]}"#,
            r#"{"Records":[],"NextShardIterator":""}"#,
        ] {
            assert_eq!(page(body.as_bytes()).unwrap().next_iterator, None, "{body}");
        }
    }

    #[test]
    fn what_the_api_does_not_say_is_left_to_the_sdk() {
        for body in [
            "",
            "{}",
            "<html>",
            r#"{"Records":[{"SequenceNumber":"1"}]}"#,
            r#"{"Records":[{"SequenceNumber":"1","Data":"%"}]}"#,
        ] {
            assert!(page(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn the_code_of_an_error_is_found() {
        for (body, code, message) in [
            (
                r#"{"__type":"com.amazonaws.kinesis.v20131202#ExpiredIteratorException","message":"m"}"#,
                Some("ExpiredIteratorException"),
                Some("m"),
            ),
            (r#"{"__type":"InternalFailure:http://x","Message":"m"}"#, Some("InternalFailure"), Some("m")),
            (r#"{"__type":"Throttling"}"#, Some("Throttling"), None),
            ("{}", None, None),
            ("<html>", None, None),
        ] {
            let found = error(body.as_bytes());
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (code, message), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_response_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            page(&body);
            error(&body);
        }

        #[test]
        fn data_comes_back_as_it_was(data in proptest::collection::vec(any::<u8>(), 0..100), millis in 0_i64..4_000_000_000_000) {
            let encoded = base64_simd::STANDARD.encode_to_string(&data);
            let seconds = format!("{}.{:03}", millis / 1_000, millis % 1_000);
            let body = format!(
                r#"{{"Records":[{{"SequenceNumber":"1","Data":"{encoded}","ApproximateArrivalTimestamp":{seconds}}}]}}"#
            );
            let page = page(body.as_bytes()).unwrap();
            prop_assert_eq!(page.records[0].data.as_ref(), data.as_slice());
            prop_assert_eq!(page.records[0].arrival, Some(Timestamp::from_millis(millis)));
        }
    }
}

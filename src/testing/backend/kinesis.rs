//! The operations of Kinesis.

use super::control::{Control, Reply, State, Written, sequence_text};
use super::error_response::{ErrorResponse, THROTTLED, rate_exceeded};
use super::faults::CallOutcome;
use super::journal::BackendRecord;
use super::shards;
use super::wire::{Entry, Put, read_put};
use std::fmt::Write as _;
use tokio::time::Instant;

/// Records and bytes in one call (API reference, `PutRecords`).
const MAX_RECORDS: usize = 500;
const MAX_BYTES: usize = 10 << 20;
/// Characters of a partition key.
const MAX_PARTITION_KEY: usize = 256;

/// `PutRecord`.
pub(super) fn put_record(control: &Control, body: &str) -> Reply {
    control.lock().journal.counts.put_record += 1;
    let put = match parse_put(control, body, 1) {
        Ok(put) => put,
        Err(error) => return reject(control, error),
    };
    match execute(control, &put) {
        Ok(written) => match written.first() {
            Some(Written::Stored { shard, sequence }) => Reply::Body(format!(
                r#"{{"SequenceNumber":"{}","ShardId":"{}"}}"#,
                sequence_text(*sequence),
                shards::id(*shard)
            )),
            Some(Written::Throttled { shard }) => Reply::Error(ErrorResponse::throttled_shard(*shard, put.stream)),
            Some(Written::Failed) | None => Reply::Error(ErrorResponse::internal()),
        },
        Err(reply) => reply,
    }
}

/// `PutRecords`.
pub(super) fn put_records(control: &Control, body: &str) -> Reply {
    control.lock().journal.counts.put_records += 1;
    let put = match parse_put(control, body, MAX_RECORDS) {
        Ok(put) => put,
        Err(error) => return reject(control, error),
    };
    match execute(control, &put) {
        Ok(written) => Reply::Body(results(&written, put.stream)),
        Err(reply) => reply,
    }
}

/// `DescribeStreamSummary`.
pub(super) fn describe_stream_summary(control: &Control, body: &str) -> Reply {
    control.lock().journal.counts.described += 1;
    let name = stream_name(body);
    Reply::Body(
        serde_json::json!({ "StreamDescriptionSummary": {
            "StreamName": name,
            "StreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": { "StreamMode": "PROVISIONED" },
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1_700_000_000,
            "EnhancedMonitoring": [],
            "EncryptionType": "NONE",
            "OpenShardCount": control.shards(),
            "ConsumerCount": 0,
            "MaxRecordSizeInKiB": control.settings.max_record_size / 1024,
        }})
        .to_string(),
    )
}

/// `ListShards`, all on one page.
pub(super) fn list_shards(control: &Control) -> Reply {
    control.lock().journal.counts.described += 1;
    let count = control.shards();
    let shards = (0..count).map(|shard| {
        let (first, last) = shards::range(shard, count);
        serde_json::json!({
            "ShardId": shards::id(shard),
            "HashKeyRange": { "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string() },
            "SequenceNumberRange": { "StartingSequenceNumber": sequence_text(0) },
        })
    });
    Reply::Body(serde_json::json!({ "Shards": shards.collect::<Vec<_>>() }).to_string())
}

/// Parses a call and checks its limits. AWS rejects the whole call if one is exceeded.
fn parse_put<'a>(control: &Control, body: &'a str, max_records: usize) -> Result<Put<'a>, ErrorResponse> {
    let put = read_put(body).ok_or_else(|| ErrorResponse::invalid("a record lacks Data or PartitionKey"))?;
    if put.entries.len() > max_records {
        return Err(ErrorResponse::invalid(format!(
            "{} records, at most {max_records} are allowed",
            put.entries.len()
        )));
    }
    let bytes: usize = put.entries.iter().map(Entry::size).sum();
    if bytes > MAX_BYTES {
        return Err(ErrorResponse::invalid(format!("{bytes} bytes, at most {MAX_BYTES} are allowed")));
    }
    let max_size = control.settings.max_record_size;
    let is_too_large = |entry: &Entry<'_>| entry.size() > max_size;
    let is_bad_key = |entry: &Entry<'_>| {
        let is_short = !entry.key.is_empty() && entry.key.len() <= MAX_PARTITION_KEY;
        !is_short && !(1..=MAX_PARTITION_KEY).contains(&entry.partition_key().chars().count())
    };
    if put.entries.iter().any(is_too_large) {
        return Err(ErrorResponse::invalid(format!("a record has more than {max_size} bytes")));
    }
    if put.entries.iter().any(is_bad_key) {
        return Err(ErrorResponse::invalid("a partition key does not have 1 to 256 characters"));
    }
    Ok(put)
}

fn reject(control: &Control, error: ErrorResponse) -> Reply {
    control.lock().journal.counts.refused += 1;
    Reply::Error(error)
}

/// Draws the outcome of a call and stores its records. `Err` is the reply to a call that does not succeed.
fn execute(control: &Control, put: &Put<'_>) -> Result<Vec<Written>, Reply> {
    let poison = control.lock().faults.poison.clone();
    if poison.is_some_and(|text| put.entries.iter().any(|entry| contains(entry, text.as_bytes()))) {
        return Err(reject(control, ErrorResponse::invalid("a record is poison")));
    }
    let mut state = control.lock();
    let outcome = state.draw_outcome();
    if let Some(error) = ErrorResponse::from_outcome(outcome) {
        return Err(Reply::Error(error));
    }
    match outcome {
        CallOutcome::CallLost => Err(Reply::None),
        CallOutcome::ReplyLost => {
            write_all(&mut state, put, control.records_everything());
            Err(Reply::None)
        }
        CallOutcome::Served | CallOutcome::Failed | CallOutcome::Unavailable | CallOutcome::Throttled => {
            Ok(write_all(&mut state, put, control.records_everything()))
        }
    }
}

fn contains(entry: &Entry<'_>, text: &[u8]) -> bool {
    let payload = entry.payload().unwrap_or_default();
    !text.is_empty() && payload.windows(text.len()).any(|window| window == text)
}

fn write_all(state: &mut State, put: &Put<'_>, keeps: bool) -> Vec<Written> {
    let now = Instant::now();
    let mut all = Vec::with_capacity(put.entries.len());
    for entry in &put.entries {
        let written = state.write(entry.hash_key, entry.size(), now);
        if let (true, Written::Stored { shard, sequence }) = (keeps, written) {
            state.journal.records.push(BackendRecord {
                shard: shards::id(shard),
                sequence: sequence_text(sequence),
                partition_key: entry.partition_key(),
                data: entry.payload().unwrap_or_default().into(),
            });
        }
        all.push(written);
    }
    all
}

fn results(written: &[Written], stream: &str) -> String {
    let mut text = String::with_capacity(64 + written.len() * 120);
    let failed = written.iter().filter(|one| !matches!(one, Written::Stored { .. })).count();
    text.push_str(r#"{"Records":["#);
    for (index, one) in written.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_result(&mut text, *one, stream);
    }
    text.push_str(r#"],"FailedRecordCount":"#);
    text.push_str(&failed.to_string());
    text.push('}');
    text
}

fn push_result(text: &mut String, written: Written, stream: &str) {
    // Writing into a string cannot fail.
    let done = match written {
        Written::Stored { shard, sequence } => {
            write!(text, r#"{{"SequenceNumber":"496{sequence:053}","ShardId":"shardId-{shard:012}"}}"#)
        }
        Written::Throttled { shard } => {
            let message = rate_exceeded(shard, stream);
            write!(text, r#"{{"ErrorCode":"{THROTTLED}","ErrorMessage":"{message}"}}"#)
        }
        Written::Failed => {
            write!(text, r#"{{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"}}"#)
        }
    };
    debug_assert!(done.is_ok());
}

/// The name of the stream, from `StreamName` or `StreamARN`; `stream` if there is neither, as with `NextToken`.
fn stream_name(body: &str) -> String {
    let request: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let field = |name: &str| request[name].as_str().map(str::to_owned);
    let named = field("StreamName").or_else(|| field("StreamARN")?.rsplit('/').next().map(str::to_owned));
    named.unwrap_or_else(|| "stream".to_owned())
}

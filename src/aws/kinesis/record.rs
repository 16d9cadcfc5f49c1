//! Records of the SDK to records of the domain, with aggregates unpacked.

use super::super::StreamRef;
use super::time::timestamp;
use crate::aggregation::unpack;
use crate::domain::{FailureKind, Record, RecordPosition, RetrievalError, SequenceNumber, ShardId};
use aws_sdk_kinesis::types::Record as SdkRecord;
use bytes::Bytes;

/// The user records of some Kinesis records, in order, and the last sequence number.
///
/// # Errors
/// If a sequence number is invalid, which only a defective service can cause.
pub(super) fn records(
    sdk: Vec<SdkRecord>,
    shard: &ShardId,
    stream: &StreamRef,
) -> Result<(Vec<Record>, Option<SequenceNumber>), RetrievalError> {
    let mut records = Vec::with_capacity(sdk.len());
    let mut last = None;
    for record in sdk {
        let sequence = record.sequence_number.parse::<SequenceNumber>().map_err(|error| {
            let doing = format!("reading {shard} of stream {stream}: a record has no valid sequence number");
            RetrievalError::Unavailable { doing, kind: FailureKind::Permanent, source: error.into() }
        })?;
        last = Some(sequence.clone());
        unpack_record(record, sequence, &mut records);
    }
    Ok((records, last))
}

fn unpack_record(record: SdkRecord, sequence: SequenceNumber, records: &mut Vec<Record>) {
    let arrival = record.approximate_arrival_timestamp.as_ref().and_then(timestamp);
    let data = Bytes::from(record.data.into_inner());
    let users = unpack(&data).unwrap_or_else(|damage| {
        tracing::warn!(%sequence, %damage, "damaged aggregate delivered as it is");
        None
    });
    let Some(users) = users else {
        let partition_key = record.partition_key.unwrap_or_default();
        records.push(Record { position: RecordPosition::plain(sequence), partition_key, data, arrival });
        return;
    };
    for (sub_sequence, user) in (0..).zip(users) {
        let position = RecordPosition { sequence: sequence.clone(), sub_sequence };
        records.push(Record { position, partition_key: user.partition_key, data: user.data, arrival });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::{UserRecord, pack};
    use crate::domain::Timestamp;
    use aws_smithy_types::{Blob, DateTime};

    fn sdk(sequence: &str, data: &[u8]) -> SdkRecord {
        let moment = DateTime::from_millis(1_700_000_000_123);
        let record = SdkRecord::builder().sequence_number(sequence).partition_key("outer").data(Blob::new(data));
        record.approximate_arrival_timestamp(moment).build().unwrap()
    }

    fn read(sdk: Vec<SdkRecord>) -> Result<(Vec<Record>, Option<SequenceNumber>), RetrievalError> {
        records(sdk, &ShardId::new("shardId-0"), &StreamRef::Name("orders".to_owned()))
    }

    #[test]
    fn an_aggregate_becomes_its_user_records() {
        let users = ["one", "two"].map(|key| UserRecord {
            partition_key: key.to_owned(),
            explicit_hash_key: None,
            data: Bytes::from(key),
        });
        let (records, last) = read(vec![sdk("7", b"plain"), sdk("9", &pack(&users))]).unwrap();
        let seen: Vec<(String, &str)> =
            records.iter().map(|record| (record.position.to_string(), record.partition_key.as_str())).collect();
        assert_eq!(seen, [("7/0".into(), "outer"), ("9/0".into(), "one"), ("9/1".into(), "two")]);
        assert_eq!(last, Some("9".parse().unwrap()));
        assert_eq!(records[0].arrival, Some(Timestamp::from_millis(1_700_000_000_123)));
    }

    #[test]
    fn a_damaged_aggregate_is_delivered_as_it_is() {
        let bytes = b"\xF3\x89\x9A\xC2 no aggregate at all, but long enough";
        let (records, _) = read(vec![sdk("7", bytes)]).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(&records[0].data[..], bytes);
    }

    #[test]
    fn an_invalid_sequence_number_is_an_error() {
        assert!(read(vec![sdk("abc", b"")]).is_err());
    }
}

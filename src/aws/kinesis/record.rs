//! SDK record → domain records.

use crate::aggregation::unpack;
use crate::domain::{BoxError, Record, RecordPosition, SequenceNumber, Timestamp};
use aws_sdk_kinesis::types::Record as SdkRecord;
use aws_smithy_types::DateTime;
use bytes::Bytes;

/// The SDK's moment in ours; `None` outside of what 64 bits of milliseconds hold.
pub(super) fn timestamp(moment: &DateTime) -> Option<Timestamp> {
    moment.to_millis().ok().map(Timestamp::from_millis)
}

/// Our moment in the SDK's.
pub(super) fn date_time(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.as_millis())
}

/// The user records of some Kinesis records, in order, and the last sequence number.
///
/// # Errors
/// When a sequence number is not one, which only a defective service can cause.
pub(super) fn records(sdk: Vec<SdkRecord>) -> Result<(Vec<Record>, Option<SequenceNumber>), BoxError> {
    let mut records = Vec::with_capacity(sdk.len());
    let mut last = None;
    for record in sdk {
        let sequence: SequenceNumber = record.sequence_number.parse()?;
        last = Some(sequence.clone());
        unfold(record, sequence, &mut records);
    }
    Ok((records, last))
}

fn unfold(record: SdkRecord, sequence: SequenceNumber, records: &mut Vec<Record>) {
    let arrival = record.approximate_arrival_timestamp.as_ref().and_then(timestamp);
    let data = Bytes::from(record.data.into_inner());
    let users = unpack(&data).unwrap_or_else(|damage| {
        tracing::warn!(%sequence, %damage, "delivered a damaged aggregate as it is");
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
    use aws_smithy_types::Blob;

    fn sdk(sequence: &str, data: &[u8]) -> SdkRecord {
        let moment = DateTime::from_millis(1_700_000_000_123);
        let record = SdkRecord::builder().sequence_number(sequence).partition_key("outer").data(Blob::new(data));
        record.approximate_arrival_timestamp(moment).build().unwrap()
    }

    #[test]
    fn an_aggregate_becomes_its_user_records() {
        let users = ["one", "two"].map(|key| UserRecord {
            partition_key: key.to_owned(),
            explicit_hash_key: None,
            data: Bytes::from(key),
        });
        let (records, last) = records(vec![sdk("7", b"plain"), sdk("9", &pack(&users))]).unwrap();
        let seen: Vec<(String, &str)> =
            records.iter().map(|record| (record.position.to_string(), record.partition_key.as_str())).collect();
        assert_eq!(seen, [("7/0".into(), "outer"), ("9/0".into(), "one"), ("9/1".into(), "two")]);
        assert_eq!(last, Some("9".parse().unwrap()));
        assert_eq!(records[0].arrival, Some(Timestamp::from_millis(1_700_000_000_123)));
    }

    #[test]
    fn a_damaged_aggregate_is_delivered_as_it_is() {
        let bytes = b"\xF3\x89\x9A\xC2 no aggregate at all, but long enough";
        let (records, _) = records(vec![sdk("7", bytes)]).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(&records[0].data[..], bytes);
    }

    #[test]
    fn a_number_that_is_none_is_an_error() {
        assert!(records(vec![sdk("abc", b"")]).is_err());
    }
}

use super::*;
use crate::aggregation::{UserRecord, pack};
use crate::domain::Timestamp;
use aws_smithy_types::{Blob, DateTime};
use proptest::prelude::*;

/// The first bytes of every aggregate.
const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

fn wire(sequence: &str, data: &[u8]) -> WireRecord {
    let moment = DateTime::from_millis(1_700_000_000_123);
    let record = SdkRecord::builder().sequence_number(sequence).partition_key("outer").data(Blob::new(data));
    record.approximate_arrival_timestamp(moment).build().unwrap().into()
}

fn read(wire: Vec<WireRecord>) -> Result<Vec<Record>, RetrievalError> {
    records(wire, &ShardId::new("shardId-0"), &StreamRef::Name("orders".to_owned()), &ReadMonitor::default())
}

fn user(key: &str, data: &[u8]) -> UserRecord {
    UserRecord { partition_key: key.to_owned(), explicit_hash_key: None, data: Bytes::copy_from_slice(data) }
}

#[test]
fn an_aggregate_becomes_its_user_records() {
    let users = ["one", "two"].map(|key| user(key, key.as_bytes()));
    let records = read(vec![wire("7", b"plain"), wire("9", &pack(&users))]).unwrap();
    let seen: Vec<(String, &str)> =
        records.iter().map(|record| (record.position.to_string(), record.partition_key.as_str())).collect();
    assert_eq!(seen, [("7/0".into(), "outer"), ("9/0".into(), "one"), ("9/1".into(), "two")]);
    assert_eq!(records[0].arrival, Some(Timestamp::from_millis(1_700_000_000_123)));
}

#[test]
fn a_damaged_aggregate_is_delivered_as_it_is() {
    let bytes = b"\xF3\x89\x9A\xC2 no aggregate at all, but long enough";
    let records = read(vec![wire("7", bytes), wire("8", b"next")]).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(&records[0].data[..], bytes);
    assert!(records[0].is_damaged_aggregate && !records[1].is_damaged_aggregate);
}

#[test]
fn an_invalid_sequence_number_is_an_error() {
    assert!(read(vec![wire("abc", b"")]).is_err());
}

proptest! {
    /// Each record of the stream is delivered, in order: all records of an aggregate, or the bytes as they are.
    #[test]
    fn no_record_is_lost(
        contents in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        flipped in any::<prop::sample::Index>(),
    ) {
        let mut expected = Vec::new();
        let mut wires = Vec::new();
        for (number, (kind, data)) in contents.iter().enumerate() {
            let mut bytes = match kind % 4 {
                0 => data.clone(),
                1 => [&MAGIC[..], data].concat(),
                _ => pack(&[user("a", data), user("b", b"x")]).to_vec(),
            };
            let is_damaged = kind % 4 == 2;
            if is_damaged {
                let at = MAGIC.len() + flipped.index(bytes.len() - MAGIC.len());
                bytes[at] ^= 1;
            }
            match kind % 4 {
                3 => expected.extend([(number, 0, data.clone()), (number, 1, b"x".to_vec())]),
                _ => expected.push((number, 0, bytes.clone())),
            }
            wires.push(wire(&number.to_string(), &bytes));
        }
        let records = read(wires).unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.position.sequence.as_str().parse().unwrap(), record.position.sub_sequence, record.data.to_vec()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

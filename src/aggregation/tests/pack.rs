use super::super::format::{AggregatedRecord, with_digest};
use super::super::unpack;
use super::*;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;

fn user(key: &str, data: &'static [u8]) -> UserRecord {
    UserRecord { partition_key: key.to_owned(), explicit_hash_key: None, data: Bytes::from_static(data) }
}

#[test]
fn an_aggregate_has_the_documented_bytes() {
    assert_eq!(pack(&[user("a", b"x")]), with_digest(b"\x0a\x01a\x1a\x05\x08\x00\x1a\x01x"));
}

#[test]
fn a_key_is_written_once() {
    let mut packer = Packer::new(1_000);
    packer.push(user("customer", b"1"));
    let before = packer.size();
    packer.push(user("customer", b"2"));
    assert_eq!(packer.size() - before, 7);
    assert_eq!((packer.len(), packer.is_empty()), (2, false));
}

#[test]
fn adding_a_record_does_not_get_slower_with_the_number_of_keys() {
    let mut packer = Packer::new(usize::MAX);
    for number in 0..50_000 {
        packer.push(UserRecord {
            partition_key: format!("key-{number}"),
            explicit_hash_key: Some(number.to_string()),
            data: Bytes::from_static(b"x"),
        });
    }
    let size = packer.size();
    assert_eq!(packer.finish().len(), size);
}

/// Aggregates of other libraries; each file says where it is from.
const GOLDEN: [&str; 3] = [
    include_str!("../../../tests/golden/aggregation/kinesis-aggregation-java.json"),
    include_str!("../../../tests/golden/aggregation/kinesis-aggregation-python.json"),
    include_str!("../../../tests/golden/aggregation/kinesis-aggregation-ruby.json"),
];

fn decoded(value: &Value) -> Bytes {
    base64_simd::STANDARD.decode_to_vec(value.as_str().unwrap()).unwrap().into()
}

#[test]
fn aggregates_of_other_libraries_are_unpacked_and_packed_to_the_same_bytes() {
    for text in GOLDEN {
        let golden: Value = serde_json::from_str(text).unwrap();
        let aggregate = decoded(&golden["aggregate"]);
        let user = |user: &Value| UserRecord {
            partition_key: user["partitionKey"].as_str().unwrap().to_owned(),
            explicit_hash_key: user["explicitHashKey"].as_str().map(str::to_owned),
            data: decoded(&user["data"]),
        };
        let users: Vec<UserRecord> = golden["users"].as_array().unwrap().iter().map(user).collect();
        assert!(users.len() > 3, "{}", golden["origin"]);
        assert_eq!(unpack(&aggregate), Ok(Some(users.clone())), "{}", golden["origin"]);
        assert_eq!(pack(&users), aggregate, "{}", golden["origin"]);
    }
}

prop_compose! {
    fn users()(
        users in prop::collection::vec(
            ("[a-cü]{1,3}", prop::option::of("[0-9]{1,3}"), prop::collection::vec(any::<u8>(), 0..200)), 1..50,
        )
    ) -> Vec<UserRecord> {
        users.into_iter().map(|(partition_key, explicit_hash_key, data)| {
            UserRecord { partition_key, explicit_hash_key, data: data.into() }
        }).collect()
    }
}

proptest! {
    #[test]
    fn unpacking_returns_the_packed_records(users in users()) {
        let packed = pack(&users);
        let message = AggregatedRecord::decode(&packed[MAGIC.len()..packed.len() - DIGEST_LEN]).unwrap();
        prop_assert_eq!(unpack(&packed), Ok(Some(users)));
        prop_assert_eq!(with_digest(&message.encode_to_vec()), packed, "as the protobuf library would write it");
    }

    #[test]
    fn the_size_is_exact_and_within_the_limit(users in users(), limit in 20_usize..6_000) {
        let (mut packer, mut taken) = (Packer::new(limit), Vec::new());
        prop_assert_eq!(packer.size(), Packer::new(0).finish().len());
        for user in users {
            if packer.fits(&user) {
                taken.push(user.clone());
                packer.push(user);
                prop_assert_eq!(packer.size(), pack(&taken).len());
            } else {
                let more: Vec<UserRecord> = taken.iter().cloned().chain([user]).collect();
                prop_assert!(pack(&more).len() > limit);
            }
        }
        let size = packer.size();
        prop_assert!(size <= limit);
        prop_assert_eq!(packer.finish().len(), size);
    }
}

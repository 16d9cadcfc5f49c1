//! Rows that anyone could have written: no panic, and no lease that is lost or misread without an error.

use super::*;
use aws_smithy_types::Blob;
use proptest::prelude::*;
use std::collections::HashMap;

/// Attributes that are read from a lease, in the order of the table above.
const READ: [&str; 16] = [
    LEASE_KEY,
    LEASE_OWNER,
    LEASE_COUNTER,
    CHECKPOINT,
    SUB_SEQUENCE,
    PARENTS,
    CHILDREN,
    STARTING_HASH_KEY,
    ENDING_HASH_KEY,
    CHECKPOINT_OWNER,
    ENTITY_TYPE,
    START_AT,
    STREAM_CREATED,
    STREAM,
    TAKEN_BY,
    LEASE_MILLIS,
];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("LEASE".to_owned()),
        Just("TRIM_HORIZON".to_owned()),
        Just("SHARD_END".to_owned()),
        "[0-9]{1,60}",
        "-?[0-9]{0,25}(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        "\\PC{0,20}",
    ]
}

/// A value of any type, as DynamoDB or another program may have stored it.
fn any_value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        any_text().prop_map(AttributeValue::S),
        any_text().prop_map(AttributeValue::N),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
        prop::collection::vec(any_text(), 0..4).prop_map(AttributeValue::Ss),
        prop::collection::vec(any_text(), 0..4).prop_map(AttributeValue::Ns),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null(true)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

fn any_row() -> impl Strategy<Value = Item> {
    let name = prop_oneof![8 => prop::sample::select(READ.to_vec()).prop_map(str::to_owned), 1 => "[a-zA-Z]{1,12}"];
    prop::collection::hash_map(name, any_value(), 0..16)
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    let position = ("[1-9][0-9]{0,56}", any::<u64>());
    prop_oneof![
        Just(Checkpoint::Ended),
        prop::sample::select(vec![
            SentinelCheckpoint::TrimHorizon,
            SentinelCheckpoint::Latest,
            SentinelCheckpoint::AtTimestamp
        ])
        .prop_map(Checkpoint::NotStarted),
        position.prop_map(|(digits, sub_sequence)| {
            Checkpoint::After(RecordPosition { sequence: digits.parse().unwrap(), sub_sequence })
        }),
    ]
}

fn any_lease() -> impl Strategy<Value = NewLease> {
    let shards = prop::collection::btree_set("[a-z0-9-]{1,20}", 0..3);
    let range = prop::option::of((any::<u128>(), any::<u128>()).prop_map(|(start, end)| HashKeyRange { start, end }));
    let moment = || prop::option::of(any::<i64>().prop_map(Timestamp::from_millis));
    let stream = prop::option::of("[a-z:/]{1,20}");
    ("[a-zA-Z0-9-]{1,30}", any_checkpoint(), shards, range, moment(), stream, moment()).prop_map(
        |(shard, checkpoint, parents, hash_range, start_at, stream, stream_created)| NewLease {
            shard: ShardId::new(shard),
            checkpoint,
            start_at,
            parents: parents.into_iter().map(ShardId::new).collect(),
            hash_range,
            stream: stream.map(Into::into),
            stream_created,
        },
    )
}

/// Whether the attribute has the type of the table above.
fn has_type(name: &str, value: &AttributeValue) -> bool {
    match name {
        LEASE_COUNTER | SUB_SEQUENCE | START_AT | STREAM_CREATED | LEASE_MILLIS => value.is_n(),
        PARENTS | CHILDREN => value.is_ss(),
        _ => value.is_s(),
    }
}

/// Attributes of which a wrong type must be an error wherever they are. The sub-sequence number counts only beside a
/// sequence number.
fn is_checked(name: &str) -> bool {
    READ.contains(&name) && name != SUB_SEQUENCE
}

proptest! {
    #[test]
    fn a_row_is_a_lease_or_an_error_unless_it_names_another_entity(row in any_row()) {
        let names_other = matches!(row.get(ENTITY_TYPE), Some(AttributeValue::S(text)) if text != LEASE);
        match read_row(&row) {
            Ok(Row::Other(entity)) => {
                prop_assert!(names_other);
                prop_assert_eq!(row.get(ENTITY_TYPE), Some(&AttributeValue::S(entity)));
            }
            Ok(Row::Lease(_)) => {
                prop_assert!(!names_other);
                for required in [LEASE_KEY, LEASE_COUNTER, CHECKPOINT] {
                    prop_assert!(row.contains_key(required), "read without {}", required);
                }
                for (name, value) in row.iter().filter(|(name, _)| is_checked(name)) {
                    prop_assert!(has_type(name, value), "{} was read from {:?}", name, value);
                }
            }
            Err(error) => {
                prop_assert!(!names_other, "a row of another entity is no error: {}", error);
                let at_fault = row.get(error.attribute).is_none_or(|value| {
                    let is_odd_text = value.is_s() || value.is_n();
                    !has_type(error.attribute, value) || is_odd_text
                });
                prop_assert!(at_fault, "{}", error);
            }
        }
    }

    #[test]
    fn a_lease_that_was_written_is_read_as_it_was(new in any_lease()) {
        let Ok(Row::Lease(read)) = read_row(&new_row(&new)) else { panic!("{new:?}") };
        let NewLease { shard, checkpoint, start_at, parents, hash_range, stream, stream_created } = new;
        prop_assert_eq!((read.shard, read.checkpoint, read.start_at), (shard, checkpoint, start_at));
        prop_assert_eq!((read.parents, read.hash_range), (parents, hash_range));
        prop_assert_eq!((read.stream, read.stream_created), (stream, stream_created));
        prop_assert_eq!((read.owner, read.handoff_from, read.counter), (None, None, LeaseCounter::new(0)));
    }

    /// One attribute of a sound row is replaced: the row is still the same lease in all else, or an error names the
    /// attribute.
    #[test]
    fn a_damaged_attribute_is_named(new in any_lease(), name in prop::sample::select(READ.to_vec()), value in any_value()) {
        let mut row = new_row(&new);
        row.insert(name.to_owned(), value.clone());
        match read_row(&row) {
            Err(error) => prop_assert_eq!(error.attribute, name),
            Ok(Row::Other(_)) => prop_assert_eq!(name, ENTITY_TYPE),
            Ok(Row::Lease(_)) => prop_assert!(!is_checked(name) || has_type(name, &value), "{} {:?}", name, value),
        }
        let unread = row.keys().filter(|name| !READ.contains(&name.as_str())).cloned().collect::<Vec<_>>();
        prop_assert!(unread.iter().all(|name| name == OWNER_SWITCHES || name == OUR_FORMAT), "{:?}", unread);
    }

    /// What other programs keep in a row changes nothing.
    #[test]
    fn attributes_of_others_are_ignored(new in any_lease(), others in prop::collection::hash_map("x[a-z]{1,8}", any_value(), 0..4)) {
        let row = new_row(&new);
        let more: HashMap<_, _> = row.clone().into_iter().chain(others).collect();
        prop_assert_eq!(read_row(&more), read_row(&row));
    }
}

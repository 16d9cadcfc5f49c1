use super::*;
use aws_smithy_types::Blob;
use serde_json::Value;

/// Rows that the KCL wrote, as DynamoDB JSON.
fn golden(text: &str) -> Vec<Item> {
    let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(text).unwrap();
    rows.into_iter().map(|row| row.into_iter().map(|(name, value)| (name, attribute(&value))).collect()).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(text())),
        "SS" => AttributeValue::Ss(value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), attribute(v))).collect()),
        other => panic!("type {other}"),
    }
}

fn kcl_2() -> Vec<Item> {
    golden(include_str!("../../../../tests/golden/kcl-leases/kcl-2.7.2.json"))
}

fn kcl_3() -> Vec<Item> {
    golden(include_str!("../../../../tests/golden/kcl-leases/kcl-3.5.1.json"))
}

/// An older 3.x, which keeps its other rows in tables of their own.
fn kcl_3_4() -> Vec<Item> {
    golden(include_str!("../../../../tests/golden/kcl-leases/kcl-3.4.2.json"))
}

/// The rows of the multi-stream mode name their stream, and are refused.
fn single_stream(rows: Vec<Item>) -> Vec<Item> {
    let (multi, single): (Vec<Item>, Vec<Item>) = rows.into_iter().partition(|row| row.contains_key("streamName"));
    for row in multi {
        let error = read_row(&row).unwrap_err();
        assert_eq!((error.row.as_str(), error.attribute), (text(&row, "leaseKey").unwrap(), "streamName"));
    }
    single
}

fn lease(item: &Item) -> Lease {
    match read_row(item).unwrap() {
        Row::Lease(lease) => *lease,
        Row::Other(entity) => panic!("{entity}"),
    }
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).map(|value| value.as_s().or_else(|_| value.as_n()).unwrap().as_str())
}

/// Compares a lease with its row without the code under test.
fn assert_same(lease: &Lease, item: &Item) {
    assert_eq!(Some(lease.shard.as_str()), text(item, "leaseKey"));
    assert_eq!(lease.owner.as_ref().map(WorkerId::as_str), text(item, "leaseOwner"));
    assert_eq!(lease.handoff_from.as_ref().map(WorkerId::as_str), text(item, "checkpointOwner"));
    assert_eq!(Some(lease.counter.value().to_string().as_str()), text(item, "leaseCounter"));
    let (checkpoint, sub_sequence) = checkpoint_values(&lease.checkpoint);
    assert_eq!((&checkpoint, &sub_sequence), (&item["checkpoint"], &item["checkpointSubSequenceNumber"]));
    let range = lease.hash_range.unwrap();
    assert_eq!(Some(range.start.to_string().as_str()), text(item, "startingHashKey"));
    assert_eq!(Some(range.end.to_string().as_str()), text(item, "endingHashKey"));
    for (name, shards) in [("parentShardId", &lease.parents), ("childShardIds", &lease.children)] {
        let written = item.get(name).map(|value| value.as_ss().unwrap().clone()).unwrap_or_default();
        assert_eq!(shards.iter().map(ToString::to_string).collect::<Vec<_>>(), written);
    }
}

#[test]
fn every_lease_row_of_the_kcl_2_is_read() {
    let rows = single_stream(kcl_2());
    assert_eq!(rows.len(), 85);
    for row in &rows {
        assert_same(&lease(row), row);
    }
}

/// Of the attributes that the KCL gives to a new row, ours are equal in name, type and value.
#[test]
fn a_row_that_we_create_for_the_same_state_adds_only_our_own_attributes() {
    let created =
        ["leaseKey", "checkpoint", "checkpointSubSequenceNumber", "parentShardId", "startingHashKey", "endingHashKey"];
    let is_lease = |row: &Item| matches!(read_row(row), Ok(Row::Lease(_)));
    let rows: Vec<Item> = [kcl_2(), kcl_3_4(), kcl_3()].concat().into_iter().filter(is_lease).collect();
    assert!(rows.len() > 150, "{}", rows.len());
    for row in &rows {
        let read = lease(row);
        let ours = new_row(&NewLease {
            shard: read.shard,
            checkpoint: read.checkpoint,
            start_at: None,
            parents: read.parents,
            hash_range: read.hash_range,
            stream: None,
            stream_created: None,
        });
        for name in created {
            assert_eq!(sorted(ours.get(name)), sorted(row.get(name)), "{name} of {row:?}");
        }
        let mut more: Vec<&str> = ours.keys().map(String::as_str).filter(|name| !created.contains(name)).collect();
        more.sort_unstable();
        assert_eq!(more, ["bdFormat", "entityType", "leaseCounter", "ownerSwitchesSinceCheckpoint"]);
        if text(row, "leaseCounter") == Some("0") && !row.contains_key("leaseOwner") {
            let of_kcl =
                row.keys().filter(|name| !ours.contains_key(*name) && *name != "childShardIds").collect::<Vec<_>>();
            assert_eq!(of_kcl, [] as [&String; 0], "{row:?}");
            assert_eq!(ours["leaseCounter"], row["leaseCounter"]);
            assert_eq!(ours["ownerSwitchesSinceCheckpoint"], row["ownerSwitchesSinceCheckpoint"]);
        }
    }
}

/// A set without its order.
fn sorted(value: Option<&AttributeValue>) -> Option<AttributeValue> {
    let mut value = value?.clone();
    if let AttributeValue::Ss(names) = &mut value {
        names.sort();
    }
    Some(value)
}

#[test]
fn lease_rows_of_the_kcl_3_are_read_and_its_other_rows_are_not_leases() {
    let rows = [single_stream(kcl_3()), kcl_3_4()].concat();
    let mut others = Vec::new();
    for row in &rows {
        match read_row(row).unwrap() {
            Row::Lease(lease) => assert_same(&lease, row),
            Row::Other(entity) => others.push(entity),
        }
    }
    others.sort();
    others.dedup();
    assert_eq!(others, ["CLIENT_VERSION_MIGRATION", "LEADER", "WORKER_METRIC_STATS"]);
}

#[test]
fn a_row_during_a_handoff_names_both_owners() {
    let mut row = kcl_3().into_iter().find(|row| row.contains_key("leaseOwner")).unwrap();
    row.insert("leaseOwner".to_owned(), string("w2"));
    row.insert("checkpointOwner".to_owned(), string("w1"));
    let lease = lease(&row);
    assert_eq!((lease.owner, lease.handoff_from), (Some(WorkerId::new("w2")), Some(WorkerId::new("w1"))));
}

#[test]
fn a_prepared_checkpoint_may_have_its_state_as_bytes_or_as_a_number() {
    let prepared = kcl_2().into_iter().find(|row| row.contains_key("pendingCheckpointState")).unwrap();
    let mut as_number = prepared.clone();
    as_number.insert("pendingCheckpointState".to_owned(), number(&9));
    assert_eq!(lease(&prepared), lease(&as_number));
}

#[test]
fn a_row_that_cannot_be_read_is_named_with_its_attribute() {
    let good = kcl_2().into_iter().find(|row| text(row, "leaseKey") == Some("shardId-000000000000")).unwrap();
    for (attribute, value) in [
        ("leaseCounter", None),
        ("leaseCounter", Some(string("7"))),
        ("leaseCounter", Some(number(&"-1"))),
        ("leaseCounter", Some(number(&"1.5"))),
        ("checkpoint", None),
        ("checkpoint", Some(string("SOON"))),
        ("leaseOwner", Some(number(&1))),
        ("parentShardId", Some(string("shardId-000000000000"))),
        ("endingHashKey", Some(string("340282366920938463463374607431768211456"))),
        ("streamName", Some(string("1:orders:2"))),
    ] {
        let mut row = good.clone();
        match value {
            Some(value) => row.insert(attribute.to_owned(), value),
            None => row.remove(attribute),
        };
        let error = read_row(&row).unwrap_err();
        assert_eq!((error.row.as_str(), error.attribute), ("shardId-000000000000", attribute));
    }
}

#[test]
fn a_new_row_has_the_form_of_the_kcl_and_our_attributes() {
    let new = NewLease {
        shard: ShardId::new("shardId-000000000004"),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        start_at: Some(Timestamp::from_millis(1_795_256_585_004)),
        parents: vec![ShardId::new("shardId-000000000003"), ShardId::new("shardId-000000000002")],
        hash_range: Some(HashKeyRange { start: 0, end: u128::MAX }),
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(1_795_256_000_000)),
    };
    let row = new_row(&new);
    let expected = golden(
        r#"[{"leaseKey":{"S":"shardId-000000000004"},"checkpoint":{"S":"LATEST"},"checkpointSubSequenceNumber":{"N":"0"},
        "leaseCounter":{"N":"0"},"ownerSwitchesSinceCheckpoint":{"N":"0"},"entityType":{"S":"LEASE"},
        "parentShardId":{"SS":["shardId-000000000002","shardId-000000000003"]},"startingHashKey":{"S":"0"},
        "endingHashKey":{"S":"340282366920938463463374607431768211455"},
        "bdFormat":{"N":"1"},"bdStartTs":{"N":"1795256585004"},"bdStream":{"S":"orders"},
        "bdStreamCreated":{"N":"1795256000000"}}]"#,
    );
    assert_eq!(row, expected[0]);
    let read = lease(&row);
    assert_eq!((read.start_at, read.stream_created, read.owner), (new.start_at, new.stream_created, None));
    assert_eq!(read.stream, new.stream);
}

#[test]
fn a_new_row_without_parents_has_no_empty_set() {
    let new = NewLease {
        shard: ShardId::new("shardId-000000000000"),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
        start_at: None,
        parents: Vec::new(),
        hash_range: None,
        stream: None,
        stream_created: None,
    };
    let row = new_row(&new);
    assert!(!row.contains_key("parentShardId") && !row.contains_key("bdStartTs"));
    assert_eq!(lease(&row).parents, []);
}

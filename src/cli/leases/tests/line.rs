use super::*;
use crate::domain::LeaseCounter;
use proptest::prelude::*;

fn lease(checkpoint: Checkpoint) -> Lease {
    Lease {
        shard: ShardId::new("shardId-000000000001"),
        owner: Some(WorkerId::new("w1")),
        handoff_from: None,
        counter: LeaseCounter::new(7),
        checkpoint,
        parents: vec![ShardId::new("shardId-000000000000")],
        children: vec![ShardId::new("shardId-000000000002")],
        hash_range: Some(HashKeyRange { start: 0, end: u128::MAX }),
        start_at: Some(Timestamp::from_millis(5)),
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(4)),
        caught_up: None,
        owner_duration: None,
    }
}

fn parsed(text: &str) -> Result<Vec<ImportedLease>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.jsonl");
    std::fs::write(&path, text).unwrap();
    read(&path)
}

#[test]
fn a_lease_is_the_same_after_export_and_import() {
    for checkpoint in [
        Checkpoint::Ended,
        Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
        Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp),
        Checkpoint::After(RecordPosition { sequence: "4968".parse().unwrap(), sub_sequence: 3 }),
    ] {
        let lease = lease(checkpoint);
        let imported = parsed(&(LeaseLine::from(&lease).to_json() + "\n\n")).unwrap();
        let expected = NewLease {
            shard: lease.shard,
            checkpoint: lease.checkpoint,
            start_at: lease.start_at,
            parents: lease.parents,
            hash_range: lease.hash_range,
            stream: lease.stream,
            stream_created: lease.stream_created,
        };
        assert_eq!(imported, [ImportedLease { lease: expected, children: lease.children }]);
    }
}

#[test]
fn a_line_that_cannot_be_used_is_named() {
    for (line, problem) in [
        ("{", "EOF"),
        (r#"{"shard":"a"}"#, "missing field `checkpoint`"),
        (r#"{"shard":"a","checkpoint":"SOON"}"#, "not a sequence number"),
        (r#"{"shard":"","checkpoint":"LATEST"}"#, "`shard` is empty"),
        (r#"{"shard":"a","checkpoint":"LATEST","subsequence":4}"#, "unknown field `subsequence`"),
        (r#"{"shard":"a","checkpoint":"LATEST","startingHashKey":"0"}"#, "need each other"),
        (r#"{"shard":"a","checkpoint":"LATEST","startingHashKey":"0","endingHashKey":"-1"}"#, "decimal hash key"),
    ] {
        let error = parsed(&format!("{{\"shard\":\"b\",\"checkpoint\":\"1\"}}\n{line}\n")).unwrap_err();
        assert!(error.contains("line 2") && error.contains(problem), "{line}: {error}");
    }
}

#[test]
fn the_state_is_that_of_the_shard_before_that_of_the_owner() {
    let started = Checkpoint::NotStarted(SentinelCheckpoint::Latest);
    assert_eq!(state(&lease(started.clone())), "held");
    assert_eq!(state(&lease(Checkpoint::Ended)), "ended");
    assert_eq!(state(&Lease { owner: None, ..lease(started.clone()) }), "free");
    assert_eq!(state(&Lease { handoff_from: Some(WorkerId::new("w0")), ..lease(started) }), "handoff");
}

proptest! {
    #[test]
    fn no_line_panics(text in "\\PC{0,80}|[{}\":,a-zA-Z0-9]{0,80}") {
        drop(parsed(&text));
    }
}

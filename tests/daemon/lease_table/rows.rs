//! The rows, attribute by attribute, as the KCL writes them.

use super::service::{Service, new_lease, position, seen, shard, worker};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::aws::Item;
use bindd::domain::{Checkpoint, LeaseStore, NewLease};

const KEY: &str = "shardId-000000000000";

/// A row as sorted lines `name=value`, without our own attributes.
fn lines(row: &Item) -> Vec<String> {
    let mut lines: Vec<String> = row
        .iter()
        .filter(|(name, _)| !name.starts_with("bd"))
        .map(|(name, value)| match value {
            AttributeValue::S(text) => format!("{name}={text}"),
            AttributeValue::N(digits) => format!("{name}={digits} (N)"),
            AttributeValue::Ss(set) => format!("{name}={}", set.join("+")),
            other => format!("{name}={other:?}"),
        })
        .collect();
    lines.sort();
    lines
}

/// The lines of a row with these before or instead of what a row always has.
fn expected(differing: &[&str]) -> Vec<String> {
    let always = ["endingHashKey=340282366920938463463374607431768211455", "entityType=LEASE", "startingHashKey=0"];
    let mut lines: Vec<String> = always.iter().chain(differing).map(|line| (*line).to_owned()).collect();
    lines.push(format!("leaseKey={KEY}"));
    lines.sort();
    lines
}

#[tokio::test]
async fn each_step_of_a_lease_leaves_the_row_that_the_kcl_would() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let row = async || lines(&service.row(KEY).await.unwrap());
    let start = ["checkpoint=LATEST", "checkpointSubSequenceNumber=0 (N)"];
    assert_eq!(
        row().await,
        expected(&[&start[..], &["leaseCounter=0 (N)", "ownerSwitchesSinceCheckpoint=0 (N)"]].concat())
    );

    drop(store.take(&seen(&store, 0).await, &worker("w1")).await.unwrap());
    let first = ["leaseCounter=1 (N)", "leaseOwner=w1", "ownerSwitchesSinceCheckpoint=0 (N)"];
    assert_eq!(row().await, expected(&[&start[..], &first].concat()));

    let mut grant = store.take(&seen(&store, 0).await, &worker("w2")).await.unwrap();
    let stolen = ["leaseCounter=2 (N)", "leaseOwner=w2", "ownerSwitchesSinceCheckpoint=1 (N)"];
    assert_eq!(row().await, expected(&[&start[..], &stolen].concat()));

    store.checkpoint(&mut grant, &Checkpoint::After(position("4968", 5))).await.unwrap();
    let done = ["checkpoint=4968", "checkpointSubSequenceNumber=5 (N)", "ownerSwitchesSinceCheckpoint=0 (N)"];
    assert_eq!(row().await, expected(&[&done[..], &["leaseCounter=3 (N)", "leaseOwner=w2"]].concat()));

    store.request_handoff(grant.lease(), &worker("w3")).await.unwrap();
    let requested = ["leaseCounter=3 (N)", "leaseOwner=w3", "checkpointOwner=w2"];
    assert_eq!(row().await, expected(&[&done[..], &requested].concat()));

    store.renew(&mut grant).await.unwrap();
    store.release(grant).await.unwrap();
    assert_eq!(row().await, expected(&[&done[..], &["leaseCounter=5 (N)", "leaseOwner=w3"]].concat()));

    let mut grant = store.take(&seen(&store, 0).await, &worker("w3")).await.unwrap();
    assert_eq!(row().await, expected(&[&done[..], &["leaseCounter=6 (N)", "leaseOwner=w3"]].concat()));

    store.store_children(&mut grant, &[shard(3), shard(2)]).await.unwrap();
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.unwrap();
    store.release(grant).await.unwrap();
    let ended = [
        "checkpoint=SHARD_END",
        "checkpointSubSequenceNumber=0 (N)",
        "childShardIds=shardId-000000000002+shardId-000000000003",
        "leaseCounter=8 (N)",
        "ownerSwitchesSinceCheckpoint=0 (N)",
    ];
    assert_eq!(row().await, expected(&ended));
}

#[tokio::test]
async fn our_own_attributes_and_foreign_ones_survive_every_write() {
    let service = Service::start().await;
    let store = service.leases().await;
    store.create_missing(&[NewLease { parents: vec![shard(8), shard(9)], ..new_lease(0) }]).await.unwrap();
    service.set(KEY, "throughputKBps", AttributeValue::N("0.013874".into())).await;
    service.set(KEY, "note", AttributeValue::Bool(true)).await;
    let mut grant = store.take(&seen(&store, 0).await, &worker("w1")).await.unwrap();
    store.renew(&mut grant).await.unwrap();
    store.checkpoint(&mut grant, &Checkpoint::After(position("1", 0))).await.unwrap();
    store.release(grant).await.unwrap();
    let row = service.row(KEY).await.unwrap();
    assert_eq!(row["throughputKBps"], AttributeValue::N("0.013874".into()));
    assert_eq!(row["note"], AttributeValue::Bool(true));
    assert_eq!(row["bdFormat"], AttributeValue::N("1".into()));
    assert_eq!(row["bdStartTs"], AttributeValue::N("1795256585004".into()));
    assert_eq!(row["bdStreamCreated"], AttributeValue::N("1795256000000".into()));
    assert_eq!(row["parentShardId"].as_ss().unwrap().len(), 2);
}

#[tokio::test]
async fn a_checkpoint_removes_what_the_kcl_left_pending() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    service.set(KEY, "pendingCheckpoint", AttributeValue::S("7".into())).await;
    service.set(KEY, "pendingCheckpointSubSequenceNumber", AttributeValue::N("9".into())).await;
    service.set(KEY, "pendingCheckpointState", AttributeValue::B(aws_smithy_types::Blob::new("state"))).await;
    let mut grant = store.take(&seen(&store, 0).await, &worker("w1")).await.unwrap();
    assert!(service.row(KEY).await.unwrap().contains_key("pendingCheckpointState"));
    store.checkpoint(&mut grant, &Checkpoint::After(position("8", 0))).await.unwrap();
    let row = service.row(KEY).await.unwrap();
    assert!(row.keys().all(|name| !name.starts_with("pending")), "{row:?}");
}

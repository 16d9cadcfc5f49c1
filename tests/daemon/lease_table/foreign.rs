//! Tables and rows of others.

use super::service::{LEASE, SHORT_WATCH, Service, TABLE, seen, worker};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::aws::{Item, lease_table::LeaseTable};
use bindd::domain::{FailureKind, LeaseError, LeaseStore};
use bindd::testing::within;
use std::time::Duration;

fn item(pairs: &[(&str, &str)]) -> Item {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), AttributeValue::S((*text).to_owned()))).collect()
}

fn leader() -> Item {
    item(&[("leaseKey", "Leader"), ("entityType", "LEADER"), ("ownerName", "w1"), ("recordVersionNumber", "3759719a")])
}

fn reason(error: &LeaseError) -> String {
    assert!(matches!(error, LeaseError::Unusable { .. }), "{error}");
    assert_eq!(error.kind(), FailureKind::Permanent);
    error.to_string()
}

#[tokio::test]
async fn a_table_of_another_form_is_refused_with_what_to_do() {
    for (hash, range) in [("ShardID", None), ("StreamID", Some("ShardID")), ("leaseKey", Some("more"))] {
        let service = Service::start().await;
        service.create_table(hash, range).await;
        let store = LeaseTable::new(&service.connection, TABLE.to_owned(), LEASE);
        let reason = reason(&store.prepare().await.unwrap_err());
        assert!(reason.contains("choose another `consumerName`") && reason.contains(hash), "{reason}");
        assert_eq!(reason.contains("Dapr"), (hash, range) == ("ShardID", None), "{reason}");
    }
}

#[tokio::test]
async fn rows_that_are_no_leases_are_skipped() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    service.put(leader()).await;
    service.put(item(&[("leaseKey", "Migration3.0"), ("entityType", "CLIENT_VERSION_MIGRATION")])).await;
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_is_named() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    service.put(item(&[("leaseKey", "shardId-000000000001"), ("checkpoint", "LATEST")])).await;
    let list = reason(&store.list().await.unwrap_err());
    let prepare = reason(&store.prepare().await.unwrap_err());
    assert!(list.contains("`shardId-000000000001`") && list.contains("`leaseCounter` is missing"), "{list}");
    assert_eq!(list, prepare);
}

#[tokio::test]
async fn a_table_of_several_streams_is_refused() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    service.set("shardId-000000000000", "streamName", AttributeValue::S("1:orders:2".into())).await;
    assert!(reason(&store.prepare().await.unwrap_err()).contains("several streams"));
}

#[tokio::test]
async fn a_table_of_a_live_kcl_3_is_refused() {
    let service = Service::start().await;
    // Seven looks: on a slow machine a later one sees the beat.
    let store = service.one_lease().await.with_heartbeat_watch(Duration::from_secs(7));
    service.put(leader()).await;
    let beating = async {
        for beat in 0_u64.. {
            service.set("Leader", "recordVersionNumber", AttributeValue::S(beat.to_string())).await;
        }
    };
    let result = tokio::select! {
        result = store.prepare() => result,
        () = beating => unreachable!("it beats for ever"),
    };
    assert!(reason(&result.unwrap_err()).contains("KCL 3.x is alive"));
}

#[tokio::test]
async fn a_table_that_the_kcl_3_has_left_is_taken_over() {
    let service = Service::start().await;
    let store = service.one_lease().await.with_heartbeat_watch(SHORT_WATCH);
    service.put(leader()).await;
    store.prepare().await.unwrap();
    store.take(&seen(&store, 0).await, &worker("w1")).await.unwrap();
    assert!(service.row("Leader").await.is_some(), "the rows of others stay");
}

#[tokio::test]
async fn a_table_that_was_taken_over_is_watched_again_only_if_another_library_owns_a_lease() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    service.put(leader()).await;
    let mut lease = seen(&store, 0).await;
    lease.owner_duration = Some(LEASE);
    let owned = store.take(&lease, &worker("w1")).await.unwrap();
    // A watch would be longer than the time limit of a wait.
    let store = store.with_heartbeat_watch(Duration::from_secs(36_000));
    within("the prepare of an owned table", store.prepare()).await.unwrap();
    store.release(owned).await.unwrap();
    within("the prepare of a released table", store.prepare()).await.unwrap();
    // A worker of the KCL takes the lease: it keeps our attributes, and they do not name it.
    service.set("shardId-000000000000", "leaseOwner", AttributeValue::S("kcl".into())).await;
    let store = store.with_heartbeat_watch(SHORT_WATCH);
    drop(service.sent.take());
    store.prepare().await.unwrap();
    let scans = service.sent.take().iter().filter(|request| request.operation == "Scan").count();
    assert!(scans > 1, "heartbeats are watched");
}

//! Our requests beside those of the KCL for the same change of the same row, attribute by attribute. Each test lists what is
//! meant to differ: `-` only the KCL, `+` only bindd.

use super::meaning::{differences, meaning};
use super::service::{Service, TABLE, seen, shard, worker};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::aws::Item;
use bindd::domain::{
    Checkpoint, HashKeyRange, Lease, LeaseGrant, LeaseStore, NewLease, SentinelCheckpoint, ShardId, StreamIdentity,
    Timestamp,
};
use serde_json::Value;

const KCL_2: &str = include_str!("../../golden/kcl-leases/kcl-2.7.2-requests.json");
const KCL_3: &str = include_str!("../../golden/kcl-leases/kcl-3.5.1-requests.json");

const HELD_BY_W1: &str = "+ if ((leaseOwner = w1 AND attribute_not_exists(checkpointOwner)) OR checkpointOwner = w1)";

/// The first request that was accepted and fits.
fn kcl(requests: &str, operation: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let requests: Vec<Value> = serde_json::from_str(requests).unwrap();
    let mut of_operation = requests.into_iter().filter(|request| request["operation"] == operation);
    let is_wanted = |request: &Value| request["result"] == "ok" && fits(&request["request"]);
    of_operation.find(is_wanted).unwrap_or_else(|| panic!("no such {operation}"))["request"].take()
}

/// An `UpdateItem` that changes exactly these attributes.
fn kcl_update(requests: &str, attributes: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
    kcl(requests, "UpdateItem", |request| {
        let names = request["AttributeUpdates"].as_object().map(|updates| {
            let mut names: Vec<&str> = updates.keys().map(String::as_str).collect();
            names.sort_unstable();
            names
        });
        names.as_deref() == Some(attributes) && fits(request)
    })
}

fn any(_: &Value) -> bool {
    true
}

fn number_of(value: &Value) -> u64 {
    value["N"].as_str().unwrap().parse().unwrap()
}

/// The counter that a request of the KCL expects, and its shard.
fn expected(request: &Value) -> (u64, u8) {
    let key = request["Key"]["leaseKey"]["S"].as_str().unwrap();
    let counter = &request["Expected"]["leaseCounter"]["Value"];
    (if counter.is_null() { 41 } else { number_of(counter) }, key[key.len() - 2..].parse().unwrap())
}

/// The row before a request of the KCL: with the counter that it expects.
async fn row(service: &Service, request: &Value, more: &[(&str, &str)]) -> u8 {
    let (counter, number) = expected(request);
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut row = Item::from([
        ("leaseKey".to_owned(), text(shard(number).as_str())),
        ("leaseCounter".to_owned(), AttributeValue::N(counter.to_string())),
        ("checkpoint".to_owned(), text("TRIM_HORIZON")),
        ("checkpointSubSequenceNumber".to_owned(), AttributeValue::N("0".to_owned())),
    ]);
    row.extend(more.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
    service.put(row).await;
    number
}

/// A grant of `w1` for a row as it is in the table, without a take.
async fn held(service: &Service, number: u8) -> LeaseGrant {
    LeaseGrant::taken(seen(&service.unprepared(), number).await, worker("w1"))
}

async fn service() -> Service {
    let service = Service::start().await;
    drop(service.leases().await);
    service
}

/// The lease that a `PutItem` of the KCL creates, with our own attributes.
fn new_lease(item: &Value, checkpoint: SentinelCheckpoint) -> NewLease {
    let text = |name: &str| item[name]["S"].as_str().unwrap();
    let parents = item["parentShardId"]["SS"].as_array().cloned().unwrap_or_default();
    NewLease {
        shard: ShardId::new(text("leaseKey")),
        checkpoint: Checkpoint::NotStarted(checkpoint),
        start_at: (checkpoint == SentinelCheckpoint::Latest).then_some(Timestamp::from_millis(5)),
        parents: parents.iter().map(|parent| ShardId::new(parent.as_str().unwrap())).collect(),
        hash_range: Some(HashKeyRange {
            start: text("startingHashKey").parse().unwrap(),
            end: text("endingHashKey").parse().unwrap(),
        }),
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(4)),
    }
}

#[tokio::test]
async fn a_lease_is_created_as_by_the_kcl_with_our_own_attributes() {
    let service = service().await;
    let store = service.unprepared();
    let ours = ["+ put bdFormat = 1 (N)", "+ put bdStream = orders", "+ put bdStreamCreated = 4 (N)"];
    let entity = "+ put entityType = LEASE";
    let is_single = |request: &Value| request["Item"].get("streamName").is_none();
    let is_root = |request: &Value| is_single(request) && request["Item"].get("parentShardId").is_none();
    let is_lease = |request: &Value| request["Item"].get("leaseCounter").is_some();
    for (requests, more) in [(KCL_2, vec![entity]), (KCL_3, vec![])] {
        let theirs = kcl(requests, "PutItem", |request| is_lease(request) && is_root(request));
        let lease = new_lease(&theirs["Item"], SentinelCheckpoint::TrimHorizon);
        let (request, created) = service.request_of(store.create_missing(&[lease])).await;
        created.unwrap();
        assert_eq!(differences(&theirs, &request.body), [&ours[..], &more[..]].concat());
    }
    let theirs = kcl(KCL_2, "PutItem", |request| is_single(request) && !is_root(request));
    let lease = new_lease(&theirs["Item"], SentinelCheckpoint::Latest);
    let (request, created) = service.request_of(store.create_missing(&[lease])).await;
    created.unwrap();
    let expected = [ours[0], "+ put bdStartTs = 5 (N)", ours[1], ours[2], entity];
    assert_eq!(differences(&theirs, &request.body), expected);
}

#[tokio::test]
async fn a_lease_is_taken_as_by_the_kcl_and_a_handoff_ends() {
    let service = service().await;
    let store = service.unprepared();
    let (free, stolen) =
        (["leaseCounter", "leaseOwner"], ["leaseCounter", "leaseOwner", "ownerSwitchesSinceCheckpoint"]);
    let with_handoff = |attributes: &[&'static str]| [&["checkpointOwner"], attributes].concat();
    let is_by_counter = |request: &Value| request["Expected"].get("leaseCounter").is_some();
    let cases = [
        (kcl_update(KCL_2, &free, any), None, vec!["+ delete checkpointOwner"]),
        (kcl_update(KCL_2, &stolen, any), Some("w9"), vec!["+ delete checkpointOwner"]),
        // The 3.x in a mode for the rolling move from 2.x.
        (kcl_update(KCL_3, &with_handoff(&free), is_by_counter), None, vec![]),
        (kcl_update(KCL_3, &with_handoff(&stolen), is_by_counter), Some("w9"), vec![]),
    ];
    for (theirs, owner, expected) in cases {
        let owner: Vec<_> = owner.map(|owner| ("leaseOwner", owner)).into_iter().collect();
        let number = row(&service, &theirs, &owner).await;
        let taker = worker(theirs["AttributeUpdates"]["leaseOwner"]["Value"]["S"].as_str().unwrap());
        let lease = seen(&store, number).await;
        let (request, taken) = service.request_of(store.take(&lease, &taker)).await;
        taken.unwrap();
        assert_eq!(differences(&theirs, &request.body), expected);
    }
}

#[tokio::test]
async fn a_take_adds_what_the_row_does_not_say_of_its_stream() {
    let service = service().await;
    let store = service.unprepared();
    let theirs = kcl_update(KCL_2, &["leaseCounter", "leaseOwner"], any);
    let number = row(&service, &theirs, &[]).await;
    let identity = StreamIdentity { stream: "orders".into(), created: Some(Timestamp::from_millis(4)) };
    let lease = Lease::completed(seen(&store, number).await, &identity, None);
    let (request, taken) = service.request_of(store.take(&lease, &worker("w1"))).await;
    taken.unwrap();
    let expected = ["+ delete checkpointOwner", "+ put bdStream = orders", "+ put bdStreamCreated = 4 (N)"];
    assert_eq!(differences(&theirs, &request.body), expected);
}

#[tokio::test]
async fn a_lease_is_renewed_as_by_the_kcl_if_it_is_still_held() {
    let service = service().await;
    let store = service.unprepared();
    let without_handoff = |request: &Value| request["Expected"].get("checkpointOwner").is_some();
    let cases = [
        (kcl_update(KCL_2, &["leaseCounter"], any), vec![HELD_BY_W1]),
        (kcl_update(KCL_3, &["leaseCounter"], without_handoff), vec!["- if checkpointOwner is absent", HELD_BY_W1]),
    ];
    for (theirs, expected) in cases {
        let number = row(&service, &theirs, &[("leaseOwner", "w1")]).await;
        let mut grant = held(&service, number).await;
        let (request, renewed) = service.request_of(store.renew(&mut grant)).await;
        renewed.unwrap();
        assert_eq!(differences(&theirs, &request.body), expected);
    }
}

/// The KCL writes the hash key range again, which is in the row already.
#[tokio::test]
async fn the_end_of_a_shard_is_stored_as_by_the_kcl() {
    let service = service().await;
    let store = service.unprepared();
    for requests in [KCL_2, KCL_3] {
        let children = kcl_update(requests, &["childShardIds"], any);
        let number = row(&service, &children, &[("leaseOwner", "w1")]).await;
        let mut grant = held(&service, number).await;
        let names = children["AttributeUpdates"]["childShardIds"]["Value"]["SS"].as_array().unwrap();
        let shards: Vec<_> = names.iter().map(|name| ShardId::new(name.as_str().unwrap())).collect();
        let (request, stored) = service.request_of(store.store_children(&mut grant, &shards)).await;
        stored.unwrap();
        assert_eq!(differences(&children, &request.body), [] as [&str; 0]);

        let ends = |request: &Value| request["AttributeUpdates"]["checkpoint"]["Value"]["S"] == "SHARD_END";
        let theirs = kcl(requests, "UpdateItem", ends);
        let number = row(&service, &theirs, &[("leaseOwner", "w1")]).await;
        let mut grant = held(&service, number).await;
        let (request, stored) = service.request_of(store.checkpoint(&mut grant, &Checkpoint::Ended)).await;
        stored.unwrap();
        let range = ["endingHashKey", "startingHashKey"].map(|name| {
            let value = theirs["AttributeUpdates"][name]["Value"]["S"].as_str().unwrap();
            format!("- put {name} = {value}")
        });
        let expected = [&range[0], &range[1], HELD_BY_W1];
        assert_eq!(differences(&theirs, &request.body), expected);
    }
}

/// The KCL deletes without any condition.
#[tokio::test]
async fn a_lease_is_removed_only_if_it_ended_and_did_not_change() {
    let service = service().await;
    let theirs = kcl(KCL_2, "DeleteItem", any);
    let number = row(&service, &theirs, &[("checkpoint", "SHARD_END")]).await;
    let store = service.unprepared();
    let lease = seen(&store, number).await;
    let (request, removed) = service.request_of(store.remove(&lease)).await;
    removed.unwrap();
    let expected = ["+ if checkpoint = SHARD_END", "+ if leaseCounter = 41 (N)"];
    assert_eq!(differences(&theirs, &request.body), expected);
}

/// The leader of the KCL 3.x moves a lease from `w1`; here the worker that wants it does, and the owner completes it by the
/// counter.
#[tokio::test]
async fn a_handoff_has_the_form_of_the_kcl_3() {
    let service = service().await;
    let store = service.unprepared();
    let theirs = kcl_update(KCL_3, &["checkpointOwner", "leaseOwner"], any);
    let number = row(&service, &theirs, &[("leaseOwner", "w1")]).await;
    let next = worker(theirs["AttributeUpdates"]["leaseOwner"]["Value"]["S"].as_str().unwrap());
    let lease = seen(&store, number).await;
    let (request, requested) = service.request_of(store.request_handoff(&lease, &next)).await;
    requested.unwrap();
    assert_eq!(differences(&theirs, &request.body), ["- if leaseKey exists"]);

    let completes = |request: &Value| request["Expected"]["checkpointOwner"].get("Value").is_some();
    let theirs = kcl_update(KCL_3, &["checkpointOwner", "leaseCounter", "leaseOwner"], completes);
    let next = theirs["Expected"]["leaseOwner"]["Value"]["S"].as_str().unwrap();
    let number = row(&service, &theirs, &[("leaseOwner", next), ("checkpointOwner", "w1")]).await;
    let grant = held(&service, number).await;
    let (request, released) = service.request_of(store.release(grant)).await;
    released.unwrap();
    let expected = [
        "- add leaseCounter 1 (N)".to_owned(),
        "- if leaseKey exists".to_owned(),
        format!("- if leaseOwner = {next}"),
        format!("- put leaseOwner = {next}"),
        "+ if leaseCounter = 41 (N)".to_owned(),
        "+ put leaseCounter = 42 (N)".to_owned(),
    ];
    assert_eq!(differences(&theirs, &request.body), expected);
}

/// The KCL has a method for it (`evictLease`), which it never calls.
#[tokio::test]
async fn a_release_removes_the_owner_under_the_counter() {
    let service = service().await;
    let theirs = kcl_update(KCL_2, &["leaseCounter"], any);
    let number = row(&service, &theirs, &[("leaseOwner", "w1")]).await;
    let counter = expected(&theirs).0;
    let grant = held(&service, number).await;
    let (request, released) = service.request_of(service.unprepared().release(grant)).await;
    released.unwrap();
    let lines: Vec<String> = meaning(&request.body).into_iter().collect();
    let expected = [
        "delete leaseOwner".to_owned(),
        "if checkpointOwner is absent".to_owned(),
        format!("if leaseCounter = {counter} (N)"),
        "if leaseOwner = w1".to_owned(),
        format!("key leaseKey = {}", shard(number)),
        format!("put leaseCounter = {} (N)", counter + 1),
    ];
    assert_eq!(lines, expected);
}

/// Leases are read consistently, so that a lease which was just taken is not taken for expired.
#[tokio::test]
async fn the_table_is_created_as_by_the_kcl_and_read_consistently() {
    let service = Service::start().await;
    drop(service.leases().await);
    let requests = service.sent.take();
    let mut created = requests.iter().find(|request| request.operation == "CreateTable").unwrap().body.clone();
    let mut theirs = kcl(KCL_2, "CreateTable", any);
    // The default of DynamoDB.
    assert_eq!(theirs.as_object_mut().unwrap().remove("DeletionProtectionEnabled"), Some(Value::Bool(false)));
    for request in [&mut created, &mut theirs] {
        request["TableName"] = TABLE.into();
    }
    assert_eq!(created, theirs);
    let scan = requests.iter().find(|request| request.operation == "Scan").unwrap();
    assert_eq!(scan.body, serde_json::json!({ "TableName": TABLE, "ConsistentRead": true }));
}

use super::super::fixtures::{Answer, Target, letter};
use super::*;
use crate::domain::InvokeResponse;
use serde_json::{Value, json};
use std::sync::Arc;

fn fixture(answer: Option<Answer>) -> (BindingStore, Arc<Target>) {
    let (target, registry) = Target::published(answer);
    (BindingStore::new("letters".parse().unwrap(), registry), target)
}

#[tokio::test]
async fn a_dead_letter_holds_the_whole_record_and_the_story_of_its_failure() {
    let (store, target) = fixture(Some(|| Ok(InvokeResponse::default())));
    store.store(&letter("{\"n\": 1.50}", 2)).await.unwrap();
    store.store(&letter(&b"\xff\x00"[..], 0)).await.unwrap();
    let mut requests = target.take_received().into_iter();
    let request = requests.next().unwrap();
    assert_eq!((request.operation.as_str(), request.metadata.get("partitionKey")), ("create", Some("customer/7")));
    assert_eq!(
        serde_json::from_slice::<Value>(&request.data).unwrap(),
        json!({
            "id": "orders:shardId-000000000003:4959:2", "component": "orders", "data": "{\"n\": 1.50}",
            "dataEncoding": "utf-8", "partitionKey": "customer/7",
            "error": {
                "reason": "max_attempts", "message": "the app answered 422 to POST /orders: no such product", "status": 422,
                "response": "no such product, and more of the response",
            },
            "delivery": {
                "stream": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders", "shardId": "shardId-000000000003",
                "sequenceNumber": "4959", "subSequenceNumber": 2, "arrival": 1_700_000_000_123_u64, "leaseEpoch": 9,
                "attempts": 5, "firstAttempt": 1_700_000_001_000_u64, "lastAttempt": 1_700_000_009_000_u64,
            },
        })
    );
    let second: Value = serde_json::from_slice(&requests.next().unwrap().data).unwrap();
    assert_eq!((&second["id"], &second["data"]), (&json!("orders:shardId-000000000003:4959"), &json!("/wA=")));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_surely_stored_is_an_error() {
    let (refusing, _target) =
        fixture(Some(|| Err(BindingError::new(FailureKind::Denied, "customer/7 is not for you"))));
    let error = refusing.store(&letter("x", 0)).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Denied);
    assert!(error.to_string().contains("binding letters did not store the record"), "{error}");
    assert!(!error.to_string().contains("customer/7"), "the target's text may quote the record: {error}");

    let (silent, _target) = fixture(None);
    let error = silent.store(&letter("x", 0)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::Unknown));

    let gone = BindingStore::new("gone".parse().unwrap(), Registry::default());
    assert!(gone.store(&letter("x", 0)).await.unwrap_err().to_string().contains("no such output component"));
}

#[tokio::test]
async fn a_record_that_the_target_passed_on_to_its_own_dead_letters_is_stored() {
    let (store, _target) = fixture(Some(|| {
        let error = BindingError::new(FailureKind::Transient, "throttled");
        Err(error.with_detail(crate::domain::DEAD_LETTERED, "true"))
    }));
    store.store(&letter("x", 0)).await.unwrap();
}

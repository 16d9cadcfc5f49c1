use super::super::fixtures::{Answer, Target};
use super::*;
use crate::domain::{FailureKind, InvokeResponse};
use crate::telemetry::Metrics;
use std::sync::Arc;

const ACCEPTS: Option<Answer> = Some(|| Ok(InvokeResponse::default()));
const REFUSES: Option<Answer> =
    Some(|| Err(BindingError::new(FailureKind::Denied, "k is not for you").with_detail("code", "NoLetters")));
const NEVER_ANSWERS: Option<Answer> = None;

fn fixture(answer: Option<Answer>) -> (DeadLetter, Arc<Target>, Metrics) {
    let (target, registry) = Target::published(answer);
    let metrics = Metrics::new();
    let dead_letter = DeadLetter {
        component: "orders".parse().unwrap(),
        target: "letters".parse().unwrap(),
        registry,
        metrics: metrics.output("orders"),
    };
    (dead_letter, target, metrics)
}

fn record(data: &'static [u8]) -> NewRecord {
    NewRecord { data: data.into(), partition_key: Some("k".parse().unwrap()), explicit_hash_key: Some(u128::MAX) }
}

fn failure() -> BindingError {
    BindingError::new(FailureKind::TimedOut, "no reply")
        .with_outcome(Outcome::Unknown)
        .with_detail("requestId", "r-1")
        .with_detail("code", "Slow")
}

fn soon() -> Instant {
    Instant::now() + DEAD_LETTER_TIMEOUT
}

#[tokio::test]
async fn a_dead_letter_holds_record_and_error_and_the_caller_still_gets_the_error() {
    let (dead_letter, target, metrics) = fixture(ACCEPTS);
    let error = dead_letter.send(&record(b"{\"n\": 1.50}"), failure(), soon()).await;
    assert_eq!((error.kind(), error.message(), error.is_dead_lettered()), (FailureKind::TimedOut, "no reply", true));
    assert_eq!(detail(&error, "deadLetterBinding"), Some("letters"));
    let request = target.take_received().pop().unwrap();
    assert_eq!((request.operation.as_str(), request.metadata.get("partitionKey")), ("create", Some("k")));
    let mut letter: serde_json::Value = serde_json::from_slice(&request.data).unwrap();
    let id = letter.as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert_eq!(
        letter,
        serde_json::json!({
            "component": "orders", "data": "{\"n\": 1.50}", "dataEncoding": "utf-8", "partitionKey": "k",
            "explicitHashKey": u128::MAX.to_string(),
            "error": {"kind": "timed_out", "reason": "DEADLINE", "message": "no reply", "code": "Slow",
                      "requestId": "r-1", "ambiguous": true},
        })
    );
    assert!(
        metrics.page().unwrap().contains(r#"bindd_output_records_total{component="orders",state="dead_lettered"} 1"#)
    );
}

#[tokio::test]
async fn bytes_that_are_not_text_are_in_base64() {
    let (dead_letter, target, _) = fixture(ACCEPTS);
    dead_letter.send(&record(b"\xff\x00"), failure(), soon()).await;
    let request = target.take_received().pop().unwrap();
    let letter: serde_json::Value = serde_json::from_slice(&request.data).unwrap();
    assert_eq!((&letter["data"], &letter["dataEncoding"]), (&"/wA=".into(), &"base64".into()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_delivered_is_reported_with_the_error() {
    for (answer, part) in
        [(REFUSES, "it failed with denied (NoLetters)"), (NEVER_ANSWERS, "the dead letters of one request share")]
    {
        let (dead_letter, _target, metrics) = fixture(answer);
        let error = dead_letter.send(&record(b"1"), failure(), soon()).await;
        assert_eq!(
            (error.kind(), error.outcome(), error.is_dead_lettered()),
            (FailureKind::TimedOut, Outcome::Unknown, false)
        );
        assert!(error.message().starts_with("no reply; the dead letter binding letters"), "{error}");
        assert!(
            error.message().ends_with(part) && detail(&error, "deadLetterError").unwrap().contains(part),
            "{error}"
        );
        assert!(metrics.page().unwrap().contains(r#"state="dead_lettered"} 0"#));
    }
}

#[tokio::test]
async fn a_missing_target_is_reported() {
    let (dead_letter, target, _) = fixture(ACCEPTS);
    drop(target);
    let error = dead_letter.send(&record(b"1"), failure(), soon()).await;
    assert!(error.message().contains("there is no such output component"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn all_dead_letters_of_a_request_share_one_limit() {
    let (dead_letter, target, _) = fixture(ACCEPTS);
    let error = dead_letter.send(&record(b"1"), failure(), Instant::now()).await;
    assert!(!error.is_dead_lettered() && error.message().contains("no time was left"), "{error}");
    assert!(target.take_received().is_empty(), "past the limit nothing is sent");
    let (dead_letter, _target, _) = fixture(NEVER_ANSWERS);
    let (begun, until) = (Instant::now(), soon());
    for _ in 0..100 {
        dead_letter.send(&record(b"1"), failure(), until).await;
    }
    assert_eq!(begun.elapsed(), DEAD_LETTER_TIMEOUT);
}

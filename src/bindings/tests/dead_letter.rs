use super::super::context::Registry;
use super::*;
use crate::domain::{Binding, FailureKind, InputBinding, InvokeResponse, OutputBinding};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

/// Takes letters, refuses them, or never answers.
#[derive(Debug)]
struct Target {
    name: ComponentName,
    mood: Mood,
    taken: Mutex<Vec<InvokeRequest>>,
}

#[derive(Debug, Clone, Copy)]
enum Mood {
    Kind,
    Refusing,
    Silent,
}

#[async_trait]
impl Binding for Target {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(self)
    }
    async fn close(&self) {}
}

#[async_trait]
impl OutputBinding for Target {
    fn operations(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        match self.mood {
            Mood::Kind => {
                self.taken.lock().unwrap().push(request);
                Ok(InvokeResponse::default())
            }
            Mood::Refusing => {
                Err(BindingError::new(FailureKind::Denied, "k is not for you").with_detail("code", "NoLetters"))
            }
            Mood::Silent => std::future::pending().await,
        }
    }
}

fn world(mood: Mood) -> (DeadLetter, Arc<Target>, Metrics) {
    let target = Arc::new(Target { name: "letters".parse().unwrap(), mood, taken: Mutex::default() });
    let registry = Registry::default();
    registry.publish([&(Arc::clone(&target) as Arc<dyn Binding>)]);
    let metrics = Metrics::new();
    let letters = DeadLetter {
        component: "orders".parse().unwrap(),
        target: target.name.clone(),
        registry,
        metrics: metrics.output("orders"),
    };
    (letters, target, metrics)
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

/// When the letters of a request that failed now are given up.
fn soon() -> Instant {
    Instant::now() + LIMIT
}

#[tokio::test]
async fn a_letter_holds_the_record_and_the_cause_and_the_caller_still_hears_the_failure() {
    let (letters, target, metrics) = world(Mood::Kind);
    let told = letters.take(&record(b"{\"n\": 1.50}"), failure(), soon()).await;
    assert_eq!((told.kind(), told.message(), told.is_dead_lettered()), (FailureKind::TimedOut, "no reply", true));
    assert_eq!(detail(&told, "deadLetterBinding"), Some("letters"));
    let request = target.taken.lock().unwrap().pop().unwrap();
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
async fn bytes_that_are_no_text_are_in_base64() {
    let (letters, target, _) = world(Mood::Kind);
    letters.take(&record(b"\xff\x00"), failure(), soon()).await;
    let request = target.taken.lock().unwrap().pop().unwrap();
    let letter: serde_json::Value = serde_json::from_slice(&request.data).unwrap();
    assert_eq!((&letter["data"], &letter["dataEncoding"]), (&"/wA=".into(), &"base64".into()));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_not_taken_is_told_beside_the_failure() {
    for (mood, part) in
        [(Mood::Refusing, "it failed with denied (NoLetters)"), (Mood::Silent, "the dead letters of one request share")]
    {
        let (letters, _target, metrics) = world(mood);
        let told = letters.take(&record(b"1"), failure(), soon()).await;
        assert_eq!(
            (told.kind(), told.outcome(), told.is_dead_lettered()),
            (FailureKind::TimedOut, Outcome::Unknown, false)
        );
        assert!(told.message().starts_with("no reply; the dead letter binding letters"), "{told}");
        assert!(told.message().ends_with(part) && detail(&told, "deadLetterError").unwrap().contains(part), "{told}");
        assert!(metrics.page().unwrap().contains(r#"state="dead_lettered"} 0"#));
    }
}

#[tokio::test]
async fn a_target_that_is_gone_is_told() {
    let (letters, target, _) = world(Mood::Kind);
    drop(target);
    let told = letters.take(&record(b"1"), failure(), soon()).await;
    assert!(told.message().contains("there is no such output component"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn all_letters_of_a_request_share_one_limit() {
    let (letters, target, _) = world(Mood::Kind);
    let told = letters.take(&record(b"1"), failure(), Instant::now()).await;
    assert!(!told.is_dead_lettered() && told.message().contains("no time was left"), "{told}");
    assert!(target.taken.lock().unwrap().is_empty(), "past the limit nothing is sent");
    let (letters, _target, _) = world(Mood::Silent);
    let (begun, until) = (Instant::now(), soon());
    for _ in 0..100 {
        letters.take(&record(b"1"), failure(), until).await;
    }
    assert_eq!(begun.elapsed(), LIMIT);
}

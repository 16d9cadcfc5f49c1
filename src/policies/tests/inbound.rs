use super::*;
use crate::domain::{BindingEvent, EventOrigin, LeaseCounter, RecordPosition, SequenceNumber, ShardId, Stop};
use crate::manifest::{Place, ResiliencyDocument};
use crate::policies::observer::NoObserver;
use crate::testing::{RecordingHandler, Reply};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn batch() -> EventBatch {
    let sequence: SequenceNumber = "1".parse().unwrap();
    let origin = EventOrigin {
        shard: ShardId::new("shardId-0"),
        position: RecordPosition::plain(sequence),
        partition_key: "key".to_owned(),
        arrival: None,
        is_damaged_aggregate: false,
    };
    let event = BindingEvent { data: Bytes::from_static(b"{}"), origin, attempt: 1 };
    let (binding, stream) = ("orders".parse().unwrap(), "orders".into());
    EventBatch { binding, stream, epoch: LeaseCounter::new(1), lag: None, events: vec![event] }
}

fn document(policies: &Value) -> ResiliencyDocument {
    let place = Place { file: "resiliency.yaml".to_owned(), document: 1 };
    let spec = json!({ "policies": policies }).as_object().unwrap().clone();
    ResiliencyDocument { name: "shop".to_owned(), namespace: String::new(), place, spec }
}

/// The app, its policies, and the handler between both.
fn handler(policies: &Value) -> (RecordingHandler, Arc<Policies>, Arc<dyn EventHandler>) {
    let (app, all) = (RecordingHandler::new(), Arc::new(Policies::new(Stop::new(), Arc::new(NoObserver))));
    all.reload(&[document(policies)]);
    let handler = all.handler("orders".parse().unwrap(), Arc::new(app.clone()));
    (app, all, handler)
}

#[tokio::test(start_paused = true)]
async fn a_failed_delivery_is_made_once_and_its_policy_gives_the_pause() {
    let policies = json!({"retries": {"DefaultRetryPolicy": {"duration": "7s", "maxRetries": 2}}});
    let (app, all, handler) = handler(&policies);
    app.always(Reply::Refuse(500, None));
    assert!(handler.handle(&batch()).await.is_err());
    assert_eq!(app.calls().len(), 1, "the consumer repeats it");
    let policy = handler.redelivery().unwrap();
    assert_eq!((policy.wait(0, 0.9), policy.wait(9, 0.9), policy.max_attempts()), (7 * SECOND, 7 * SECOND, Some(3)));
    all.reload(&[]);
    assert!(handler.redelivery().is_none(), "a reload acts at once");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_a_delivery() {
    let (app, _, handler) = handler(&json!({"timeouts": {"DefaultComponentInboundTimeoutPolicy": "3s"}}));
    app.always(Reply::Stall);
    let begun = Instant::now();
    let error = handler.handle(&batch()).await.unwrap_err();
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(
        error.to_string(),
        "the app did not answer an event of orders within 3s and may still be working on it; raise the timeout of its \
         Resiliency policy if it needs longer"
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_holds_events_back_and_is_shared_with_the_output() {
    let breakers = json!({"DefaultCircuitBreakerPolicy": {"trip": "consecutiveFailures >= 2", "timeout": "20s"}});
    let (app, all, handler) = handler(&json!({"circuitBreakers": breakers}));
    app.always(Reply::Refuse(500, None));
    for _ in 0..2 {
        assert!(matches!(handler.handle(&batch()).await, Err(DeliveryError::Refused { .. })));
    }
    tokio::time::advance(5 * SECOND).await;
    let Err(DeliveryError::Held { reason, wait }) = handler.handle(&batch()).await else { panic!("it was sent") };
    assert_eq!((reason.as_str(), wait, app.calls().len()), ("circuit breaker is open", 15 * SECOND, 2));
    let output = all.outbound("orders").unwrap().run(|| async { Ok(()) }).await;
    assert_eq!(output.unwrap_err().to_string(), "circuit breaker is open");
    tokio::time::advance(wait).await;
    app.always(Reply::Accept(Duration::ZERO));
    assert!(handler.handle(&batch()).await.is_ok());
    assert!(all.outbound("orders").unwrap().run(|| async { Ok(()) }).await.is_ok());
}

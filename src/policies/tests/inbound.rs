use super::*;
use crate::consumer::SharedLimits;
use crate::domain::{BindingEvent, EventOrigin, LeaseCounter, RecordPosition, SequenceNumber, ShardId, Stop};
use crate::manifest::{Place, ResiliencyDocument};
use crate::policies::observer::NoObserver;
use crate::telemetry::Metrics;
use crate::testing::{RecordingHandler, Reply};
use bytes::Bytes;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::sync::Mutex;
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
        part: 0,
    };
    let event = BindingEvent { data: Bytes::from_static(b"{}"), origin, attempt: 1, not_decompressed: None };
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
    let handler = all.handler("orders".parse().unwrap(), Arc::new(app.clone()), Stop::new());
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

fn message() -> Message {
    Message { binding: "orders".parse().unwrap(), data: Bytes::new(), metadata: Vec::new(), max_reply: None }
}

#[tokio::test(start_paused = true)]
async fn the_pause_of_a_message_takes_no_place_among_the_requests_to_the_app() {
    let policies = json!({"retries": {"DefaultRetryPolicy": {"duration": "60s"}}});
    let (app, all, _) = handler(&policies);
    let limits = SharedLimits::new(1 << 20, NonZeroUsize::new(1), 0);
    let in_turn = limits.in_turn(Arc::new(app.clone()), Metrics::new().input("orders"));
    let handler = all.handler("orders".parse().unwrap(), in_turn, Stop::new());
    app.plan([Reply::Refuse(500, None)]);
    let (failing, other) = (message(), message());
    let (begun, second_took) = (Instant::now(), Mutex::new(None));
    let second = async {
        tokio::time::sleep(SECOND).await;
        handler.handle_message(&other).await.unwrap();
        *second_took.lock().unwrap() = Some(begun.elapsed());
    };
    let (first, ()) = tokio::join!(handler.handle_message(&failing), second);
    assert!(first.is_ok());
    assert_eq!((second_took.into_inner().unwrap(), begun.elapsed()), (Some(SECOND), 60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_pause_of_a_message() {
    let (app, all, _) = handler(&json!({"retries": {"DefaultRetryPolicy": {"duration": "60s"}}}));
    let stop = Stop::new();
    let handler = all.handler("orders".parse().unwrap(), Arc::new(app.clone()), stop.clone());
    app.always(Reply::Refuse(500, None));
    let stopping = async {
        tokio::time::sleep(SECOND).await;
        stop.finish();
    };
    let begun = Instant::now();
    let message = message();
    let (result, ()) = tokio::join!(handler.handle_message(&message), stopping);
    assert!(result.is_err());
    assert_eq!((begun.elapsed(), app.messages().len()), (SECOND, 1));
}

#[derive(Debug, Default)]
struct Counts(Mutex<Vec<&'static str>>);

impl crate::policies::PolicyObserver for Counts {
    fn executed(&self, _: crate::policies::PolicyEvent<'_>) {
        self.0.lock().unwrap().push("executed");
    }

    fn activated(&self, _: crate::policies::PolicyEvent<'_>) {
        self.0.lock().unwrap().push("activated");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_counts_once_for_an_event_however_often_it_is_delivered() {
    let (app, counts) = (RecordingHandler::new(), Arc::<Counts>::default());
    let all = Arc::new(Policies::new(Stop::new(), Arc::<Counts>::clone(&counts)));
    all.reload(&[document(&json!({"retries": {"DefaultRetryPolicy": {"duration": "1s", "maxRetries": 3}}}))]);
    let handler = all.handler("orders".parse().unwrap(), Arc::new(app.clone()), Stop::new());
    app.always(Reply::Refuse(500, None));
    assert!(handler.handle_message(&message()).await.is_err());
    assert_eq!(app.messages().len(), 4);
    for attempt in 1..4 {
        let mut batch = batch();
        batch.events[0].attempt = attempt;
        assert!(handler.handle(&batch).await.is_err());
    }
    assert_eq!(*counts.0.lock().unwrap(), ["executed", "activated"].repeat(2));
}
